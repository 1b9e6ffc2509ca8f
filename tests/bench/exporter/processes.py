"""Watching 120 processes beside prometheus-process-exporter without threads and smaps, its leanest."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.exporter.sides import NOTHING, cpu_per_scrape, hot, our_exporter, serving
from tests.bench.peers import process_exporter
from tests.bench.report import Measure

COUNT = 120
CONFIG = NOTHING.replace("}}\n", "}, process: {groups: [{name: sleepers, names: [sleep]}]}}\n")


def processes(folder: Path, notes: list[str]) -> Iterator[Measure]:
    """One group of sleeping processes on both sides."""
    with (
        _sleepers(),
        serving(our_exporter(folder, CONFIG, name="ours-processes")) as ours,
        serving(process_exporter(folder)) as theirs,
    ):
        hot(ours, theirs, blocks=20, scrapes=20)
        yield cpu_per_scrape(f"{COUNT} processes", ours, theirs, reach=0.10)
        notes.append(f"Samples of processes, ours/theirs: {ours.count}/{theirs.count}.")


@contextmanager
def _sleepers() -> Iterator[None]:
    started = [subprocess.Popen(["sleep", "3600"]) for _ in range(COUNT)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()
