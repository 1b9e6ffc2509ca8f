"""bench-anomaly: labelled series through a real Prometheus with our rules and others', judged as NAB judges."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import perfloop
from perfloop.errors import PerfloopError
from perfloop.model import CatalogueMetric, Direction
from perfloop.rules.analysis import analysis_groups
from perfloop.rules.analysis.anomaly import SCORE, THRESHOLD
from perfloop.stack.process import find_binary
from tests.bench.anomaly.nab import Labelled, Profile, Tally, load, profiles, tally
from tests.bench.anomaly.replay import Replay, detections, passes
from tests.bench.anomaly.rivals import PEERS, beside
from tests.bench.report import Measure, Result, alone, bounded, compared

SERIES = Path(os.environ.get("PERFLOOP_BENCH_NAB") or Path(__file__).parents[3].parent / "shared" / "data" / "nab")
OURS = "analysis:anomaly:new"
LEAST_SCORE, MOST_FALSE_ALARMS = 58, 0.1
_RETENTION_SECONDS = 15 * 86400
_LEVELS = (3.46, 4, 5)
_HIGHER = (3.6, 3.8, 4, 5)
_METRIC = CatalogueMetric(name="nab", expr="nab", unit="", direction=Direction.LOWER, help="A series of NAB.")


def run() -> Result:
    """Replay everything. Raises PerfloopError without the series."""
    if not (SERIES / "labels").is_dir():
        raise PerfloopError(
            f"no series in {SERIES}: a part of NAB with its labels; PERFLOOP_BENCH_NAB names the folder"
        )
    series, costs = load(SERIES), profiles(SERIES)
    ours = analysis_groups({"nab": _METRIC}, interval_seconds=15, retention_seconds=_RETENTION_SECONDS)
    with tempfile.TemporaryDirectory(prefix="perfloop-bench-") as folder:
        replay = Replay(series, metric=_METRIC.series, folder=Path(folder))
        replay.record(passes(beside(ours), (OURS, *PEERS.values())))
        rows = replay.rows((OURS, SCORE, *PEERS.values()))
    silent = [name for name in (OURS, *PEERS.values()) if not rows[name]]
    if silent:
        raise PerfloopError(f"nothing was recorded as {', '.join(silent)}: there is nothing to compare")
    tallies = {name: tally(series, detections(rows[name]), costs) for name in (OURS, *PEERS.values())}
    windows = sum(len(each.windows) for each in series)
    days = sum(each.judged_days for each in series)
    return Result(
        measures=list(_measures(tallies)),
        versions={"perfloop": perfloop.__version__, "Prometheus": _version("prometheus")},
        notes=[
            f"{len(series)} series of NAB with {windows} labelled windows and {days:.0f} series-days after the "
            "probation; each value is scraped until the next one comes, and each rule evaluated over it by "
            "`promtool tsdb create-blocks-from rules`.",
            f"A detection of ours is a value of `{OURS}`: a score of at least {THRESHOLD}, higher than in the 12 hours "
            "before. The z-score alerts above 3, higher than in the 12 hours before; the bands when the level left "
            "them for five minutes, and not again for 12 hours. The threshold is not fitted to "
            "these series; which streams are joined was decided after about two dozen tries on them.",
            f"With another threshold ours would have had: {_sensitivity(series, rows[OURS], costs)}.",
            f"How well the scale holds outside of windows: {_calibration(series, rows[SCORE])}.",
        ],
    )


def _measures(tallies: Mapping[str, Tally]) -> Iterator[Measure]:
    own = tallies[OURS]
    # Less is better in these tables, so that the distance to a perfect score of 100 is what is compared.
    yield bounded(
        "NAB standard, points missing to 100", "points", ours=100 - own.scores["standard"], most=100 - LEAST_SCORE
    )
    yield bounded("false alarms per series-day", "alarms", ours=own.false_alarms_per_day, most=MOST_FALSE_ALARMS)
    for name, score in own.scores.items():
        yield alone(f"NAB score, {name}: ours", "points", ours=score)
    for peer, key in PEERS.items():
        for name, score in tallies[key].scores.items():
            yield alone(f"NAB score, {name}: {peer}", "points", ours=score)
    for peer, key in PEERS.items():
        other = tallies[key]
        for name in own.scores:
            missing, theirs = 100 - own.scores[name], 100 - other.scores[name]
            yield compared(f"points missing to 100, {name}: {peer}", "points", ours=missing, theirs=theirs)
        yield compared(f"alarms that were false: {peer}", "share", ours=1 - own.precision, theirs=1 - other.precision)
        yield compared(f"windows missed: {peer}", "share", ours=1 - own.recall, theirs=1 - other.recall)
        alarms, theirs = own.false_alarms_per_day, other.false_alarms_per_day
        yield compared(f"false alarms per series-day: {peer}", "alarms", ours=alarms, theirs=theirs)


def _sensitivity(
    series: Sequence[Labelled], new: Mapping[str, Sequence[tuple[int, float]]], costs: Mapping[str, Profile]
) -> str:
    """Say what a higher threshold would have given: what is higher than in the 12 hours before is so with any."""
    told = []
    for threshold in _HIGHER:
        kept = {name: [each for each in rows if each[1] >= threshold] for name, rows in new.items()}
        other = tally(series, detections(kept), costs)
        told.append(
            f"at {threshold:g} {other.scores['standard']:.1f} points (standard), {other.recall:.0%} of the windows,"
            f" {other.false_alarms_per_day:.3f} false alarms per series-day"
        )
    return "; ".join(told)


def _calibration(series: Sequence[Labelled], scores: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """Say which share of all values outside of windows scores at least so much."""
    healthy = [
        value
        for each in series
        for row, value in scores.get(each.name, ())
        if row >= each.probation and not any(begin <= row <= end for begin, end in each.windows)
    ]
    shares = ((level, sum(value >= level for value in healthy) / len(healthy)) for level in _LEVELS)
    return ", ".join(f"{level:g} or more {share:.1e} (meant {10**-level:.1e})" for level, share in shares)


def _version(program: str) -> str:
    done = subprocess.run([find_binary(program), "--version"], capture_output=True, text=True, check=True, timeout=20)
    found = re.search(r"version (\S+)", done.stdout + done.stderr)
    return found[1] if found else "unknown"
