"""A scrape of this host beside node_exporter's: the same samples, the defaults, 100 at once, at rest."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from tests.bench.exporter.sides import (
    Side,
    Start,
    cold,
    cpu_per_sample,
    cpu_per_scrape,
    hot_over_starts,
    latency,
    our_exporter,
    serving,
)
from tests.bench.peers import node_exporter, node_exporter_lean
from tests.bench.probe import SCRAPE_HEADERS, resident_mebibytes, samples
from tests.bench.report import Measure, bounded, compared

# Of the system's sources, those that node_exporter's eight collectors do not read.
LEAN = "collectors: {system: {without: [vmstat, pressure, file-nr, schedstat, os-release, clocksource, timex]}}\n"
# What reads the sources of node_exporter's eight.
LEAN_PATH = "/metrics?collect[]=system&collect[]=filesystem&collect[]=network"
_LABEL = re.compile(r'\w+="(?:[^"\\]|\\.)*"')
BURST, BURSTS = 100, 10
IDLE_SECONDS = 5.0


def same_samples(folder: Path, notes: list[str]) -> Iterator[Measure]:
    """The same collectors as node_exporter with eight of them and no metrics of itself."""
    starts: tuple[Start, ...] = (
        lambda: serving(our_exporter(folder, LEAN), path=LEAN_PATH),
        lambda: serving(node_exporter_lean(folder)),
    )
    ours, theirs = hot_over_starts(*starts)
    yield cpu_per_scrape("same collectors, hot", ours, theirs, reach=0.20)
    yield latency("same collectors, hot", 0.5, ours, theirs, reach=0.20)
    yield latency("same collectors, hot", 0.99, ours, theirs, reach=0.50)
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(start()) for start in starts)
        cold(ours, theirs)
        yield cpu_per_scrape("same collectors, cold", ours, theirs, reach=0.30)
        held = [resident_mebibytes(side.children[0].pid) for side in (ours, theirs)]
        yield compared("resident memory, system only", "MiB", ours=held[0], theirs=held[1], reach=1.0)
        notes += _differences(folder, theirs)
        notes.append(f"Samples with the same collectors, ours/theirs: {ours.count}/{theirs.count}.")


def defaults(folder: Path, notes: list[str]) -> Iterator[Measure]:
    """What each does when nobody configures it."""
    starts: tuple[Start, ...] = (lambda: serving(our_exporter(folder, "")), lambda: serving(node_exporter(folder)))
    ours, theirs = hot_over_starts(*starts, blocks=20)
    yield cpu_per_sample("defaults, hot", ours, theirs, reach=0.20)
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(start()) for start in starts)
        cold(ours, theirs)
        yield cpu_per_sample("defaults, cold", ours, theirs)
        notes.append(f"Samples by default, ours/theirs: {ours.count}/{theirs.count}.")
        yield from _bursts(ours, theirs)
        time.sleep(0.5)  # whatever they still have to tidy up
        for side in (ours, theirs):
            side.forget()
        time.sleep(IDLE_SECONDS)
        idle = [side.lap_seconds() * 1e3 / IDLE_SECONDS for side in (ours, theirs)]
        yield bounded("CPU at rest, per second", "ms", ours=idle[0], most=0.1)
        notes.append(f"At rest node_exporter used {idle[1]:.3g} ms/s.")


def _bursts(ours: Side, theirs: Side) -> Iterator[Measure]:
    for side in (ours, theirs):
        side.forget()
    refused = {id(ours): 0, id(theirs): 0}
    for turn in range(BURSTS):
        for side in (ours, theirs) if turn % 2 else (theirs, ours):
            side.lap_seconds()
            statuses = asyncio.run(_burst(int(side.children[0].address.rpartition(":")[2])))
            side.cpu.append(side.lap_seconds())
            refused[id(side)] += sum(status != 200 for status in statuses)
    one, two = (median(side.cpu) * 1e3 for side in (ours, theirs))
    yield compared(f"CPU of {BURST} scrapes at once", "ms", ours=one, theirs=two, reach=0.10)
    yield bounded(f"answers that were not 200, of {BURST * BURSTS}", "answers", ours=refused[id(ours)], most=0)


async def _burst(port: int) -> list[int]:
    """Send all requests, each on a connection of its own, before any answer is read; return the statuses."""
    opened = [await asyncio.open_connection("127.0.0.1", port, limit=1 << 20) for _ in range(BURST)]
    request = "\r\n".join(("GET /metrics HTTP/1.1", "Host: here", "Connection: close", *SCRAPE_HEADERS, "", ""))
    for _, writer in opened:
        writer.write(request.encode())
    answers = await asyncio.gather(*(reader.read() for reader, _ in opened))
    for _, writer in opened:
        writer.close()
    return [int(answer.split(b" ", 2)[1]) for answer in answers]


def _differences(folder: Path, theirs: Side) -> Iterator[str]:
    """Say which names and labels only one of the two shows, under node_exporter's names."""
    with serving(our_exporter(folder, LEAN, "--compat=node", name="compat"), warm_up=1) as ours:
        shown, expected = (set(map(_named, samples(side.page))) for side in (ours, theirs))
    missing = Counter(name for name, _ in expected - shown)
    told = ", ".join(f"{name} ({count})" for name, count in sorted(missing.items()))
    yield (
        f"Of node_exporter's {len(expected)} series with those collectors, --compat=node shows {len(expected & shown)} "
        f"with the same names and labels. Not: {told or 'none'}."
    )


def _named(series: bytes) -> tuple[str, frozenset[str]]:
    name, _, labels = series.decode().partition("{")
    return name, frozenset(_LABEL.findall(labels))
