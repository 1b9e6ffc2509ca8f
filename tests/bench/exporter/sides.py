"""Exporters side by side: each serving, asked in turns, and what its scrapes cost."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import median

from perfloop.stack.process import Child, free_port
from perfloop.stack.servers import HOST, http_ready
from tests.bench.peers import PEERS
from tests.bench.probe import SCRAPE_HEADERS, Client, CpuMeter, TickMeter, quantile, samples
from tests.bench.report import Measure, compared

WARM_UP = 50
STARTS = 4
HOT_BLOCKS, HOT_SCRAPES = 40, 50
COLD_SCRAPES, COLD_SECONDS = 80, 0.25
NOTHING = "collectors: {system: {enabled: false}, network: {enabled: false}, application: {enabled: false}}\n"


@dataclass
class Side:
    """One exporter, or several that do the work of one together, and what a scrape of all of them costs."""

    children: Sequence[Child]
    clients: Sequence[Client]
    meters: Sequence[CpuMeter]
    path: str = "/metrics"
    page: bytes = b""
    latencies: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Samples on the page."""
        return len(samples(self.page))

    def scrape(self) -> None:
        """Scrape once. Raises RuntimeError for anything but 200."""
        answers = [client.ask("GET", self.path, *SCRAPE_HEADERS) for client in self.clients]
        for child, answer in zip(self.children, answers, strict=True):
            if answer.status != 200:
                raise RuntimeError(f"{child.name} answered {answer.status}")
        self.page = b"".join(answer.body for answer in answers)
        self.latencies.append(sum(answer.seconds for answer in answers))

    def lap_seconds(self) -> float:
        """Return the CPU time since the last call."""
        return sum(meter.lap_seconds() for meter in self.meters)

    def forget(self) -> None:
        """Begin anew."""
        self.latencies, self.cpu = [], []
        self.lap_seconds()


@cache
def distribution() -> str:
    """Return the Python that runs our exporter: Debian's, as the peers are Debian's, if it fits, else the one here.

    It fits if it has the version for which the libraries beside us were built. As users have it, in a venv.
    """
    python = Path(f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}")
    if not python.exists():
        return sys.executable
    venv = PEERS / "python"
    subprocess.run([python, "-m", "venv", "--clear", "--without-pip", venv], check=True, timeout=60)
    [site_packages] = venv.glob("lib/python*/site-packages")
    libraries = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    lines = [f"import site; site.addsitedir({path!r})\n" for path in libraries]
    (site_packages / "libraries.pth").write_text("".join(lines), encoding="utf-8")
    return str(venv / "bin" / "python")


def python_version() -> str:
    """Return which Python runs our exporter: its version and whose build it is."""
    argv = [distribution(), "-c", "import platform; print(platform.python_version())"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout
    return f"{said.strip()}{'' if argv[0] == sys.executable else ' of Debian'}"


Start = Callable[[], AbstractContextManager[Side]]


def our_exporter(folder: Path, config: str, *options: str, name: str = "perfloop") -> Child:
    """Return our exporter with a configuration of its own."""
    file, port = folder / f"{name}.yml", free_port()
    file.write_text(config, encoding="utf-8")
    argv = [distribution(), "-m", "perfloop", "exporter", f"--config.file={file}", *options]
    return Child(
        name,
        [*argv, f"--web.listen-address={HOST}:{port}"],
        log=folder / f"{name}.log",
        ready=lambda: http_ready(f"http://{HOST}:{port}/-/ready"),
        address=f"{HOST}:{port}",
    )


@contextmanager
def serving(*children: Child, path: str = "/metrics", warm_up: int = WARM_UP, kept: bool = True) -> Iterator[Side]:
    """Start the exporters of one side and warm them up; they end with the block.

    Who does not keep connections (`kept`) may serve each in a thread that ends with it.
    """
    clients: list[Client] = []
    try:
        for child in children:
            child.start()
            child.wait_ready()
            clients.append(Client(int(child.address.rpartition(":")[2]), kept=kept))
        meter = CpuMeter if kept else TickMeter
        side = Side(children, clients, [meter(child.pid) for child in children], path)
        for _ in range(warm_up):
            side.scrape()
        yield side
    finally:
        for client in clients:
            client.close()
        for child in children:
            child.stop()


def hot(*sides: Side, blocks: int = HOT_BLOCKS, scrapes: int = HOT_SCRAPES) -> None:
    """Scrape after scrape, in blocks that take turns, so that the machine's other work meets all alike."""
    for side in sides:
        side.forget()
    for block in range(blocks):
        for side in sides if block % 2 else sides[::-1]:
            side.lap_seconds()
            for _ in range(scrapes):
                side.scrape()
            side.cpu.append(side.lap_seconds() / scrapes)


def hot_over_starts(*starts: Start, blocks: int = HOT_BLOCKS) -> list[Side]:
    """Do the same with processes that are started anew a few times: where memory lies makes a tenth of the time."""
    totals = [Side((), (), ()) for _ in starts]
    for _ in range(STARTS):
        with ExitStack() as stack:
            sides = [stack.enter_context(start()) for start in starts]
            hot(*sides, blocks=blocks // STARTS)
            for total, side in zip(totals, sides, strict=True):
                total.cpu += side.cpu
                total.latencies += side.latencies
                total.page = side.page
    return totals


def cold(*sides: Side) -> None:
    """Time between scrapes, in which caches go cold and the peer's runtime tidies up: that is counted too."""
    for side in sides:
        side.forget()
    for turn in range(COLD_SCRAPES):
        for side in sides if turn % 2 else sides[::-1]:
            side.scrape()
            time.sleep(COLD_SECONDS)
    for side in sides:
        side.cpu.append(side.lap_seconds() / COLD_SCRAPES)


def cpu_per_scrape(what: str, ours: Side, theirs: Side, *, reach: float | None = None) -> Measure:
    """Compare the median block."""
    one, two = median(ours.cpu), median(theirs.cpu)
    return compared(f"CPU per scrape, {what}", "ms", ours=one * 1e3, theirs=two * 1e3, reach=reach)


def cpu_per_sample(what: str, ours: Side, theirs: Side, *, reach: float | None = None) -> Measure:
    """Compare the same for each sample that it showed."""
    one, two = (median(side.cpu) * 1e6 / side.count for side in (ours, theirs))
    return compared(f"CPU per sample, {what}", "µs", ours=one, theirs=two, reach=reach)


def latency(what: str, share: float, ours: Side, theirs: Side, *, reach: float | None = None) -> Measure:
    """Compare a quantile of the time until the last byte."""
    one, two = (quantile(side.latencies, share) * 1e3 for side in (ours, theirs))
    return compared(f"latency p{share * 100:.0f}, {what}", "ms", ours=one, theirs=two, reach=reach)
