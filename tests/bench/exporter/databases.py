"""Scrapes of PostgreSQL and Redis beside their exporters, memory with both, and one target that hangs."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from perfloop.stack import servers
from perfloop.stack.process import Child, free_port
from tests.bench.exporter.sides import (
    NOTHING,
    Side,
    cpu_per_sample,
    cpu_per_scrape,
    hot,
    latency,
    our_exporter,
    serving,
)
from tests.bench.peers import node_exporter, postgres_exporter, redis_exporter
from tests.bench.probe import CpuMeter, resident_mebibytes, tree
from tests.bench.report import Measure, compared

POSTGRESQL = "components:\n  orders: {{driver: postgresql, address: '{}', user: postgres}}\n"
REDIS = "components: {{cache: {{driver: redis, address: '{}'}}}}\n"
BOTH = POSTGRESQL + "  cache: {{driver: redis, address: '{}'}}\n"
TWO = "components:\n  cache: {{driver: redis, address: '{}'}}\n  hung: {{driver: redis, address: '{}'}}\n"


def databases(notes: list[str]) -> Iterator[Measure]:
    """Everything about databases, with real servers of their own."""
    # A folder that the user `postgres` can reach.
    with tempfile.TemporaryDirectory(prefix="perfloop-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        postgresql = stack.enter_context(_running(servers.postgresql(folder, port=free_port(), settings={})))
        redis = stack.enter_context(_running(servers.redis(folder, port=free_port())))
        hung = stack.enter_context(_running(servers.redis(folder / "hung", port=free_port())))
        yield from _postgresql(folder, postgresql, notes)
        yield from _redis(folder, redis, notes)
        yield _memory(folder, postgresql, redis)
        yield from _hung(folder, redis, hung)


def _postgresql(folder: Path, server: Child, notes: list[str]) -> Iterator[Measure]:
    with (
        serving(our_exporter(folder, NOTHING + POSTGRESQL.format(server.address), name="ours-pg")) as ours,
        serving(postgres_exporter(folder, server.address)) as theirs,
    ):
        hot(ours, theirs, blocks=20, scrapes=20)
        yield cpu_per_sample("PostgreSQL", ours, theirs, reach=0.30)
        yield cpu_per_scrape("PostgreSQL", ours, theirs)
        served = _server_cpu(server, ours, theirs)
        yield compared("CPU of PostgreSQL itself per scrape", "ms", ours=served[0], theirs=served[1], reach=0.70)
        notes.append(f"Samples of PostgreSQL, ours/theirs: {ours.count}/{theirs.count}.")


def _server_cpu(server: Child, *sides: Side) -> list[float]:
    """Return the server's milliseconds for one scrape of each side: those of all its processes."""
    used: dict[int, list[float]] = {id(side): [] for side in sides}
    for turn in range(20):
        for side in sides if turn % 2 else sides[::-1]:
            meters = [CpuMeter(pid) for pid in tree(server.pid)]
            for _ in range(20):
                side.scrape()
            used[id(side)].append(sum(meter.lap_seconds() for meter in meters) * 1e3 / 20)
    return [median(used[id(side)]) for side in sides]


def _redis(folder: Path, server: Child, notes: list[str]) -> Iterator[Measure]:
    with (
        serving(our_exporter(folder, NOTHING + REDIS.format(server.address), name="ours-redis")) as ours,
        serving(redis_exporter(folder, server.address)) as theirs,
    ):
        hot(ours, theirs, blocks=20)
        yield cpu_per_scrape("Redis", ours, theirs, reach=0.35)
        notes.append(f"Samples of Redis, ours/theirs: {ours.count}/{theirs.count}.")


def _memory(folder: Path, postgresql: Child, redis: Child) -> Measure:
    """One process here; node_exporter, postgres_exporter and redis_exporter there."""
    config = BOTH.format(postgresql.address, redis.address)
    peers = (
        node_exporter(folder),
        postgres_exporter(folder, postgresql.address),
        redis_exporter(folder, redis.address),
    )
    with serving(our_exporter(folder, config, name="ours-all")) as ours, serving(*peers) as theirs:
        hot(ours, theirs, blocks=10, scrapes=10)
        held = [sum(resident_mebibytes(child.pid) for child in side.children) for side in (ours, theirs)]
    what = "resident memory with PostgreSQL and Redis (theirs: 3 exporters)"
    return compared(what, "MiB", ours=held[0], theirs=held[1], reach=0.75)


def _hung(folder: Path, healthy: Child, hung: Child) -> Iterator[Measure]:
    """Ours with a target that is stopped, beside ours without it."""
    with (
        serving(our_exporter(folder, TWO.format(healthy.address, hung.address), name="with-hung")) as with_hung,
        serving(our_exporter(folder, REDIS.format(healthy.address), name="without-hung")) as without,
    ):
        os.kill(hung.pid, signal.SIGSTOP)
        try:
            with_hung.scrape()  # the one that pays
            hot(with_hung, without)
        finally:
            os.kill(hung.pid, signal.SIGCONT)
        yield latency("a target hung; theirs is ours without that target", 0.99, with_hung, without, reach=1.25)


@contextmanager
def _running(child: Child) -> Iterator[Child]:
    child.start()
    try:
        child.wait_ready()
        yield child
    finally:
        child.stop()
