"""bench-rules: what one evaluation of all compiled rules costs a real Prometheus, and how it grows with the series."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any

import yaml

import perfloop
from perfloop.app.rules import rule_groups
from perfloop.config import load
from perfloop.prometheus.status import LoadedGroup, PrometheusStatus
from perfloop.rules.groups import Group, to_yaml
from perfloop.rules.promql import seconds_of
from perfloop.rules.reading import series_read
from perfloop.stack import servers
from perfloop.stack.process import find_binary, free_port
from tests.bench.report import Measure, Result, bounded, growth
from tests.support import eventually

ROOT = Path(__file__).parents[2]
SIZES = (1_000, 10_000)
SCRAPE_SECONDS = 15
# So long that groups seldom run at the same time: their durations are those of a clock, not of a processor.
INTERVAL_SECONDS = 30
WARM_UP_SECONDS, EVALUATIONS, COMPILES = 100, 5, 3
DEAREST = 10
_COUNTERS = ("_total", "_sum", "_count", "_bucket")
# Counters of what hardly ever happens: were they to grow, every alert would fire on every host.
_RARE = re.compile(
    "fail|error|reject|refus|drop|corrupt|deadlock|restart|kill|overflow|abort|lost|missed|stall|conflict"
)
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\{([^{}]*)\}")
_WINDOW = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{[^{}]*\})?\[(\d+[mhd])\]")
_MATCHER = re.compile(r"(\w+)\s*=~?\s*\"([^\"|]*)")


def run() -> Result:
    """Measure everything."""
    groups = rule_groups(load(ROOT / "perfloop.yml"), config_path=ROOT / "perfloop.yml")
    count = sum(len(group.rules) for group in groups)
    with tempfile.TemporaryDirectory(prefix="perfloop-bench-") as folder:
        compiled_seconds = median(_compiled(Path(folder)) for _ in range(COMPILES))
        found = {size: _evaluated(Path(folder) / str(size), groups, size) for size in SIZES}
        version = found[SIZES[0]][2]
    small, large = (found[size][0] for size in SIZES)
    measures: list[Measure] = [
        bounded(f"one evaluation of all {count} rules, {SIZES[1]:,} series", "s", ours=large, most=1.0),
        growth(f"the same (ratio: to {SIZES[0]:,} series)", "s", small=small, large=large, reach=12.0),
        bounded("perfloop compile, with promtool and amtool", "s", ours=compiled_seconds, most=2.0),
    ]
    return Result(
        measures=measures,
        versions={"perfloop": perfloop.__version__, "Prometheus": version},
        notes=[
            f"All groups of the example's perfloop.yml, each evaluated every {INTERVAL_SECONDS} s, those too that are "
            "otherwise evaluated every five minutes or every hour: the sum of "
            f"their last durations over all groups, the median of {EVALUATIONS} evaluations.",
            "The input is each series that any rule reads, once for each of so many hosts, changing at each scrape.",
            "What rules read over an hour and more of recorded series is filled in before, at the interval at which it "
            f"is recorded; raw series are {WARM_UP_SECONDS} to {2 * WARM_UP_SECONDS} s old.",
            f"The dearest {DEAREST} with {SIZES[1]:,} series, in ms: {_dearest(found[SIZES[1]][1])}.",
        ],
    )


def _compiled(folder: Path) -> float:
    out = folder / "compiled"
    argv = [sys.executable, "-m", "perfloop", "compile", f"--config.file={ROOT / 'perfloop.yml'}", f"--out={out}"]
    began_at = time.perf_counter()
    subprocess.run(argv, check=True, capture_output=True)
    return time.perf_counter() - began_at


def _evaluated(folder: Path, groups: Sequence[Group], size: int) -> tuple[float, list[LoadedGroup], str]:
    """Return how long one evaluation of all groups takes, the groups as they were last, and Prometheus' version."""
    folder.mkdir()
    (folder / "rules.yml").write_text(_quick(groups), encoding="utf-8")
    with _serving(_pages(groups, size)) as target:
        began_at = time.time()
        with _prometheus(folder, target) as client:
            time.sleep(WARM_UP_SECONDS)
            _backfill(folder, client, _remembered(groups), until=began_at - 60)
        with _prometheus(folder, target) as client:
            time.sleep(WARM_UP_SECONDS)
            return _timed(client, size)


def _timed(client: PrometheusStatus, size: int) -> tuple[float, list[LoadedGroup], str]:
    scraped = eventually(lambda: client.query("sum(scrape_samples_scraped)"), what="a scrape")[0].sample.value
    assert 0.9 * size <= scraped <= 1.1 * size, f"{scraped} series were scraped, not {size}"
    seconds = []
    for _ in range(EVALUATIONS):
        time.sleep(INTERVAL_SECONDS)
        seconds.append(sum(group.evaluation_time for group in client.groups()))
    return median(seconds), client.groups(), client.version()


def _remembered(groups: Sequence[Group]) -> dict[str, tuple[int, int]]:
    """Return the recorded series that are read over an hour and more: their interval, and the longest such window."""
    intervals = {rule.record: group.interval_seconds for group in groups for rule in group.rules if rule.record}
    found: dict[str, tuple[int, int]] = {}
    for name, window in (read for group in groups for rule in group.rules for read in _WINDOW.findall(rule.expr)):
        seconds = round(seconds_of(window))
        if seconds >= 3600 and name in intervals:
            found[name] = (intervals[name], max(seconds, found.get(name, (0, 0))[1]))
    return found


def _backfill(
    folder: Path, client: PrometheusStatus, remembered: Mapping[str, tuple[int, int]], *, until: float
) -> None:
    """Give each series that is recorded now the past that rules read of it, as blocks beside the head."""
    file = folder / "history.txt"
    with file.open("w", encoding="utf-8") as text:
        for name, (interval, window) in remembered.items():
            text.write(f"# TYPE {name} gauge\n")
            for series in client.query(name):
                labels = ",".join(f'{key}="{value}"' for key, value in series.labels.items() if key != "__name__")
                count = window // interval
                times = (until - (count - i) * interval for i in range(count))
                text.writelines(f"{name}{{{labels}}} {50 + i % 17} {at:.0f}\n" for i, at in enumerate(times))
        text.write("# EOF\n")
    argv = [find_binary("promtool"), "tsdb", "create-blocks-from", "--max-block-duration=720h", "openmetrics"]
    subprocess.run([*argv, file.name, "prometheus"], cwd=folder, check=True, capture_output=True)
    file.unlink()


def _quick(groups: Sequence[Group]) -> str:
    """Return the rules with one short interval, so that each is evaluated while somebody waits."""
    rules: dict[str, Any] = {
        "groups": [
            {
                "name": group.name,
                "interval": f"{INTERVAL_SECONDS}s",
                "rules": [
                    {
                        **({"record": rule.record} if rule.record else {"alert": rule.alert}),
                        "expr": rule.expr,
                        "labels": dict(rule.labels),
                        **({"annotations": dict(rule.annotations)} if rule.alert else {}),
                    }
                    for rule in group.rules
                ],
            }
            for group in groups
            if group.rules
        ]
    }
    return to_yaml(rules)


def _pages(groups: Sequence[Group], size: int) -> list[tuple[str, bool]]:
    """Return the series, and whether each is a counter: what the rules read and do not record, for several hosts."""
    exprs = [rule.expr for group in groups for rule in group.rules]
    recorded = {rule.record for group in groups for rule in group.rules}
    names = sorted({name for expr in exprs for name in series_read(expr)} - recorded - {"up", "ALERTS"})
    labels: dict[str, dict[str, str]] = {name: {} for name in names}
    for name, matchers in (found for expr in exprs for found in _SELECTOR.findall(expr)):
        if name in labels:
            labels[name] |= {label: value for label, value in _MATCHER.findall(matchers) if label != "job"}
    hosts = max(1, round(size / len(names)))
    found = []
    for host in range(hosts):
        for name in names:
            told = {"component": "all", **labels[name], "instance": f"host-{host}:9847"}
            if name.endswith("_bucket"):
                told["le"] = "+Inf"
            text = ",".join(f'{label}="{value}"' for label, value in told.items())
            found.append((f"{name}{{{text}}}", name.endswith(_COUNTERS) and not _RARE.search(name)))
    return found


@contextmanager
def _serving(series: Sequence[tuple[str, bool]]) -> Iterator[str]:
    """Serve the series; counters grow, all others swing below one, each at its own pace."""
    began_at = time.time()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            at = time.time() - began_at
            lines = [
                f"{name} {(1 + i % 7) * at:.3f}" if grows else f"{name} {0.5 + 0.4 * math.sin(at / 60 + i):.3f}"
                for i, (name, grows) in enumerate(series)
            ]
            body = ("\n".join(lines) + "\n").encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((servers.HOST, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"{servers.HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


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


def _dearest(groups: Sequence[LoadedGroup]) -> str:
    rules = sorted((rule for group in groups for rule in group.rules), key=lambda rule: -rule.evaluation_time)
    return ", ".join(f"{rule.name} {1000 * rule.evaluation_time:.1f}" for rule in rules[:DEAREST])
