"""History into a real Prometheus: samples first, then what rules would have recorded, pass by pass.

`promtool tsdb create-blocks-from rules` evaluates a rule over the past by asking a Prometheus that runs, and writes
blocks. A rule cannot see what another one of the same call has written, so each pass has the rules that read only what
earlier passes wrote; Prometheus sees new blocks at its next start. Every value is worked out from samples up to its
own time, as live.
"""

from __future__ import annotations

import bisect
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import requests
from msgspec.structs import replace

from perfloop.errors import StackFailed
from perfloop.rules.groups import Group, Rule, render
from perfloop.stack.process import Child, find_binary, free_port
from perfloop.stack.servers import prometheus
from tests.bench.anomaly.nab import Labelled

STEP_SECONDS = 300
_WEEK, _DAY = 7 * 86400, 86400
_MONDAY = 1_704_067_200  # 2024-01-01, where all series are put, by whole weeks
_BLOCKS = "--max-block-duration=162h"
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*:[a-zA-Z0-9_:]+")


def passes(groups: Iterable[Group], wanted: Iterable[str]) -> list[list[Group]]:
    """Return the rules that the wanted names need, in passes: each reads only what earlier ones recorded."""
    groups = list(groups)
    by_name: dict[str, list[Rule]] = {}
    for rule in (rule for group in groups for rule in group.rules):
        by_name.setdefault(rule.record, []).append(rule)
    level: dict[str, int] = {}

    def visit(name: str) -> int:
        if name not in level:
            read = {found for rule in by_name[name] for found in _NAME.findall(rule.expr)} & by_name.keys()
            level[name] = 1 + max((visit(each) for each in read), default=-1)
        return level[name]

    last = max(visit(name) for name in wanted)
    chosen = [
        [replace(group, rules=tuple(rule for rule in group.rules if level.get(rule.record) == i)) for group in groups]
        for i in range(last + 1)
    ]
    return [[group for group in each if group.rules] for each in chosen]


class Replay:
    """The series as `metric{component="NAME"}` in a Prometheus of their own, and what rules made of them."""

    def __init__(self, series: Sequence[Labelled], *, metric: str, folder: Path) -> None:
        self._folder, self._data = folder, folder / "prometheus"
        self._times = {each.name: [time - _shift(each) for time in each.times] for each in series}
        self.start = min(times[0] for times in self._times.values())
        self.end = max(times[-1] for times in self._times.values()) + 3600
        config = folder / "prometheus.yml"
        config.write_text("global: {}\n", encoding="utf-8")
        # Nothing is marked as stale here: with the usual five minutes what ended a step ago would be the present.
        options = ["--query.lookback-delta=2m"]
        self._server: Child = prometheus(folder, config=config, port=free_port(), retention="100y", options=options)
        lines = (line for each in series for line in self._lines(each, metric))
        (folder / "samples.txt").write_text("\n".join([*lines, "# EOF", ""]), encoding="utf-8")
        self._promtool(["openmetrics", str(folder / "samples.txt"), str(self._data)], cwd=folder)

    def record(self, levels: Sequence[Sequence[Group]]) -> None:
        """Evaluate all passes over all of the past. Raises StackFailed with what promtool said."""
        for i, groups in enumerate(levels):
            # The same relative name each time, as it decides at which second of its interval a group is evaluated.
            place = self._folder / f"pass-{i}"
            place.mkdir()
            (place / "rules.yml").write_text(render(groups), encoding="utf-8")
            self._start()
            try:
                times = [f"--start={self.start}", f"--end={self.end}", f"--url={self._server.address}"]
                self._promtool(["rules", *times, f"--output-dir={place / 'blocks'}", "rules.yml"], cwd=place)
            finally:
                self._server.stop()
            for block in sorted((place / "blocks").iterdir()):
                shutil.move(block, self._data)

    def rows(self, names: Iterable[str]) -> dict[str, dict[str, list[tuple[int, float]]]]:
        """Return, by recorded name and series, each value with the row that was the newest when it was recorded."""
        self._start()
        try:
            return {name: self._rows(name) for name in names}
        finally:
            self._server.stop()

    def _rows(self, name: str) -> dict[str, list[tuple[int, float]]]:
        days = (self.end - self.start) // _DAY + 2
        form = {"query": f"{name}[{days}d]", "time": str(self.end + STEP_SECONDS)}
        answer = requests.post(f"{self._server.address}/api/v1/query", data=form, timeout=60)
        answer.raise_for_status()
        found: dict[str, list[tuple[int, float]]] = {}
        for each in answer.json()["data"]["result"]:
            component = each["metric"]["component"]
            times = self._times[component]
            found[component] = [(bisect.bisect_right(times, at) - 1, float(value)) for at, value in each["values"]]
        return found

    def _lines(self, series: Labelled, metric: str) -> Iterable[str]:
        """Write each value at every five minutes until the next, as a scrape would see it; gaps stay gaps."""
        times = self._times[series.name]
        spacing = sorted(later - time for time, later in pairwise(times))[len(times) // 2]
        for i, value in enumerate(series.values):
            until = min(times[i] + spacing, times[i + 1] if i + 1 < len(times) else times[i] + 1)
            for at in range(times[i], until, STEP_SECONDS):
                yield f'{metric}{{component="{series.name}"}} {value!r} {at}'

    def _start(self) -> None:
        self._server.start()
        self._server.wait_ready(timeout_seconds=60)

    def _promtool(self, arguments: Sequence[str], *, cwd: Path) -> None:
        argv = [find_binary("promtool"), "tsdb", "create-blocks-from", "--quiet", _BLOCKS, *arguments]
        done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False, timeout=900)
        if done.returncode:
            raise StackFailed(f"promtool {arguments[0]}: {(done.stderr or done.stdout).strip()[-500:]}")


def detections(found: Mapping[str, Sequence[tuple[int, float]]]) -> dict[str, list[int]]:
    """Return the rows of each series that have a value, each once."""
    return {name: sorted({row for row, _ in rows}) for name, rows in found.items()}


def _shift(series: Labelled) -> int:
    return (series.times[0] - _MONDAY) // _WEEK * _WEEK
