"""One HTTP/1.1 exchange over a connection of ours: its phases timed, and all of it ended by one deadline."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, cast
from urllib.parse import SplitResult

from msgspec import Struct

from perfloop.collectors.probes.probing import Deadline, ProbeFailed, Reason, dial, resolve
from perfloop.collectors.probes.trust import Trust, secure

if TYPE_CHECKING:
    from http.client import HTTPResponse

_CHUNK_BYTES = 1 << 16


class Phase(StrEnum):
    """Where the time of an exchange goes; together they are all of it."""

    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    FIRST_BYTE = "first_byte"
    TRANSFER = "transfer"


class Phases:
    """Adds up the time between one moment and the next."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(map(str, Phase), 0.0)
        self._since = time.perf_counter()

    def end(self, phase: Phase) -> None:
        """Say that the time since the last call went there."""
        now = time.perf_counter()
        self.seconds[phase] += now - self._since
        self._since = now


class Asked(Struct, frozen=True, kw_only=True):
    """A request; what authorizes it is in the headers."""

    method: str
    url: SplitResult
    headers: Mapping[str, str]
    body: bytes


class Answer(Struct, frozen=True, kw_only=True):
    """What came back; `body` is cut off behind the largest size that is looked at."""

    status: int
    location: str
    body: bytes
    certificate_expires_at: float | None


def exchange(asked: Asked, trust: Trust, phases: Phases, deadline: Deadline, *, max_body_bytes: int) -> Answer:
    """Send the request over a new connection. Raises ProbeFailed."""
    host, port = _host_and_port(asked.url)
    addresses = resolve(host, port)
    phases.end(Phase.DNS)
    with dial(addresses, deadline) as dialled:
        phases.end(Phase.CONNECT)
        expires_at = None
        if asked.url.scheme == "https":
            expires_at = secure(dialled, host, trust, deadline).certificate_expires_at
            phases.end(Phase.TLS)
        wire = Wire(dialled.socket, deadline, first_byte=lambda: phases.end(Phase.FIRST_BYTE))
        answer, body = _talk(wire, asked, deadline, max_body_bytes=max_body_bytes)
        phases.end(Phase.TRANSFER)
    location = answer.getheader("Location") or ""
    return Answer(status=answer.status, location=location, body=body, certificate_expires_at=expires_at)


class Wire:
    """What http.client takes for a socket: each read and write has only what is left of the time."""

    def __init__(self, connection: socket.socket, deadline: Deadline, *, first_byte: Callable[[], None]) -> None:
        self._socket, self._deadline, self._first_byte = connection, deadline, first_byte
        self._silent = True

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        self._socket.settimeout(self._deadline.left_seconds())
        self._socket.sendall(data)

    def receive(self, buffer: memoryview) -> int:
        """Receive something, and note when that is the first."""
        self._socket.settimeout(self._deadline.left_seconds())
        size = self._socket.recv_into(buffer)
        if self._silent:
            self._silent = False
            self._first_byte()
        return size

    def makefile(self, _: str) -> io.BufferedReader:
        """Return the answer as a file."""
        return _Bounded(_Received(self))

    def close(self) -> None:
        """Do nothing: who dialled hangs up."""


class _Received(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        return self._wire.receive(cast("memoryview", buffer))


class _Bounded(io.BufferedReader):
    def read(self, size: int | None = -1, /) -> bytes:
        # A chunk of the size -1 would have http.client read into memory whatever comes until the end.
        if size is None or size < 0:
            raise ValueError("only so many bytes can be read")
        return super().read(size)


def _talk(wire: Wire, asked: Asked, deadline: Deadline, *, max_body_bytes: int) -> tuple[HTTPResponse, bytes]:
    from http.client import HTTPConnection, HTTPException  # noqa: PLC0415 - 5 MB, only if configured

    try:
        client = HTTPConnection(*_host_and_port(asked.url))
        client.sock = cast("socket.socket", wire)
        # Only a port that the scheme does not imply stands in the header Host.
        client.default_port = 443 if asked.url.scheme == "https" else 80
        target = asked.url._replace(scheme="", netloc="", fragment="").geturl() or "/"
        client.request(asked.method, target, body=asked.body or None, headers=dict(asked.headers))
        answer = client.getresponse()
        # Of those before the final answer http.client skips `100 Continue` only; after 101 nothing else comes.
        if HTTPStatus.SWITCHING_PROTOCOLS < answer.status < HTTPStatus.OK:
            raise ProbeFailed(Reason.ANSWER, f"the status {answer.status} is no final one")
        return answer, _read(answer, max_body_bytes + 1)
    except TimeoutError as error:
        raise deadline.passed() from error
    except (HTTPException, ValueError) as error:
        raise ProbeFailed(Reason.ANSWER, f"no HTTP: {type(error).__name__}") from error
    except OSError as error:
        raise ProbeFailed(Reason.CONNECT, str(error)) from error


def _read(answer: HTTPResponse, most_bytes: int) -> bytes:
    body = bytearray()
    while len(body) < most_bytes:
        piece = answer.read(min(_CHUNK_BYTES, most_bytes - len(body)))
        if not piece and answer.length:
            raise ProbeFailed(Reason.ANSWER, f"the body ends {answer.length} bytes too early")
        if not piece:
            break
        body += piece
    return bytes(body)


def _host_and_port(url: SplitResult) -> tuple[str, int]:
    try:
        host, port = url.hostname, url.port
    except ValueError as error:
        raise ProbeFailed(Reason.CONNECT, "the URL has no valid port") from error
    if not host:
        raise ProbeFailed(Reason.DNS, "the URL has no host")
    return host, port or (443 if url.scheme == "https" else 80)
