"""HTTP/1.1 as the exporter needs it: requests from bytes, answers to bytes."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Mapping
from http import HTTPStatus

import httptools
from msgspec import Struct
from msgspec.structs import replace

from perfloop.errors import PerfloopError

MAX_REQUEST_BYTES = 16 * 1024
MAX_PIPELINED = 16
# Below this, gzip costs more than the bytes it saves.
MIN_GZIP_BYTES = 1024


class BadRequestError(PerfloopError):
    """The client's bytes are no request that we accept; `status` says why."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Request(Struct, frozen=True, kw_only=True):
    """One request; header names are in lower case. A body, if there was one, was thrown away."""

    method: str
    path: str
    headers: Mapping[str, str]
    keep_alive: bool

    @property
    def accepts_gzip(self) -> bool:
        """Whether the client takes gzip (q=0 means that it does not)."""
        for offer in self.headers.get("accept-encoding", "").lower().split(","):
            coding, _, quality = offer.partition(";")
            if coding.strip() in {"gzip", "*"}:
                return quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
        return False


class Response(Struct, frozen=True, kw_only=True):
    """One answer. `body` is as it goes over the wire."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()

    def encode(self, *, head_only: bool, keep_alive: bool) -> bytes:
        """Return head and body; HEAD has the head that GET would have."""
        fields = [
            ("Content-Type", self.content_type),
            ("Content-Length", str(len(self.body))),
            *self.headers,
            ("Connection", "keep-alive" if keep_alive else "close"),
        ]
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        head = f"HTTP/1.1 {self.status.value} {self.status.phrase}\r\n{lines}\r\n".encode("latin-1")
        return head if head_only else head + self.body


def error_response(status: HTTPStatus, *headers: tuple[str, str]) -> Response:
    """Return an answer that only says its status."""
    return Response(body=f"{status.value} {status.phrase}\n".encode(), status=status, headers=headers)


def gzip(body: bytes) -> bytes:
    """Compress at level 1: higher ones save a tenth of the bytes for twice the time."""
    compressor = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


class RequestReader:
    """Turns the bytes of one connection into requests; what is complete waits in `requests`."""

    def __init__(self) -> None:
        self.requests: deque[Request] = deque()
        self._parser = httptools.HttpRequestParser(self)
        self._size_bytes = 0
        self._start()

    @property
    def midway(self) -> bool:
        """Whether a request has begun and is not complete."""
        return self._size_bytes > 0

    def feed(self, data: bytes) -> None:
        """Take more bytes. Raises BadRequestError; the connection is of no use then."""
        self._size_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # We stay with HTTP/1.1, which the client must accept; bytes of the other protocol are not read.
            self.requests[-1] = replace(self.requests[-1], keep_alive=False)
        except httptools.HttpParserError as error:
            raise BadRequestError(HTTPStatus.BAD_REQUEST) from error
        if self._size_bytes > MAX_REQUEST_BYTES or len(self.requests) > MAX_PIPELINED:
            raise BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Called by httptools."""
        self._start()

    def on_url(self, url: bytes) -> None:
        """Called by httptools, perhaps with a piece only."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_message_complete(self) -> None:
        """Called by httptools."""
        self._size_bytes = 0
        try:
            path = httptools.parse_url(self._url).path or b"/"
        except httptools.HttpParserInvalidURLError:
            path = b""
        self.requests.append(
            Request(
                method=self._parser.get_method().decode("latin-1"),
                path=path.decode("latin-1"),
                headers=self._headers,
                keep_alive=self._parser.should_keep_alive(),
            )
        )

    def _start(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
