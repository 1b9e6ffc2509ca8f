"""bench-exporter: what scrapes cost beside the exporters that ours replaces, and beside prometheus_client."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path

import perfloop
from tests.bench.exporter.databases import databases
from tests.bench.exporter.host import defaults, same_samples
from tests.bench.exporter.processes import processes
from tests.bench.exporter.series import rendering, scrapes
from tests.bench.exporter.sides import COLD_SCRAPES, COLD_SECONDS, HOT_BLOCKS, HOT_SCRAPES, STARTS, python_version
from tests.bench.peers import NODE_COLLECTORS, peer_version
from tests.bench.report import Result


def run() -> Result:
    """Measure everything."""
    notes: list[str] = [
        f"node_exporter's same collectors are {', '.join(NODE_COLLECTORS)}, without metrics of itself.",
        f"All are asked over kept connections with gzip and with Prometheus' headers: hot in {HOT_BLOCKS} blocks of "
        f"{HOT_SCRAPES} that take turns, over {STARTS} starts, or fewer (CPU is the median block's), cold "
        f"{COLD_SCRAPES} times, {COLD_SECONDS:g} s from one's scrape to the other's.",
    ]
    with tempfile.TemporaryDirectory(prefix="perfloop-bench-") as name:
        folder = Path(name)
        measures = [
            *same_samples(folder, notes),
            *defaults(folder, notes),
            *databases(notes),
            *processes(folder, notes),
            *scrapes(folder),
            *rendering(),
        ]
    peers = ("node", "postgres", "redis", "process")
    return Result(
        measures=measures,
        versions={
            "perfloop": perfloop.__version__,
            "Python": python_version(),
            **{f"{peer}_exporter": peer_version(f"prometheus-{peer}-exporter") for peer in peers},
            "prometheus_client": version("prometheus-client"),
        },
        notes=notes,
    )
