"""How long a TCP connection to a configured target takes: one attempt per scrape."""

from __future__ import annotations

from typing import ClassVar

from perfloop.collectors.address import split_address
from perfloop.collectors.probes.probing import TIMEOUT_SECONDS, Attempts, Deadline, Outcome, ProbeFailed, dial, resolve
from perfloop.exposition.text import Samples
from perfloop.model import Family, MetricType

BOUNDS_SECONDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


def _family(name: str, kind: MetricType, text: str) -> Family:
    return Family(name=f"perfloop_network_{name}", type=kind, help=text, labels=("component",))


UP = _family("up", MetricType.GAUGE, "Whether the last TCP connection to the target was accepted in time.")
CONNECTS = _family("connects_total", MetricType.COUNTER, "TCP connections to the target that were tried.")
FAILURES = _family("connect_failures_total", MetricType.COUNTER, "TCP connections to the target that failed.")
DURATION = _family(
    "connect_duration_seconds",
    MetricType.HISTOGRAM,
    "Time until the target accepted a TCP connection, without the name look-up; failed ones are not in it.",
)


class ConnectCollector:
    """Connects and hangs up."""

    name: ClassVar[str] = "connect"
    may_hang: ClassVar[bool] = True
    families: ClassVar[tuple[Family, ...]] = (UP, CONNECTS, FAILURES, DURATION)

    def __init__(self, component: str, address: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.component, self._address, self._timeout_seconds = component, address, timeout_seconds
        self._attempts = Attempts(self.name, component, self.families, bounds_seconds=BOUNDS_SECONDS)

    def collect(self) -> Samples:
        """Connect once. Raises Unavailable when the target does not accept."""
        self._attempts.begin()
        self._attempts.end(connect(self._address, Deadline(self._timeout_seconds)))
        return self._attempts.samples(up=True)

    def down(self) -> Samples:
        """Return the counters as they stand, without asking the target."""
        return self._attempts.samples(up=False)

    def close(self) -> None:
        """Do nothing: no connection is kept."""


def connect(address: str, deadline: Deadline) -> Outcome:
    """Say how long the first address took that accepted a connection."""
    try:
        with dial(resolve(*split_address(address)), deadline) as dialled:
            return Outcome(seconds=dialled.seconds)
    except ProbeFailed as error:
        return Outcome(failure=error)
