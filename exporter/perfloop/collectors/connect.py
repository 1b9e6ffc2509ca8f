"""How long a TCP connection to a configured target takes: one attempt per scrape."""

from __future__ import annotations

import socket
import time
from typing import ClassVar

from perfloop.collectors.address import split_address
from perfloop.errors import Unavailable
from perfloop.exposition.block import Block
from perfloop.exposition.histogram import Histogram
from perfloop.exposition.text import Samples, number
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
    """Counts its own attempts, so that the counters go on while the target is down."""

    name: ClassVar[str] = "connect"
    may_hang: ClassVar[bool] = True
    families: ClassVar[tuple[Family, ...]] = (UP, CONNECTS, FAILURES, DURATION)

    def __init__(self, component: str, address: str, *, timeout_seconds: float = 5.0) -> None:
        self.component, self._address, self._timeout_seconds = component, address, timeout_seconds
        self._connects = self._failures = 0
        self._block = Block((UP, CONNECTS, FAILURES), fixed=(component,))
        self._duration = Histogram(DURATION, (component,), bounds_seconds=BOUNDS_SECONDS)

    def collect(self) -> Samples:
        """Connect once. Raises Unavailable when the target does not accept."""
        self._connects += 1
        try:
            self._duration.observe(self._connect())
        except (OSError, UnicodeError) as error:
            self._failures += 1
            raise Unavailable(f"{self._address}: {error}") from error
        return self._samples(up=1)

    def down(self) -> Samples:
        """Return the counters as they stand, without asking the target."""
        return self._samples(up=0)

    def close(self) -> None:
        """Do nothing: no connection is kept."""

    def _samples(self, *, up: int) -> Samples:
        return (
            *self._block.render_row([number(up), number(self._connects), number(self._failures)]),
            self._duration.render(),
        )

    def _connect(self) -> float:
        """Return the seconds that the first address took that accepts."""
        host, port = split_address(self._address)
        failure = OSError("no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as connection:
                connection.settimeout(self._timeout_seconds)
                started_at = time.perf_counter()
                try:
                    connection.connect(address)
                except OSError as error:
                    failure = error
                else:
                    return time.perf_counter() - started_at
        raise failure
