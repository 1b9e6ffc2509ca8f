"""The page of an application's metrics, of all of its workers if there are several."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, make_asgi_app, make_wsgi_app
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead


class LiveWorkers(MultiProcessCollector):
    """Joins what the workers wrote into PROMETHEUS_MULTIPROC_DIR; those that died have no requests in progress."""

    def __init__(self, registry: CollectorRegistry, *, folder: str) -> None:
        self._folder = folder
        super().__init__(registry, path=folder)  # type: ignore[no-untyped-call]

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of all workers."""
        for pid in {int(path.stem.rpartition("_")[2]) for path in Path(self._folder).glob("gauge_live*_*.db")}:
            if not _lives(pid):
                mark_process_dead(pid, self._folder)  # type: ignore[no-untyped-call]
        return super().collect()  # type: ignore[no-any-return, no-untyped-call]


def asgi_metrics_app(registry: CollectorRegistry = REGISTRY) -> Callable[..., Any]:
    """Return an ASGI application that serves the page on any path: mount it at /metrics."""
    return make_asgi_app(_readable(registry))


def wsgi_metrics_app(registry: CollectorRegistry = REGISTRY) -> Callable[..., Any]:
    """Return a WSGI application that serves the page on any path: mount it at /metrics."""
    return make_wsgi_app(_readable(registry))


def _readable(registry: CollectorRegistry) -> CollectorRegistry:
    """Return the registry itself, or one that reads all workers' files where there are several."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not folder:
        return registry
    workers = CollectorRegistry()
    LiveWorkers(workers, folder=folder)
    return workers


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
