"""The score of the labelled series, against numbers worked out by hand from NAB's definition."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.bench.anomaly.nab import Labelled, Profile, load, profiles, tally

STANDARD = Profile(found=1.0, false_alarm=0.11, missed=1.0)
# 100 rows of an hour each, of which the first 15 are not judged; one anomaly of ten rows.
SERIES = Labelled(name="a/b", times=[3600 * i for i in range(100)], values=[0.0] * 100, windows=[(40, 49)])


def score(rows: Sequence[int], *, costs: Profile = STANDARD, series: Labelled = SERIES) -> float:
    return tally([series], {series.name: rows}, {"standard": costs}).scores["standard"]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([], 0, id="silence"),
        pytest.param([40], 100, id="perfect: the first row of the window"),
        # 2 / (1 + exp(-5 / 10)) - 1 = 0.24492, of at most 0.98661; with the point that is not lost, of two.
        pytest.param([49], 62.412, id="the last row of the window"),
        pytest.param([40, 44, 49], 100, id="only the first one in a window counts"),
        pytest.param([49, 40], 100, id="whatever their order"),
        pytest.param([5], 0, id="what is for learning is not judged"),
        pytest.param([20, 40], 94.5, id="a false alarm before all windows costs all of its 0.11"),
        # 2 / (1 + exp(5 * 5 / 9)) - 1 = -0.88296
        pytest.param([40, 54], 95.144, id="a false alarm soon after a window costs less"),
        pytest.param([40, 90], 94.5, id="a false alarm long after it costs all"),
        pytest.param([20, 21], -11, id="alarms that are all false are worse than silence"),
    ],
)
def test_detections_are_worth_what_nab_says(rows: list[int], expected: float) -> None:
    assert score(rows) == pytest.approx(expected, abs=0.001)


def test_what_a_missed_window_costs_decides_what_finding_it_late_is_worth() -> None:
    costly = Profile(found=1.0, false_alarm=0.11, missed=2.0)

    # (0.24825 + 2) of 3
    assert score([49], costs=costly) == pytest.approx(74.942, abs=0.001)


def test_precision_recall_and_false_alarms_are_of_what_is_judged() -> None:
    two = Labelled(name="a/c", times=SERIES.times, values=SERIES.values, windows=[(20, 29), (60, 69)])

    found = tally([SERIES, two], {"a/b": [5, 41, 42, 80], "a/c": [25]}, {})

    assert found.precision == pytest.approx(3 / 4)
    assert found.recall == pytest.approx(2 / 3)
    # 84 hours each
    assert found.false_alarms_per_day == pytest.approx(1 / (2 * 84 / 24))


def test_windows_are_read_as_rows_and_costs_by_profile(tmp_path: Path) -> None:
    for name in ("data/kind", "labels", "config"):
        (tmp_path / name).mkdir(parents=True)
    rows = "".join(f"2014-01-01 0{hour}:00:00,{hour}.5\n" for hour in range(6))
    (tmp_path / "data" / "kind" / "some.csv").write_text(f"timestamp,value\n{rows}")
    window = ["2014-01-01 01:30:00.000000", "2014-01-01 04:00:00.000000"]
    (tmp_path / "labels" / "combined_windows.json").write_text(json.dumps({"kind/some.csv": [window]}))
    costs = {"tpWeight": 1.0, "fpWeight": 0.22, "fnWeight": 1.0, "tnWeight": 1.0}
    (tmp_path / "config" / "profiles.json").write_text(json.dumps({"reward_low_FP_rate": {"CostMatrix": costs}}))

    (series,) = load(tmp_path)

    assert (series.name, series.windows, series.values[-1]) == ("kind/some", [(2, 4)], 5.5)
    assert profiles(tmp_path)["reward_low_FP_rate"] == Profile(found=1.0, false_alarm=0.22, missed=1.0)
