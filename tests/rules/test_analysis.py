"""Recorded analysis: each value against numbers worked out without PromQL, also for series that are odd."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from msgspec.structs import replace

from perfloop.collectors import all_families
from perfloop.model import CatalogueMetric, Direction
from perfloop.rules.analysis import analysis_groups
from perfloop.rules.analysis.anomaly import THRESHOLD
from perfloop.rules.catalogue import shipped
from perfloop.rules.groups import render
from perfloop.stack.process import find_binary
from tests.bench.anomaly.nab import Labelled
from tests.bench.anomaly.replay import Replay, passes

HERE = Path(__file__).parent
DAY, STEP = 86400, 300
METRIC = CatalogueMetric(name="m", expr="m", unit="", direction=Direction.LOWER, help="A metric.")
STUDENT_975_AT_10 = 2.2281


def promtool(file: Path) -> subprocess.CompletedProcess[str]:
    argv = [find_binary("promtool"), "test", "rules", file.name]
    return subprocess.run(argv, cwd=file.parent, capture_output=True, text=True, check=False, timeout=60)


def compiled(folder: Path, *wanted: str) -> None:
    """Write only the rules that record these, as promtool evaluates all there are at each step."""
    groups = analysis_groups({"disk_usage": shipped()["disk_usage"]}, interval_seconds=15, retention_seconds=15 * DAY)
    chosen = [
        replace(group, rules=tuple(rule for rule in group.rules if rule.record.startswith(wanted))) for group in groups
    ]
    (folder / "analysis.yml").write_text(render(chosen), encoding="utf-8")


LINES = ("analysis:trend", "analysis:prediction", "analysis:value:hourly")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        pytest.param("analysis", (*LINES, "analysis:full", "analysis:change"), id="lines and changes"),
        pytest.param("resources", ("analysis:resource", "analysis:bottleneck"), id="resources"),
    ],
)
def test_lines_changes_and_resources_are_as_worked_out_by_hand(
    tmp_path: Path, name: str, wanted: tuple[str, ...]
) -> None:
    compiled(tmp_path, *wanted)

    done = promtool(Path(shutil.copy(HERE / f"{name}.test.yml", tmp_path)))

    assert done.returncode == 0, done.stdout + done.stderr


def ar1(rng: np.random.Generator, *, rho: float, count: int) -> Any:
    noise = rng.normal(size=count)
    values = np.zeros(count)
    for i in range(1, count):
        values[i] = rho * values[i - 1] + noise[i]
    return values


def fitted(values: Any) -> Mapping[str, float]:
    """Work out the line by least squares over the residuals themselves."""
    n = len(values)
    hours = np.arange(n)
    slope, level = np.polyfit(hours, values, 1)
    residuals = values - level - slope * hours
    variance = float(residuals @ residuals) / (n - 2)
    # The newest step is recorded after the line is drawn.
    correlation = min(max(1 - float(np.var(np.diff(values)[:-1])) / (2 * variance), 0), 0.99)
    effective = max(n * (1 - correlation) / (1 + correlation), 4)
    freedom = effective - 2
    student = 1.96 + 2.37 / freedom + 2.82 / freedom**2 + 2.56 / freedom**3
    distance = 24 + (n - 1) / 2
    return {
        "analysis:trend:slope_1d": 24 * slope,
        "analysis:trend:r_squared": 1 - float(np.var(residuals) / np.var(values)),
        "analysis:trend:residual_variance": variance,
        "analysis:trend:effective_count": effective,
        "analysis:prediction:1d": level + slope * (n - 1 + 24),
        "analysis:prediction:error_1d": student
        * math.sqrt(variance * (1 + 1 / effective + distance**2 / (effective * np.var(hours)))),
    }


def test_a_noisy_line_and_its_interval_are_what_least_squares_give(tmp_path: Path) -> None:
    compiled(tmp_path, *LINES)
    rng = np.random.default_rng(4)
    series = {
        "independent": 50 + 0.05 * np.arange(101) + rng.normal(size=101),
        "correlated": 50 + 0.05 * np.arange(101) + ar1(rng, rho=0.7, count=101),
    }
    checks = [
        {
            "expr": f'abs({name}{{instance="{instance}"}} / {float(value)!r} - 1) < bool 1e-6',
            "eval_time": "100h3m",
            "exp_samples": [{"labels": f'{{metric="m", instance="{instance}"}}', "value": 1}],
        }
        for instance, values in series.items()
        for name, value in fitted(values).items()
    ]
    inputs = [
        {
            "series": f'analysis:value:hourly{{metric="m", instance="{name}"}}',
            "values": " ".join(map(repr, map(float, values))),
        }
        for name, values in series.items()
    ]
    test = {"interval": "1h", "input_series": inputs, "promql_expr_test": checks}
    # Else promtool takes the groups in any order.
    order = [f"perfloop-analysis-{group}" for group in ("steps", "hours")]
    head = {"rule_files": ["analysis.yml"], "evaluation_interval": "1h", "group_eval_order": order}
    document = {**head, "tests": [test]}
    file = tmp_path / "noise.test.yml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")

    done = promtool(file)

    assert done.returncode == 0, done.stdout + done.stderr
    independent, correlated = (fitted(values)["analysis:trend:effective_count"] for values in series.values())
    assert independent > 60
    assert 8 < correlated < 40


def test_the_series_for_students_quantile_is_near_it() -> None:
    series = 1.96 + 2.37 / 10 + 2.82 / 100 + 2.56 / 1000

    assert series == pytest.approx(STUDENT_975_AT_10, rel=0.001)


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, list[tuple[int, float]]]]:
    """Three days and a half through a real Prometheus: what was recorded, by name and series."""
    groups = analysis_groups({"m": METRIC}, interval_seconds=15, retention_seconds=15 * DAY)
    names = ("analysis:anomaly:score", "analysis:anomaly:new", "analysis:value:lower", "analysis:value:upper")
    series = [
        Labelled(name=name, times=times(len(values)), values=values, windows=()) for name, values in INPUTS.items()
    ]
    replay = Replay(series, metric="perfloop:m", folder=tmp_path_factory.mktemp("replay"))
    replay.record(passes(groups, names))
    return replay.rows(names)


def times(count: int) -> list[int]:
    return [1_704_067_200 + STEP * i for i in range(count)]


ROWS, AT = 900, 850


def inputs() -> dict[str, list[float]]:
    rng = np.random.default_rng(1)
    noise = 100 + 20 * rng.uniform(-1, 1, size=ROWS)
    drop, nan, nudge = noise.copy(), noise.copy(), np.full(ROWS, 100.0)
    drop[AT:] = 0
    nan[400:436] = math.nan
    nudge[AT:] = 100.1
    jump, first = np.full(ROWS, 100.0), np.zeros(ROWS)
    jump[AT:] = 110
    first[AT:] = 3
    return {
        name: [float(value) for value in values]
        for name, values in {
            "noise": noise, "drop": drop, "nan": nan, "nudge": nudge, "jump": jump, "first": first,
            "young": np.append(np.full(200, 5.0), [500.0] * 20),
        }.items()
    }  # fmt: skip


INPUTS = inputs()


def score_at(replayed: Mapping[str, Mapping[str, list[tuple[int, float]]]], name: str, row: int) -> float:
    return dict(replayed["analysis:anomaly:score"][name])[row]


def test_a_drop_to_zero_scores_by_its_distance_in_deviations(replayed: Any) -> None:
    past = np.array(INPUTS["drop"][:AT])

    # The limits are of the last full hour; the extremes are of all.
    expected = math.log10((AT + 1) / 2) + past.min() / past.std() / math.log(10)

    assert score_at(replayed, "drop", AT) == pytest.approx(expected, abs=0.05)
    assert [row for row, _ in replayed["analysis:anomaly:new"]["drop"]][:1] == [AT]


def test_an_anomaly_is_new_once(replayed: Any) -> None:
    alerts = [row for row, _ in replayed["analysis:anomaly:new"]["jump"]]

    assert alerts == [AT]
    assert score_at(replayed, "jump", AT) == pytest.approx(math.log10((AT + 1) / 2) + 10 / math.log(10), abs=0.05)


def test_what_stands_still_has_a_score_of_zero_and_a_nudge_no_alert(replayed: Any) -> None:
    assert {score for row, score in replayed["analysis:anomaly:score"]["nudge"] if row < AT} == {0.0}
    assert score_at(replayed, "nudge", AT) == pytest.approx(math.log10((AT + 1) / 2) + 0.1 / math.log(10), abs=0.05)
    assert "nudge" not in replayed["analysis:anomaly:new"]


def test_the_first_value_after_zeros_counts_as_new_whatever_its_size(replayed: Any) -> None:
    expected = math.log10((AT + 1) / 2) + 1 / math.log(10)

    assert score_at(replayed, "first", AT) == pytest.approx(expected, abs=0.05)


def test_a_day_of_values_is_needed_and_nan_is_none_of_them(replayed: Any) -> None:
    assert "young" not in replayed["analysis:anomaly:score"]
    assert min(row for row, _ in replayed["analysis:anomaly:score"]["noise"]) >= DAY // STEP
    # For half an hour there is a mean of the hour; and a replay marks nothing as stale: each pass adds a step.
    assert not {row for row, _ in replayed["analysis:anomaly:score"]["nan"]} & set(range(412, 436))
    assert score_at(replayed, "nan", ROWS - 1) >= 0


def test_the_band_is_where_the_score_of_the_value_reaches_the_threshold(replayed: Any) -> None:
    past = np.array(INPUTS["noise"][:AT])
    room = (THRESHOLD - math.log10((AT + 1) / 2)) * math.log(10) * past.std()

    assert dict(replayed["analysis:value:upper"]["noise"])[AT] == pytest.approx(past.max() + room, abs=0.5)
    assert dict(replayed["analysis:value:lower"]["noise"])[AT] == pytest.approx(past.min() - room, abs=0.5)


@pytest.mark.parametrize(
    ("days", "kept", "gone", "note"),
    [
        pytest.param(15, ["offset 7d", "[7d]", "[13d]"], [], "", id="all"),
        pytest.param(
            7, ["offset 3d", "[6d]"], ["7d"], "# left out, .* all beyond 6 days, the same time 7", id="a week"
        ),
        pytest.param(3, ["offset 2d", "[2d]"], ["3d", "7d", "analysis:full"], "2 days, the same time 3", id="3 days"),
        pytest.param(
            1, ["analysis:value:avg5m", "perfloop-resources"], ["anomaly", "trend"], "# nothing is", id="a day"
        ),
    ],
)
def test_windows_stay_within_the_retention(days: int, kept: list[str], gone: list[str], note: str) -> None:
    full = replace(METRIC, name="full", unit="percent")
    text = render(analysis_groups({"full": full}, interval_seconds=15, retention_seconds=days * DAY))

    rules = re.sub(r"#.*", "", text)
    assert [each for each in kept if each not in rules] == []
    assert [each for each in gone if each in rules] == []
    assert re.search(note, text)


def test_resources_are_read_from_metrics_that_are_measured() -> None:
    names = {family.name for family in all_families()}
    text = render(analysis_groups({}, interval_seconds=15, retention_seconds=15 * DAY))

    assert set(re.findall(r"perfloop_[a-z_]+", text)) - names == set()
