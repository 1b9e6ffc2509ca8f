"""How long a DNS server takes to answer a configured question, and whether the answer is the expected one."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from msgspec import Struct

from perfloop.collectors.address import split_address
from perfloop.collectors.connect import BOUNDS_SECONDS
from perfloop.collectors.probes.probing import (
    TIMEOUT_SECONDS,
    Attempts,
    Deadline,
    Found,
    Outcome,
    ProbeFailed,
    Reason,
    resolve,
)
from perfloop.exposition.text import Samples
from perfloop.model import Family, MetricType

if TYPE_CHECKING:
    from dns.message import Message

_NAMESERVER = re.compile(r"^\s*nameserver\s+(\S+)", re.MULTILINE)
_PORT = 53


def _family(name: str, kind: MetricType, text: str) -> Family:
    return Family(name=f"perfloop_network_dns_{name}", type=kind, help=text, labels=("component",))


UP = _family("up", MetricType.GAUGE, "Whether the last DNS look-up was answered in time and as expected.")
LOOKUPS = _family("lookups_total", MetricType.COUNTER, "DNS look-ups that were tried.")
FAILURES = _family(
    "lookup_failures_total", MetricType.COUNTER, "DNS look-ups without an answer, or without the expected one."
)
DURATION = _family(
    "lookup_duration_seconds",
    MetricType.HISTOGRAM,
    "Time until a DNS server answered, whatever it said; look-ups without an answer are not in it.",
)


class Question(Struct, frozen=True, kw_only=True):
    """What is asked, of whom (of the servers in resolv.conf by default), and what must be among the answers."""

    name: str
    record_type: str = "A"
    server: str = ""
    expect: tuple[str, ...] = ()


class DnsCollector:
    """Asks one question per scrape, by UDP, and by TCP where the answer is too long for that."""

    name: ClassVar[str] = "dns"
    may_hang: ClassVar[bool] = True
    families: ClassVar[tuple[Family, ...]] = (UP, LOOKUPS, FAILURES, DURATION)

    def __init__(
        self,
        component: str,
        question: Question,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        resolv_conf: Path = Path("/etc/resolv.conf"),
    ) -> None:
        self.component, self._question, self._timeout_seconds = component, question, timeout_seconds
        self._resolv_conf = resolv_conf
        self._attempts = Attempts(self.name, component, self.families, bounds_seconds=BOUNDS_SECONDS)

    def collect(self) -> Samples:
        """Ask once. Raises Unavailable when no server answers."""
        self._attempts.begin()
        outcome = ask(self._question, Deadline(self._timeout_seconds), resolv_conf=self._resolv_conf)
        self._attempts.end(outcome)
        return self._attempts.samples(up=outcome.failure is None)

    def down(self) -> Samples:
        """Return the counters as they stand, without asking a server."""
        return self._attempts.samples(up=False)

    def close(self) -> None:
        """Do nothing: no socket is kept."""


def ask(question: Question, deadline: Deadline, *, resolv_conf: Path = Path("/etc/resolv.conf")) -> Outcome:
    """Ask the servers in turn until one answers, and judge what it says."""
    try:
        servers = [split_address(question.server)] if question.server else _system_servers(resolv_conf)
        addresses = [resolve(host, port, kind=socket.SOCK_DGRAM)[0] for host, port in servers]
        started_at = time.perf_counter()
        answer = _ask(question, addresses, deadline)
        seconds = time.perf_counter() - started_at
    except ProbeFailed as error:
        return Outcome(failure=error)
    return Outcome(seconds=seconds, failure=_judge(answer, question), phases={"lookup": seconds})


def _system_servers(resolv_conf: Path) -> list[tuple[str, int]]:
    try:
        text = resolv_conf.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ProbeFailed(Reason.CONNECT, f"{resolv_conf}: {error.strerror}") from error
    # Without a line, the system's resolver asks this host.
    return [(host, _PORT) for host in _NAMESERVER.findall(text)] or [("127.0.0.1", _PORT)]


def _ask(question: Question, addresses: list[Found], deadline: Deadline) -> Message:
    """Return the first answer; each server gets its share of the time. Raises ProbeFailed."""
    try:
        from dns.exception import DNSException, Timeout  # noqa: PLC0415 - 5 MB, only if configured
        from dns.message import make_query  # noqa: PLC0415 - 5 MB, only if configured
    except ModuleNotFoundError as error:
        raise ProbeFailed(Reason.DNS, "dnspython is missing; type: pip install 'perfloop[dns]'") from error

    failure = ProbeFailed(Reason.CONNECT, "no DNS server is known")
    try:
        query = make_query(question.name, question.record_type, use_edns=0, payload=1232)
    except (DNSException, ValueError) as error:
        raise ProbeFailed(Reason.DNS, f"{question.name}: {error}") from error
    for i, address in enumerate(addresses):
        seconds = deadline.left_seconds() / (len(addresses) - i)
        try:
            return _exchange(query, address, Deadline(seconds))
        except (Timeout, TimeoutError):
            failure = deadline.passed()
        except (DNSException, OSError, ValueError, EOFError) as error:
            failure = ProbeFailed(Reason.CONNECT, f"{address[1][0]}: {error}")
    raise failure


def _exchange(query: Message, server: Found, deadline: Deadline) -> Message:
    from dns.message import Truncated  # noqa: PLC0415 - 5 MB, only if configured
    from dns.query import tcp, udp  # noqa: PLC0415 - 5 MB, only if configured

    family, address = server
    host, port = str(address[0]), int(str(address[1]))
    with socket.socket(family, socket.SOCK_DGRAM) as connection:
        connection.settimeout(0)
        # Only a connected socket hears that nobody listens there.
        connection.connect(address)
        try:
            seconds = deadline.left_seconds()
            # What is not an answer to this question from this server is not listened to.
            return udp(
                query,
                host,
                seconds,
                port,
                ignore_unexpected=True,
                ignore_errors=True,
                ignore_trailing=True,
                raise_on_truncation=True,
                sock=connection,
            )
        except Truncated:
            return tcp(query, host, deadline.left_seconds(), port, ignore_trailing=True)


def _judge(answer: Message, question: Question) -> ProbeFailed | None:
    """Return what is wrong with an answer. The alias on the way to a record is no answer itself."""
    from dns.exception import DNSException  # noqa: PLC0415 - 5 MB, only if configured
    from dns.rcode import NOERROR, to_text  # noqa: PLC0415 - 5 MB, only if configured
    from dns.rdata import from_text as record_from_text  # noqa: PLC0415 - 5 MB, only if configured
    from dns.rdataclass import IN  # noqa: PLC0415 - 5 MB, only if configured
    from dns.rdatatype import from_text  # noqa: PLC0415 - 5 MB, only if configured

    if answer.rcode() != NOERROR:
        return ProbeFailed(Reason.ANSWER, f"the server says {to_text(answer.rcode())}")
    kind = from_text(question.record_type)
    found = {record for records in answer.answer if records.rdtype == kind for record in records}
    if not found:
        return ProbeFailed(Reason.ANSWER, f"the answer holds no {question.record_type} record")
    try:
        missing = [text for text in question.expect if record_from_text(IN, kind, text) not in found]
    except DNSException as error:
        return ProbeFailed(Reason.ANSWER, f"what is expected is no {question.record_type} record: {error}")
    return ProbeFailed(Reason.ANSWER, f"the answer does not hold {', '.join(missing)}") if missing else None
