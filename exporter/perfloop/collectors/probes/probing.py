"""What all probes have in common: a deadline, reasons for failing, an outcome, and addresses that are dialled."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Sequence
from enum import StrEnum
from types import TracebackType

from msgspec import Struct

from perfloop.errors import Unavailable
from perfloop.exposition.block import Block
from perfloop.exposition.histogram import Histogram
from perfloop.exposition.text import Samples, number
from perfloop.model import Family

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 5.0


class Reason(StrEnum):
    """Why a probe failed: the values of the label `reason`."""

    DNS = "dns"
    CONNECT = "connect"
    TIMEOUT = "timeout"
    TLS = "tls"
    ANSWER = "answer"
    REDIRECT = "redirect"
    STATUS = "status"
    BODY = "body"


class ProbeFailed(Unavailable):
    """The probe found out that something is wrong. Its text holds no URL, as those may hold tokens."""

    def __init__(self, reason: Reason, text: str, *, certificate_expires_at: float | None = None) -> None:
        super().__init__(text)
        self.reason, self.certificate_expires_at = reason, certificate_expires_at


# An address as getaddrinfo returns it, with its family.
Found = tuple[socket.AddressFamily, tuple[object, ...]]


class Deadline:
    """The moment at which a probe ends, whatever it waits for."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._ends_at = seconds, time.monotonic() + seconds

    def left_seconds(self) -> float:
        """Return what is left for the next step. Raises ProbeFailed when nothing is."""
        left_seconds = self._ends_at - time.monotonic()
        if left_seconds <= 0:
            raise self.passed()
        return left_seconds

    def passed(self) -> ProbeFailed:
        """Return the error that says so."""
        return ProbeFailed(Reason.TIMEOUT, f"timed out after {self._seconds:g} s")


class Outcome(Struct, frozen=True, kw_only=True):
    """What a probe found out. `seconds` is how long the answer took, and None when there was none."""

    seconds: float | None = None
    failure: ProbeFailed | None = None
    status: int | None = None
    certificate_expires_at: float | None = None
    phases: dict[str, float] = {}


class Dialled:
    """A TCP connection; `again` makes another one to the same address."""

    def __init__(self, connection: socket.socket, address: tuple[object, ...], *, seconds: float) -> None:
        self.socket, self._address, self.seconds = connection, address, seconds

    def __enter__(self) -> Dialled:
        """Return the connection."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close it."""
        self.socket.close()

    def again(self, deadline: Deadline) -> Dialled:
        """Connect once more. Raises OSError or ProbeFailed."""
        return _dial(self.socket.family, self._address, timeout_seconds=deadline.left_seconds())


def resolve(host: str, port: int, *, kind: socket.SocketKind = socket.SOCK_STREAM, ip_version: int = 0) -> list[Found]:
    """Return the addresses of a name, as the system knows it. Raises ProbeFailed.

    The system's resolver cannot be interrupted: it has time limits of its own (resolv.conf).
    """
    if not 0 <= port < 1 << 16:
        raise ProbeFailed(Reason.CONNECT, f"there is no port {port}")
    family = {0: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}[ip_version]
    try:
        found = socket.getaddrinfo(host, port, family, kind)
    except (OSError, UnicodeError, ValueError) as error:
        raise ProbeFailed(Reason.DNS, f"name look-up: {getattr(error, 'strerror', None) or error}") from error
    return [(family, address) for family, _, _, _, address in found]


def dial(addresses: Sequence[Found], deadline: Deadline) -> Dialled:
    """Connect to the first address that accepts; each gets its share of the time. Raises ProbeFailed."""
    failure: OSError = OSError("the name has no address")
    for i, (family, address) in enumerate(addresses):
        try:
            return _dial(family, address, timeout_seconds=deadline.left_seconds() / (len(addresses) - i))
        except OSError as error:
            failure = error
    if isinstance(failure, TimeoutError):
        raise deadline.passed() from failure
    raise ProbeFailed(Reason.CONNECT, str(failure)) from failure


def _dial(family: socket.AddressFamily | int, address: tuple[object, ...], *, timeout_seconds: float) -> Dialled:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_seconds)
        started_at = time.perf_counter()
        connection.connect(address)
        return Dialled(connection, address, seconds=time.perf_counter() - started_at)
    except OSError:
        connection.close()
        raise


class Attempts:
    """Counts the probes of one target, so that the counters go on while it is down.

    `families` are four: up, tried, failed, and a histogram of the seconds.
    """

    def __init__(
        self, name: str, component: str, families: Sequence[Family], *, bounds_seconds: Sequence[float]
    ) -> None:
        *counters, duration = families
        self.tried = self.failed = 0
        self._fields = {"collector": name, "component": component}
        self._block = Block(counters, fixed=(component,))
        self._duration = Histogram(duration, (component,), bounds_seconds=bounds_seconds)
        self._unexpected: Reason | None = None

    def begin(self) -> None:
        """Count a probe that begins."""
        self.tried += 1

    def end(self, outcome: Outcome) -> None:
        """Count how it ended. Raises its failure where the target did not answer; what it answered is logged here."""
        self.failed += outcome.failure is not None
        if outcome.seconds is not None:
            self._duration.observe(outcome.seconds)
            self._note(outcome.failure)
        elif outcome.failure is not None:
            self._unexpected = None
            raise outcome.failure

    def samples(self, *, up: bool) -> Samples:
        """Return the counters as they stand."""
        row = [number(int(up)), number(self.tried), number(self.failed)]
        return (*self._block.render_row(row), self._duration.render())

    def _note(self, failure: ProbeFailed | None) -> None:
        """Log when answers stop being as expected, and when they are again, not each scrape in between."""
        reason = failure.reason if failure else None
        if failure is not None and reason != self._unexpected:
            logger.warning("probe failed", extra={**self._fields, "reason": str(failure)})
        elif failure is None and self._unexpected:
            logger.info("probe recovered", extra=self._fields)
        self._unexpected = reason
