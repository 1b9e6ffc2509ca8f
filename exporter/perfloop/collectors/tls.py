"""How long a TLS handshake with a configured target takes, and when its certificate expires."""

from __future__ import annotations

import time
from typing import ClassVar

from perfloop.collectors.address import split_address
from perfloop.collectors.connect import BOUNDS_SECONDS
from perfloop.collectors.probes.probing import TIMEOUT_SECONDS, Attempts, Deadline, Outcome, ProbeFailed, dial, resolve
from perfloop.collectors.probes.trust import Trust, secure
from perfloop.exposition.block import Block
from perfloop.exposition.text import Samples, number
from perfloop.model import Family, MetricType


def _family(name: str, kind: MetricType, text: str) -> Family:
    return Family(name=f"perfloop_network_tls_{name}", type=kind, help=text, labels=("component",))


UP = _family("up", MetricType.GAUGE, "Whether the last TLS handshake succeeded in time, with a trusted certificate.")
HANDSHAKES = _family("handshakes_total", MetricType.COUNTER, "TLS handshakes with the target that were tried.")
FAILURES = _family("handshake_failures_total", MetricType.COUNTER, "TLS handshakes with the target that failed.")
DURATION = _family(
    "handshake_duration_seconds",
    MetricType.HISTOGRAM,
    "Time that the TLS handshake took, without name look-up and connection; failed ones are not in it.",
)
EXPIRY = _family(
    "certificate_expiry_timestamp_seconds",
    MetricType.GAUGE,
    "When the first certificate of the chain expires that the target sent last, trusted or not.",
)


class TlsCollector:
    """Connects, shakes hands, and hangs up."""

    name: ClassVar[str] = "tls"
    may_hang: ClassVar[bool] = True
    families: ClassVar[tuple[Family, ...]] = (UP, HANDSHAKES, FAILURES, DURATION, EXPIRY)

    def __init__(
        self, component: str, address: str, *, trust: Trust | None = None, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self.component, self._address, self._timeout_seconds = component, address, timeout_seconds
        self._trust = trust or Trust()
        self._attempts = Attempts(self.name, component, self.families[:4], bounds_seconds=BOUNDS_SECONDS)
        self._expiry = Block([EXPIRY], fixed=(component,))
        self._expires_at: float | None = None

    def collect(self) -> Samples:
        """Shake hands once. Raises Unavailable when that fails."""
        self._attempts.begin()
        outcome = shake(self._address, self._trust, Deadline(self._timeout_seconds))
        self._expires_at = outcome.certificate_expires_at or self._expires_at
        self._attempts.end(outcome)
        return self._samples(up=True)

    def down(self) -> Samples:
        """Return the counters and the certificate that was seen last, without asking the target."""
        return self._samples(up=False)

    def close(self) -> None:
        """Do nothing: no connection is kept."""

    def _samples(self, *, up: bool) -> Samples:
        return (*self._attempts.samples(up=up), *self._expiry.render_row([number(self._expires_at)]))


def shake(address: str, trust: Trust, deadline: Deadline) -> Outcome:
    """Say how long the handshake took, and when the certificate expires."""
    phases: dict[str, float] = {}
    try:
        host, port = split_address(address)
        with dial(resolve(host, port), deadline) as dialled:
            phases["connect"] = dialled.seconds
            started_at = time.perf_counter()
            secured = secure(dialled, host, trust, deadline)
            phases["tls"] = time.perf_counter() - started_at
            return Outcome(seconds=phases["tls"], phases=phases, certificate_expires_at=secured.certificate_expires_at)
    except ProbeFailed as error:
        return Outcome(failure=error, phases=phases, certificate_expires_at=error.certificate_expires_at)
