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
from tests.rules import coverage

HERE = Path(__file__).parent
DAY, STEP = 86400, 300
METRIC = CatalogueMetric(name="m", expr="m", unit="", direction=Direction.LOWER, help="A metric.")
STUDENT_975_AT_10 = 2.2281
COUNT, LOWER, UPPER = "analysis:anomaly:count", "analysis:value:lower", "analysis:value:upper"


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


LINES = ("analysis:trend", "analysis:prediction", "analysis:value:avg6h_step")


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


def fitted(values: Any) -> Mapping[str, float]:
    """Work out what is recorded of the values; the newest step is recorded after the line is drawn."""
    line = coverage.fitted(values, steps=np.diff(values)[:-1])
    residual_share = line.residual_variance * (line.count - 2) / line.count / float(np.var(values))
    return {
        "analysis:trend:slope_1d": coverage.BLOCKS_A_DAY * line.slope,
        "analysis:trend:r_squared": 1 - residual_share,
        "analysis:trend:residual_variance": line.residual_variance,
        "analysis:trend:effective_count": line.effective_count,
        "analysis:prediction:1d": line.at(line.count - 1 + coverage.BLOCKS_A_DAY + 0.5),
        "analysis:prediction:error_1d": line.error_a_day_ahead(line.effective_count),
    }


def test_a_noisy_line_and_its_interval_are_what_least_squares_give(tmp_path: Path) -> None:
    compiled(tmp_path, *LINES)
    rng = np.random.default_rng(4)
    series = {
        "independent": 50 + 0.3 * np.arange(28) + rng.normal(size=28),
        "correlated": 50 + 0.3 * np.arange(28) + coverage.autoregressive(rng, rho=0.7, count=28),
    }
    checks = [
        {
            "expr": f'abs({name}{{instance="{instance}"}} / {float(value)!r} - 1) < bool 1e-6',
            "eval_time": "162h3m",
            "exp_samples": [{"labels": f'{{metric="m", instance="{instance}"}}', "value": 1}],
        }
        for instance, values in series.items()
        for name, value in fitted(values).items()
    ]
    inputs = [
        {"series": f'{name}{{metric="m", instance="{instance}"}}', "values": " ".join(map(repr, map(float, values)))}
        for instance, values in series.items()
        for name in ("analysis:value:avg6h", "analysis:value:avg5m")
    ]
    test = {"interval": "6h", "input_series": inputs, "promql_expr_test": checks}
    # Else promtool takes the groups in any order.
    order = [f"perfloop-analysis-{group}" for group in ("steps", "blocks")]
    head = {"rule_files": ["analysis.yml"], "evaluation_interval": "6h", "group_eval_order": order}
    document = {**head, "tests": [test]}
    file = tmp_path / "noise.test.yml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")

    done = promtool(file)

    assert done.returncode == 0, done.stdout + done.stderr
    independent, correlated = (fitted(values)["analysis:trend:effective_count"] for values in series.values())
    assert independent > 20
    assert 4 < correlated < 15


def test_the_series_for_students_quantile_is_near_it() -> None:
    assert coverage.student(10) == pytest.approx(STUDENT_975_AT_10, rel=0.001)


@pytest.mark.parametrize("rho", [pytest.param(rho, id=f"r = {rho}") for rho in (0, 0.5, 0.8, 0.95)])
def test_the_interval_of_a_day_ahead_holds_as_often_as_it_says(rho: float) -> None:
    held, _ = coverage.prediction(np.random.default_rng(11), rho=rho, series=400)

    assert held == pytest.approx(0.95, abs=0.03)


def test_the_band_of_the_time_until_full_holds_and_the_time_is_near() -> None:
    share = coverage.until_full(np.random.default_rng(11), series=300)

    assert share.held > 0.93
    assert share.factor < 1.1


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, list[tuple[int, float]]]]:
    """Three days and a half through a real Prometheus: what was recorded, by name and series."""
    groups = analysis_groups({"m": METRIC}, interval_seconds=15, retention_seconds=15 * DAY)
    names = (COUNT, *(f"analysis:anomaly:{name}" for name in ("score", "score_by_stream", "new")), LOWER, UPPER)
    series = [
        Labelled(name=name, times=times(len(values)), values=values, windows=()) for name, values in INPUTS.items()
    ]
    replay = Replay(series, metric="perfloop:m", folder=tmp_path_factory.mktemp("replay"))
    replay.record(passes(groups, names))
    return replay.rows(names)


def times(count: int) -> list[int]:
    return [1_704_067_200 + STEP * i for i in range(count)]


ROWS, AT, BLOCK_ROWS = 1500, 1450, 72


def inputs() -> dict[str, list[float]]:
    rng = np.random.default_rng(1)
    noise = 100 + 20 * rng.uniform(-1, 1, size=ROWS)
    drop, nan, nudge = noise.copy(), noise.copy(), np.full(ROWS, 100.0)
    drop[AT:] = 0
    nan[400:436] = math.nan
    nudge[AT:] = 100.1
    jump, first = np.full(ROWS, 100.0), np.zeros(ROWS)
    jump[AT:] = 110
    stairs = jump.copy()
    stairs[AT + 3 :] = 125
    seldom = noise.copy()
    # Less than half of each block, as of requests that come now and then.
    seldom[[i for i in range(AT) if i % BLOCK_ROWS >= 30]] = math.nan
    first[AT:] = 3
    return {
        name: [float(value) for value in values]
        for name, values in {
            "noise": noise, "drop": drop, "nan": nan, "nudge": nudge, "jump": jump, "first": first, "stairs": stairs,
            "young": np.append(np.full(200, 5.0), [500.0] * 20), "seldom": seldom,
        }.items()
    }  # fmt: skip


INPUTS = inputs()


def at(replayed: Any, name: str, series: str, row: int) -> float:
    return dict(replayed[name][series])[row]


def score_at(replayed: Any, series: str, row: int) -> float:
    return at(replayed, "analysis:anomaly:score", series, row)


def test_as_many_values_count_as_the_season_had_at_the_last_block(replayed: Any) -> None:
    # The season begins a day after half an hour.
    season = AT - DAY // STEP - 5

    count = at(replayed, COUNT, "noise", AT)

    assert season - BLOCK_ROWS <= count <= season


def test_a_drop_to_zero_scores_by_its_distance_in_deviations(replayed: Any) -> None:
    past = np.array(INPUTS["drop"][:AT])
    spikes = np.array([abs(past[i] - np.median(past[i - 24 : i])) for i in range(24, AT)])
    count = at(replayed, COUNT, "drop", AT)

    low = math.log10((count + 1) / 2) + past.min() / past.std() / math.log(10)
    spike = np.median(past[-24:]) - spikes.max()
    sudden = math.log10(count + 1) + spike / math.sqrt(np.mean(spikes**2)) / math.log(10)

    assert score_at(replayed, "drop", AT) == pytest.approx(max(low, sudden), abs=0.05)
    assert [row for row, _ in replayed["analysis:anomaly:new"]["drop"]][:1] == [AT]


def test_an_anomaly_is_new_once(replayed: Any) -> None:
    alerts = [row for row, _ in replayed["analysis:anomaly:new"]["jump"]]

    # The least deviation is a hundredth of the value.
    expected = math.log10(at(replayed, COUNT, "jump", AT) + 1) + 10 / math.log(10)

    assert alerts == [AT]
    assert score_at(replayed, "jump", AT) == pytest.approx(expected, abs=1e-6)


def test_what_was_outside_since_the_last_block_is_known(replayed: Any) -> None:
    chance = math.log10(at(replayed, COUNT, "stairs", AT) + 1)

    # What stays outside is no news, but for the mean of an hour, into which it goes by a twelfth each time.
    assert score_at(replayed, "stairs", AT + 1) == pytest.approx(chance + 10 / 12 / math.log(10), abs=0.05)
    assert [row for row, _ in replayed["analysis:anomaly:new"]["stairs"]] == [AT, AT + 3]
    assert score_at(replayed, "stairs", AT + 3) == pytest.approx(chance + 15 / math.log(10), abs=1e-6)


@pytest.mark.parametrize("name", ["noise", "seldom"])
def test_the_deviation_is_that_of_all_values_also_where_there_are_few(replayed: Any, name: str) -> None:
    past = np.array(INPUTS[name][:AT])
    room = (THRESHOLD - math.log10((at(replayed, COUNT, name, AT) + 1) / 2)) * math.log(10)

    deviation = (at(replayed, UPPER, name, AT) - np.nanmax(past)) / room

    assert deviation == pytest.approx(np.nanstd(past), rel=0.05)


def test_what_stands_still_has_a_score_of_zero_and_a_nudge_no_alert(replayed: Any) -> None:
    assert {score for row, score in replayed["analysis:anomaly:score"]["nudge"] if row < AT} == {0.0}
    expected = math.log10(at(replayed, COUNT, "nudge", AT) + 1) + 0.1 / math.log(10)
    assert score_at(replayed, "nudge", AT) == pytest.approx(expected, abs=1e-6)
    assert "nudge" not in replayed["analysis:anomaly:new"]


def test_the_first_value_after_zeros_counts_as_new_whatever_its_size(replayed: Any) -> None:
    expected = math.log10(at(replayed, COUNT, "first", AT) + 1) + 1 / math.log(10)

    assert score_at(replayed, "first", AT) == pytest.approx(expected, abs=1e-6)


def test_two_days_of_values_are_needed_and_nan_is_none_of_them(replayed: Any) -> None:
    assert "young" not in replayed["analysis:anomaly:score"]
    assert min(row for row, _ in replayed["analysis:anomaly:score"]["noise"]) >= 2 * DAY // STEP
    # For half an hour there is a mean of the hour; and a replay marks nothing as stale: each pass adds a step.
    assert not {row for row, _ in replayed["analysis:anomaly:score"]["nan"]} & set(range(412, 436))
    assert score_at(replayed, "nan", ROWS - 1) >= 0


def test_the_band_is_where_the_score_of_the_value_reaches_the_threshold(replayed: Any) -> None:
    past = np.array(INPUTS["noise"][:AT])
    room = (THRESHOLD - math.log10((at(replayed, COUNT, "noise", AT) + 1) / 2)) * math.log(10) * past.std()

    assert at(replayed, UPPER, "noise", AT) == pytest.approx(past.max() + room, abs=0.5)
    assert at(replayed, LOWER, "noise", AT) == pytest.approx(past.min() - room, abs=0.5)


def test_labels_of_a_metric_do_not_get_in_the_way_of_those_of_the_analysis(tmp_path: Path) -> None:
    catalogue = {name: replace(METRIC, name=name) for name in ("own", "plain")}
    groups = analysis_groups(catalogue, own=frozenset({"own"}), interval_seconds=15, retention_seconds=15 * DAY)
    (tmp_path / "analysis.yml").write_text(render(groups), encoding="utf-8")
    odd = [f'perfloop:own{{stream="{stream}", metric="{name}"}}' for stream in ("a", "b") for name in ("x", "y")]
    inputs = [{"series": series, "values": "1x40"} for series in (*odd, 'perfloop:plain{component="c"}')]
    found = [
        f'analysis:value:avg5m{{metric="own", exported_metric="{name}", stream="{stream}"}}'
        for stream in ("a", "b")
        for name in ("x", "y")
    ]
    checks = [
        {
            "expr": "analysis:value:avg5m",
            "eval_time": "2h2m",
            "exp_samples": [
                *({"labels": labels, "value": 1} for labels in found),
                {"labels": 'analysis:value:avg5m{metric="plain", component="c"}', "value": 1},
            ],
        },
        # Of each its distance from the two hours before.
        {"expr": "count(analysis:distance)", "eval_time": "2h2m", "exp_samples": [{"labels": "{}", "value": 5}]},
    ]
    test = {"interval": "5m", "input_series": inputs, "promql_expr_test": checks}
    (tmp_path / "labels.test.yml").write_text(
        yaml.safe_dump({"rule_files": ["analysis.yml"], "evaluation_interval": "5m", "tests": [test]})
    )

    done = promtool(tmp_path / "labels.test.yml")

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("days", range(2, 16))
def test_a_missed_evaluation_does_not_end_what_a_short_retention_allows(days: int) -> None:
    full = replace(METRIC, name="full", unit="percent")
    text = render(analysis_groups({"full": full}, interval_seconds=15, retention_seconds=days * DAY))

    counts = re.findall(r"(sum|count)_over_time\((\S+?)\[(\d+)d\](?: offset 4m)?\) >= (\d+)", text)
    held = {name: (86400 // (300 if kind == "sum" else 6 * 3600)) * int(span) for kind, name, span, _ in counts}

    assert len(counts) == (3 if days > 5 else 2)
    assert [name for _, name, _, least in counts if int(least) >= held[name]] == []


@pytest.mark.parametrize(
    ("days", "kept", "gone", "note"),
    [
        pytest.param(15, ["offset 7d", "[7d]", "[13d]"], [], "", id="all"),
        pytest.param(
            7,
            ["offset 3d", "[6d]"],
            ["7d"],
            "# left out, .* all beyond 6 days, the same time 7.* daily maxima beyond 6",
            id="a week",
        ),
        pytest.param(
            3,
            ["offset 2d", "[2d]"],
            ["3d", "7d", "analysis:full"],
            "2 days, the same time 3.* the time until full",
            id="3 days",
        ),
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
