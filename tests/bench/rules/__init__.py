"""bench-rules: what one evaluation of all compiled rules costs a real Prometheus, and how it grows with the series."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import click
import yaml
from msgspec import Struct
from msgspec.structs import replace

import perfloop
from perfloop.app.rules import rule_groups
from perfloop.config import load
from perfloop.prometheus.status import LoadedGroup, PrometheusStatus
from perfloop.rules.groups import Group, render
from perfloop.stack import servers
from perfloop.stack.process import free_port
from tests.bench.report import Measure, Result, alone, bounded, growth
from tests.bench.rules.history import backfill, joined, remembered
from tests.bench.rules.pages import Series, dense, fleet, real_page, serving
from tests.support import eventually

ROOT = Path(__file__).parents[3]
SMALL, LARGE = 1_000, 10_000
SCRAPE_SECONDS = 15
# So long that groups seldom run at the same time: their durations are those of a clock, not of a processor.
INTERVAL_SECONDS = 30
# Rates need two scrapes, and what is recorded of them one evaluation more.
WARM_UP_SECONDS, WARM_AGAIN_SECONDS, EVALUATIONS, COMPILES = 75, 45, 3, 5
# What is there only while something is unusual; it has no past when nothing is.
SPARSE = frozenset({"analysis:anomaly:outside", "analysis:anomaly:score_by_stream"})
DEAREST = 10


class Cost(Struct, frozen=True, kw_only=True):
    """What was measured of one set of series."""

    scraped: int
    analysed: int
    recorded: int
    blocks: int
    version: str
    rounds: Sequence[Sequence[LoadedGroup]]

    @property
    def seconds(self) -> float:
        """One evaluation of all groups."""
        return median(sum(group.evaluation_time for group in groups) for groups in self.rounds)

    def share_of_a_core(self, intervals: Mapping[str, int]) -> float:
        """How busy one core is with all of it, each group at its own interval."""
        return median(sum(group.evaluation_time / intervals[group.name] for group in groups) for groups in self.rounds)

    def dearest(self) -> str:
        """Return the rules that take longest, with their milliseconds."""
        times: dict[tuple[str, int], list[float]] = {}
        for group in (group for groups in self.rounds for group in groups):
            for i, rule in enumerate(group.rules):
                times.setdefault((rule.name, i), []).append(rule.evaluation_time)
        found = sorted(((median(each), name) for (name, _), each in times.items()), reverse=True)
        return ", ".join(f"{name} {1000 * seconds:.1f}" for seconds, name in found[:DEAREST])


def run() -> Result:
    """Measure everything."""
    groups = rule_groups(load(ROOT / "perfloop.yml"), config_path=ROOT / "perfloop.yml")
    groups = [group for group in groups if group.rules]
    count = sum(len(group.rules) for group in groups)
    page = real_page()
    inputs = {"small": fleet(page, SMALL), "large": fleet(page, LARGE), "dense": dense(groups, LARGE)}
    with tempfile.TemporaryDirectory(prefix="perfloop-bench-") as folder:
        compiled_seconds = median(_compiled(Path(folder)) for _ in range(COMPILES))
        found = {name: _evaluated(Path(folder) / name, groups, series) for name, series in inputs.items()}
    intervals = {group.name: group.interval_seconds for group in groups}
    return Result(
        measures=list(_measures(found, count=count, compiled_seconds=compiled_seconds, intervals=intervals)),
        versions={"perfloop": perfloop.__version__, "Prometheus": found["large"].version},
        notes=list(_notes(found)),
    )


def _measures(
    found: Mapping[str, Cost], *, count: int, compiled_seconds: float, intervals: Mapping[str, int]
) -> Iterator[Measure]:
    small, large, worst = (found[name] for name in ("small", "large", "dense"))
    yield bounded(f"one evaluation of all {count} rules, {large.scraped:,} series", "s", ours=large.seconds, most=1.0)
    yield growth(
        f"the same (ratio: to {small.scraped:,} series)", "s", small=small.seconds, large=large.seconds, reach=12.0
    )
    yield bounded("perfloop compile, with promtool and amtool", "s", ours=compiled_seconds, most=2.0)
    share = large.share_of_a_core(intervals)
    yield alone("all rules at their own intervals, share of one core", "", ours=share)
    yield alone("series that the rules record, for each that is scraped", "", ours=large.recorded / large.scraped)
    yield alone(f"one evaluation, {worst.scraped:,} series of the densest input", "s", ours=worst.seconds)


def _notes(found: Mapping[str, Cost]) -> Iterator[str]:
    large, worst = found["large"], found["dense"]
    yield (
        f"All groups of the example's perfloop.yml, each evaluated every {INTERVAL_SECONDS} s, those too that are "
        "otherwise evaluated every five minutes or every six hours: the sum of their last durations over all groups, "
        f"the median of {EVALUATIONS} evaluations."
    )
    yield (
        "The input is what the exporter says of a real host and of real databases, caches, probes and benchmarks, as "
        "of several hosts of three kinds; values go on as they did between two scrapes. "
        f"{large.analysed} of the recorded series are metrics of the catalogue, which the analysis looks at."
    )
    yield (
        f"The densest input has each series that any rule reads once for each host and nothing else: {worst.analysed} "
        "metrics are analysed then, and many alerts fire."
    )
    yield (
        "What rules read over an hour and more of recorded series is filled in before, in blocks of two hours, which "
        f"Prometheus then joins ({large.blocks} blocks when it is measured)."
    )
    yield f"The dearest {DEAREST} with {large.scraped:,} series, in ms: {large.dearest()}."


def _say(text: str) -> None:
    click.echo(text, err=True)


def _compiled(folder: Path) -> float:
    out = folder / "compiled"
    argv = [sys.executable, "-m", "perfloop", "compile", f"--config.file={ROOT / 'perfloop.yml'}", f"--out={out}"]
    began_at = time.perf_counter()
    subprocess.run(argv, check=True, capture_output=True)
    return time.perf_counter() - began_at


def _evaluated(folder: Path, groups: Sequence[Group], series: Sequence[Series]) -> Cost:
    folder.mkdir()
    # One short interval, so that each group is evaluated while somebody waits.
    quick = [replace(group, interval_seconds=INTERVAL_SECONDS) for group in groups]
    (folder / "rules.yml").write_text(render(quick), encoding="utf-8")
    wanted = {name: each for name, each in remembered(groups).items() if name not in SPARSE}
    with serving(series) as target:
        _say(f"{folder.name}, {len(series):,} series: filling in the past, then {EVALUATIONS} evaluations (7 minutes)")
        # What is recorded from a past appears only when that past is there: so, in rounds.
        until = time.time() - 60
        warm_up_seconds = WARM_UP_SECONDS
        while True:
            with _prometheus(folder, target) as client:
                time.sleep(warm_up_seconds)
                filled = backfill(folder, client, wanted, until=until)
            wanted = {name: each for name, each in wanted.items() if name not in filled}
            _say(f"  {len(filled)} recorded series have got a past, {len(wanted)} are left or not recorded here")
            warm_up_seconds = WARM_AGAIN_SECONDS
            if not filled:
                break
        with _prometheus(folder, target) as client:
            _say("  waiting until Prometheus has joined its blocks")
            blocks = joined(folder / "prometheus", wait=lambda: time.sleep(10))
            return _timed(client, len(series), blocks)


def _timed(client: PrometheusStatus, size: int, blocks: int) -> Cost:
    def count(what: str) -> int:
        return int(eventually(lambda: client.query(f"count({what})"), what=what)[0].sample.value)

    scraped = int(client.query("sum(scrape_samples_scraped)")[0].sample.value)
    assert scraped == size, f"{scraped} series were scraped, not {size}"
    rounds = []
    for _ in range(EVALUATIONS):
        time.sleep(INTERVAL_SECONDS)
        rounds.append(client.groups())
    return Cost(
        scraped=scraped,
        analysed=count("analysis:value:avg5m"),
        recorded=count('{__name__=~".+:.+"}'),
        blocks=blocks,
        version=client.version(),
        rounds=rounds,
    )


@contextmanager
def _prometheus(folder: Path, target: str) -> Iterator[PrometheusStatus]:
    config = {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{INTERVAL_SECONDS}s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [
            {"job_name": "perfloop", "honor_labels": True, "static_configs": [{"targets": [target]}]},
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    child = servers.prometheus(folder, config=folder / "prometheus.yml", port=free_port())
    child.start()
    try:
        child.wait_ready()
        yield PrometheusStatus(child.address, timeout_seconds=60)
    finally:
        child.stop()
