"""bench-exporter: the cost of a scrape beside node_exporter's, and of rendering beside prometheus_client's."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median

from prometheus_client import CollectorRegistry, Gauge, generate_latest

import perfloop
from perfloop.exposition.block import Block
from perfloop.exposition.text import number, render_page
from perfloop.model import Family, MetricType
from perfloop.stack.process import Child, free_port
from perfloop.stack.servers import HOST, http_ready
from tests.bench.peers import NODE_COLLECTORS, node_exporter, node_exporter_version
from tests.bench.probe import Client, CpuMeter, quantile, resident_mebibytes
from tests.bench.report import Measure, Result, alone, compared, growth

CONFIG = "collectors: {application: {enabled: false}}\n"
WARM_UP = 50
HOT_BLOCKS, HOT_SCRAPES = 40, 50
COLD_SCRAPES, COLD_SECONDS = 80, 0.25
FAMILIES = 10
_SAMPLE = re.compile(rb"^([a-zA-Z_:][\w:]*)", re.MULTILINE)
_SUBJECT = re.compile(rb"(?:perfloop_system_|perfloop_|node_)(cpu|memory|swap|disk|filesystem|load|pressure|network)")


@dataclass
class Side:
    """One exporter, and what its scrapes cost."""

    child: Child
    client: Client
    meter: CpuMeter
    page: bytes = b""
    latencies: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def names(self) -> list[bytes]:
        """Names of the samples on the page, one for each."""
        return [name for name in _SAMPLE.findall(self.page) if name]

    def scrape(self) -> None:
        """Scrape once. Raises RuntimeError for anything but 200."""
        answer = self.client.scrape()
        if answer.status != 200:
            raise RuntimeError(f"{self.child.name} answered {answer.status}")
        self.page = answer.body
        self.latencies.append(answer.seconds)

    def forget(self) -> None:
        """Begin anew."""
        self.latencies, self.cpu = [], []
        self.meter.lap_seconds()


def run() -> Result:
    """Measure everything."""
    with tempfile.TemporaryDirectory(prefix="perfloop-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        ours = stack.enter_context(_serving(_our_exporter(folder)))
        theirs = stack.enter_context(_serving(node_exporter(folder)))
        scraped = [*_hot(ours, theirs), *_cold(ours, theirs), _memory(ours, theirs)]
        notes = _samples_note(ours, theirs)
    return Result(
        measures=[*scraped, *_rendering()],
        versions={
            "perfloop": perfloop.__version__,
            "node_exporter": node_exporter_version(),
            "prometheus_client": version("prometheus-client"),
        },
        notes=notes,
    )


def _our_exporter(folder: Path) -> Child:
    config, port = folder / "perfloop.yml", free_port()
    config.write_text(CONFIG, encoding="utf-8")
    argv = [sys.executable, "-m", "perfloop", "exporter", f"--config.file={config}"]
    return Child(
        "perfloop",
        [*argv, f"--web.listen-address={HOST}:{port}"],
        log=folder / "exporter.log",
        ready=lambda: http_ready(f"http://{HOST}:{port}/-/ready"),
        address=f"{HOST}:{port}",
    )


@contextmanager
def _serving(child: Child) -> Iterator[Side]:
    child.start()
    try:
        child.wait_ready()
        with Client(int(child.address.rpartition(":")[2])) as client:
            side = Side(child, client, CpuMeter(child.pid))
            for _ in range(WARM_UP):
                side.scrape()
            yield side
    finally:
        child.stop()


def _hot(*sides: Side) -> Iterator[Measure]:
    """Scrape after scrape, in blocks that take turns, so that the machine's other work meets both alike."""
    for side in sides:
        side.forget()
    for block in range(HOT_BLOCKS):
        for side in sides if block % 2 else sides[::-1]:
            side.meter.lap_seconds()
            for _ in range(HOT_SCRAPES):
                side.scrape()
            side.cpu.append(side.meter.lap_seconds() / HOT_SCRAPES)
    yield from _costs("hot", *sides, per_sample_reach=0.20)


def _cold(*sides: Side) -> Iterator[Measure]:
    """Time between scrapes, in which caches go cold and the peer's runtime tidies up: that is counted too."""
    for side in sides:
        side.forget()
    for turn in range(COLD_SCRAPES):
        for side in sides if turn % 2 else sides[::-1]:
            side.scrape()
            time.sleep(COLD_SECONDS)
    for side in sides:
        side.cpu.append(side.meter.lap_seconds() / COLD_SCRAPES)
    yield from _costs("cold", *sides, per_sample_reach=0.30)


def _costs(how: str, ours: Side, theirs: Side, *, per_sample_reach: float) -> Iterator[Measure]:
    one, two = median(ours.cpu), median(theirs.cpu)
    yield compared(f"CPU per scrape, {how}", "ms", ours=one * 1e3, theirs=two * 1e3)
    yield compared(
        f"CPU per sample, {how}",
        "µs",
        ours=one * 1e6 / len(ours.names),
        theirs=two * 1e6 / len(theirs.names),
        reach=per_sample_reach,
    )
    for share in (0.5, 0.99):
        slow = [quantile(side.latencies, share) * 1e3 for side in (ours, theirs)]
        yield compared(f"latency p{share * 100:.0f}, {how}", "ms", ours=slow[0], theirs=slow[1])


def _memory(ours: Side, theirs: Side) -> Measure:
    held = [resident_mebibytes(side.child.pid) for side in (ours, theirs)]
    return compared("resident memory after these scrapes", "MiB", ours=held[0], theirs=held[1], reach=1.0)


def _samples_note(ours: Side, theirs: Side) -> list[str]:
    counts = [Counter(map(_subject, side.names)) for side in (ours, theirs)]
    subjects = sorted(counts[0] | counts[1], key=lambda subject: (subject == "other", subject))
    told = ", ".join(f"{subject} {counts[0][subject]}/{counts[1][subject]}" for subject in subjects)
    return [
        f"Samples, ours/theirs: {len(ours.names)}/{len(theirs.names)}: {told}. The same sources, but not the same "
        "samples: theirs shows every line of /proc/meminfo and every column of its tables. So goals stand at the "
        "rows per sample only.",
        f"node_exporter runs with --collector.disable-defaults, the collectors {', '.join(NODE_COLLECTORS)}, and "
        "without metrics of itself. It does not read what /sys says of link speeds; ours does.",
        f"Both are asked over a kept connection with gzip: hot {HOT_BLOCKS * HOT_SCRAPES} times each, in blocks of "
        f"{HOT_SCRAPES} that take turns (CPU is the median block's), cold {COLD_SCRAPES} times, "
        f"{COLD_SECONDS:g} s from one's scrape to the other's.",
    ]


def _subject(name: bytes) -> str:
    found = _SUBJECT.match(name)
    subject = found[1].decode() if found else "other"
    return "memory" if subject == "swap" else subject


def _rendering() -> Iterator[Measure]:
    per_series = {}
    for size, rounds in ((1_000, 60), (10_000, 12)):
        tokens, numbers, theirs = _timed((_block(size), _block_of_numbers(size), _registry(size)), rounds=rounds)
        per_series[size] = numbers / size
        yield compared(f"rendering {size:,} series from text", "ms", ours=tokens * 1e3, theirs=theirs * 1e3)
        reach = 0.15 if size == 10_000 else None
        yield compared(
            f"rendering {size:,} series from floats", "ms", ours=numbers * 1e3, theirs=theirs * 1e3, reach=reach
        )
    small, large = (per_series[size] * 1e6 for size in (1_000, 10_000))
    yield alone("rendering, per series of 1,000", "µs", ours=small)
    yield growth("rendering, per series of 10,000 (ratio: to 1,000)", "µs", small=small, large=large, reach=1.2)


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
    registry, values = CollectorRegistry(), iter(_values(size))
    for name in _names():
        gauge = Gauge(name, "A family of the benchmark.", ["component", "device"], registry=registry)
        for labels in _labels(size):
            gauge.labels(*labels).set(next(values))
    return lambda: generate_latest(registry)
