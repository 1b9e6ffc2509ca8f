"""The exporter's own metrics: version, configuration, CPU and memory."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from msgspec import Struct

from perfloop import __version__
from perfloop.collectors.kernel import KernelFile
from perfloop.exposition.block import Block
from perfloop.exposition.text import Samples, number
from perfloop.model import Family, MetricType


def _family(name: str, kind: MetricType, text: str, *labels: str) -> Family:
    return Family(name=f"perfloop_exporter_{name}", type=kind, help=text, labels=labels)


BUILD_INFO = _family("build_info", MetricType.INFO, "Version of perfloop and of Python.", "version", "python")
FAMILIES = (
    _family("config_last_reload_successful", MetricType.GAUGE, "Whether the last reading of perfloop.yml succeeded."),
    _family(
        "config_last_reload_success_timestamp_seconds",
        MetricType.GAUGE,
        "When perfloop.yml was last read with success.",
    ),
    _family("config_hash", MetricType.GAUGE, "CRC-32 of the configuration file that is in force."),
    _family(
        "web_config_last_reload_successful",
        MetricType.GAUGE,
        "Whether the last reading of --web.config.file succeeded; 1 without one.",
    ),
    _family("start_timestamp_seconds", MetricType.GAUGE, "When the exporter was started."),
    _family("cpu_seconds_total", MetricType.COUNTER, "CPU time of the exporter itself, from getrusage."),
    _family("resident_memory_bytes", MetricType.GAUGE, "Resident memory of the exporter itself, /proc/self/statm."),
)


class State(Struct, frozen=True, kw_only=True):
    """How the last reading of the configuration went, and when the last good one was."""

    successful: bool
    succeeded_at: float
    config_crc: int
    web_successful: bool = True


class ExporterCollector:
    """Measures the process that it runs in; `state` says how the configuration stands."""

    name: ClassVar[str] = "exporter"
    may_hang: ClassVar[bool] = False
    families: ClassVar[tuple[Family, ...]] = (BUILD_INFO, *FAMILIES)
    component: str = ""

    def __init__(self, state: Callable[[], State], *, proc: Path = Path("/proc")) -> None:
        self._state, self._statm = state, KernelFile(proc / "self" / "statm")
        self._info, self._block = (
            Block([BUILD_INFO], fixed=(__version__, "{}.{}.{}".format(*sys.version_info))),
            Block(FAMILIES),
        )
        self._started_at = round(time.time(), 3)
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")

    def collect(self) -> Samples:
        """Measure this process."""
        state, usage = self._state(), resource.getrusage(resource.RUSAGE_SELF)
        resident_bytes = int(self._statm.read().split()[1]) * self._page_bytes
        values = (
            int(state.successful),
            state.succeeded_at,
            state.config_crc,
            int(state.web_successful),
            self._started_at,
            usage.ru_utime + usage.ru_stime,
            resident_bytes,
        )
        return (*self._info.render_row([b"1"]), *self._block.render_row([number(value) for value in values]))

    def down(self) -> Samples:
        """Return nothing."""
        return ()

    def close(self) -> None:
        """Close the file."""
        self._statm.close()
