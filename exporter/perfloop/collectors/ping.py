"""How long a host takes to answer an ICMP echo request: one per scrape."""

from __future__ import annotations

from typing import ClassVar

from perfloop.collectors.connect import BOUNDS_SECONDS
from perfloop.collectors.probes.icmp import ping
from perfloop.collectors.probes.probing import TIMEOUT_SECONDS, Attempts, Deadline
from perfloop.exposition.text import Samples
from perfloop.model import Family, MetricType


def _family(name: str, kind: MetricType, text: str) -> Family:
    return Family(name=f"perfloop_network_{name}", type=kind, help=text, labels=("component",))


UP = _family("ping_up", MetricType.GAUGE, "Whether the last ICMP echo request was answered in time.")
PINGS = _family("pings_total", MetricType.COUNTER, "ICMP echo requests that were tried.")
FAILURES = _family("ping_failures_total", MetricType.COUNTER, "ICMP echo requests without an answer.")
DURATION = _family(
    "ping_duration_seconds",
    MetricType.HISTOGRAM,
    "Time from an ICMP echo request to its answer, without the name look-up; lost ones are not in it.",
)


class PingCollector:
    """Sends one echo request, over an unprivileged socket where the kernel allows it, else over a raw one."""

    name: ClassVar[str] = "ping"
    may_hang: ClassVar[bool] = True
    families: ClassVar[tuple[Family, ...]] = (UP, PINGS, FAILURES, DURATION)

    def __init__(
        self, component: str, host: str, *, ip_version: int = 0, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self.component, self._host, self._ip_version = component, host, ip_version
        self._timeout_seconds = timeout_seconds
        self._attempts = Attempts(self.name, component, self.families, bounds_seconds=BOUNDS_SECONDS)

    def collect(self) -> Samples:
        """Ping once. Raises Unavailable when no answer comes."""
        self._attempts.begin()
        deadline = Deadline(self._timeout_seconds)
        outcome = ping(self._host, ip_version=self._ip_version, sequence=self._attempts.tried, deadline=deadline)
        self._attempts.end(outcome)
        return self._attempts.samples(up=True)

    def down(self) -> Samples:
        """Return the counters as they stand, without asking the target."""
        return self._attempts.samples(up=False)

    def close(self) -> None:
        """Do nothing: no socket is kept."""
