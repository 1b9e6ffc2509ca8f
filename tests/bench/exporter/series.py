"""Many series: rendering beside prometheus_client's, and whole scrapes of 1,000 and of 50,000 of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from perfloop.exposition.block import Block
from perfloop.exposition.page import render_page
from perfloop.exposition.text import number
from perfloop.model import Family, MetricType
from perfloop.stack.process import Child, free_port
from perfloop.stack.servers import HOST, http_ready
from tests.bench.exporter.sides import NOTHING, distribution, hot, our_exporter, serving
from tests.bench.report import Measure, compared, growth

FAMILIES = 10
SMALL, LARGE = 1_000, 50_000
PEER = """
import sys, time
from prometheus_client import REGISTRY, Gauge, start_http_server
for collector in list(REGISTRY._collector_to_names): REGISTRY.unregister(collector)
size = int(sys.argv[2])
for i in range(10):
    gauge = Gauge(f"bench_family_{i}_seconds", "A family of the benchmark.", ["component", "device"])
    for j in range(size // 10): gauge.labels("orders", f"device-{j}").set(j * 1.37 + 0.001)
start_http_server(int(sys.argv[1]), "127.0.0.1")
time.sleep(3600)
"""


def rendering() -> Iterator[Measure]:
    """Rendering alone, without HTTP."""
    for size, rounds in ((SMALL, 60), (LARGE, 8)):
        tokens, numbers, theirs = _timed((_block(size), _block_of_numbers(size), _registry(size)), rounds=rounds)
        yield compared(f"rendering {size:,} series from text", "ms", ours=tokens * 1e3, theirs=theirs * 1e3)
        reach = 0.15 if size == LARGE else None
        yield compared(
            f"rendering {size:,} series from floats", "ms", ours=numbers * 1e3, theirs=theirs * 1e3, reach=reach
        )
    # As many series on both sides, in turns: a single small page takes too short to be compared.
    pages, page = _block_of_numbers(SMALL), _block_of_numbers(LARGE)
    many, one = _timed((lambda: b"".join(pages() for _ in range(LARGE // SMALL)), page), rounds=12)
    small, large = many / LARGE * 1e6, one / LARGE * 1e6
    yield growth("rendering, per series of 50,000 (ratio: to 1,000)", "µs", small=small, large=large, reach=1.2)


def scrapes(folder: Path) -> Iterator[Measure]:
    """Whole scrapes with gzip: ours of text files, theirs of prometheus_client's own server."""
    per_sample = {}
    for size, blocks, count in ((SMALL, 20, 20), (LARGE, 5, 4)):
        directory = folder / str(size)
        directory.mkdir()
        (directory / "bench.prom").write_bytes(generate_latest(_filled(size)))
        config = NOTHING.replace("}}\n", f"}}, textfile: {{folders: ['{directory}']}}}}\n")
        with (
            serving(our_exporter(folder, config, name=f"series-{size}"), warm_up=3) as ours,
            serving(_peer(folder, size), warm_up=3, kept=False) as theirs,
        ):
            hot(ours, theirs, blocks=blocks, scrapes=count)
            if ours.count < size:
                raise RuntimeError(f"only {ours.count} of {size} series on the page")
            one, two = (median(side.cpu) * 1e6 / side.count for side in (ours, theirs))
        per_sample[size] = one
        reach = 0.15 if size == LARGE else None
        yield compared(f"scrape of {size:,} series, CPU per sample", "µs", ours=one, theirs=two, reach=reach)
    small, large = per_sample[SMALL], per_sample[LARGE]
    yield growth("scrape, CPU per sample of 50,000 (ratio: to 1,000)", "µs", small=small, large=large, reach=1.2)


def _peer(folder: Path, size: int) -> Child:
    port = free_port()
    return Child(
        "prometheus_client",
        [distribution(), "-c", PEER, str(port), str(size)],
        log=folder / "prometheus_client.log",
        ready=lambda: http_ready(f"http://{HOST}:{port}/"),
        address=f"{HOST}:{port}",
    )


def _timed(renderers: Sequence[Callable[[], bytes]], *, rounds: int) -> list[float]:
    """Return the median CPU seconds of each; they take turns, and only what changes values may be prepared before."""
    taken: list[list[float]] = [[] for _ in renderers]
    for _ in range(rounds + 1):
        for render, seconds in zip(renderers, taken, strict=True):
            started_at = time.thread_time()
            render()
            seconds.append(time.thread_time() - started_at)
    return [median(seconds[1:]) for seconds in taken]  # the first builds templates


def _names() -> list[str]:
    return [f"bench_family_{i}_seconds" for i in range(FAMILIES)]


def _labels(size: int) -> list[tuple[str, str]]:
    return [("orders", f"device-{i}") for i in range(size // FAMILIES)]


def _values(size: int) -> list[float]:
    return [i * 1.37 + 0.001 for i in range(size)]


def _families() -> list[Family]:
    return [
        Family(name=name, type=MetricType.GAUGE, help="A family of the benchmark.", labels=("component", "device"))
        for name in _names()
    ]


def _block(size: int) -> Callable[[], bytes]:
    """Values as /proc and databases hand them over: text already."""
    block, labels, tokens = Block(_families()), _labels(size), tuple(map(number, _values(size)))
    return lambda: render_page(block.render_tokens(labels, tokens))


def _block_of_numbers(size: int) -> Callable[[], bytes]:
    block, labels, values = Block(_families()), _labels(size), _values(size)
    return lambda: render_page(block.render_tokens(labels, tuple(map(number, values))))


def _registry(size: int) -> Callable[[], bytes]:
    """The same series as gauges of prometheus_client, set before: reading them is part of its rendering."""
    registry = _filled(size)
    return lambda: generate_latest(registry)


def _filled(size: int) -> CollectorRegistry:
    registry, values = CollectorRegistry(), iter(_values(size))
    for name in _names():
        gauge = Gauge(name, "A family of the benchmark.", ["component", "device"], registry=registry)
        for labels in _labels(size):
            gauge.labels(*labels).set(next(values))
    return registry
