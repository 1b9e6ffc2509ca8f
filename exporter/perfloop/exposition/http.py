"""HTTP/1.1 as the exporter needs it: requests from bytes, answers to bytes."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Mapping
from functools import cache, lru_cache, partial
from http import HTTPStatus
from urllib.parse import parse_qs

import httptools
from msgspec import Struct
from msgspec.structs import replace

from perfloop.errors import PerfloopError

MAX_HEAD_BYTES = 16 * 1024
MAX_BODY_BYTES = 16 * 1024
MAX_PIPELINED = 16
MAX_QUERY_FIELDS = 1000
_NO_QUERY: Mapping[str, tuple[str, ...]] = {}
# Below this, gzip costs more than the bytes it saves.
MIN_GZIP_BYTES = 1024


class BadRequestError(PerfloopError):
    """The client's bytes are no request that we accept; `status` says why, unless the client was told otherwise."""

    def __init__(self, status: HTTPStatus, *, detail: str = "", told: bool = False) -> None:
        super().__init__(status.phrase)
        self.status, self.detail, self.told = status, detail, told


class Request(Struct, frozen=True, kw_only=True):
    """One request; header names are in lower case, values of a repeated one are joined by commas.

    `path` is as it was sent, still with its %-escapes; names and values of `query` are without them.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    keep_alive: bool
    query: Mapping[str, tuple[str, ...]] = {}
    body: bytes = b""

    @property
    def accepts_gzip(self) -> bool:
        """Whether the client takes gzip (q=0 means that it does not)."""
        return _accepts_gzip(self.headers.get("accept-encoding", ""))


@lru_cache(maxsize=32)
def _accepts_gzip(accepted: str) -> bool:
    offers = dict(map(_offer, accepted.lower().split(",")))
    return offers.get("gzip", offers.get("*", False))


def _offer(text: str) -> tuple[str, bool]:
    coding, _, quality = text.partition(";")
    return coding.strip(), quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}


class Response(Struct, frozen=True, kw_only=True):
    """One answer. `body` is as it goes over the wire."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()

    def head(self, *, keep_alive: bool, headers: tuple[tuple[str, str], ...] = ()) -> bytes:
        """Return everything before the body, with more headers; HEAD has the head that GET would have."""
        status, connection = self.status, "keep-alive" if keep_alive else "close"
        lines = "".join([f"{name}: {value}\r\n" for name, value in self.headers + headers])
        return (
            f"HTTP/1.1 {int(status)} {status.phrase}\r\nContent-Type: {self.content_type}\r\n"
            f"Content-Length: {len(self.body)}\r\n{lines}Connection: {connection}\r\n\r\n"
        ).encode("latin-1")


def error_response(status: HTTPStatus, *headers: tuple[str, str], detail: str = "") -> Response:
    """Return an answer that only says its status, and perhaps why."""
    text = f"{status.value} {status.phrase}{': ' if detail else ''}{detail}\n"
    return Response(body=text.encode(), status=status, headers=headers)


def gzip(body: bytes) -> bytes:
    """Compress as fast as can be: higher levels save a seventh of the bytes for a third more time."""
    return _compressor()(body)


@cache
def _compressor() -> Callable[[bytes], bytes]:
    """Choose Intel's igzip where it is installed: a quarter of zlib's time, and fewer bytes."""
    try:
        from isal import igzip_lib  # noqa: PLC0415 - not needed by who never compresses, and not there on every machine
    except ImportError:
        return _zlib_gzip
    return partial(igzip_lib.compress, level=0, flag=igzip_lib.COMP_GZIP)


def _zlib_gzip(body: bytes) -> bytes:
    compressor = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


# A Prometheus sends the same bytes at every scrape: parsed once, they are known.
_SEEN: dict[bytes, Request] = {}
_MAX_SEEN, _MAX_SEEN_BYTES = 64, 2048


def _remember(data: bytes, request: Request) -> None:
    if request.body or not request.keep_alive or len(data) > _MAX_SEEN_BYTES:
        return
    if len(_SEEN) >= _MAX_SEEN:
        _SEEN.clear()
    _SEEN[data] = request


class RequestReader:
    """Turns the bytes of one connection into requests; what is complete waits in `requests`.

    `body_limit` says how many bytes a body for this path may have; a longer one is refused with 413.
    """

    def __init__(self, *, body_limit: Callable[[str], int] = lambda _: MAX_BODY_BYTES) -> None:
        self.requests: deque[Request] = deque()
        self._body_limit = body_limit
        self._parser = httptools.HttpRequestParser(self)
        self._refused: HTTPStatus | None = None
        self._completed = 0
        self._size_bytes = self._fed_bytes = self._left_bytes = 0
        self._asks_to_continue = self._upgraded = False
        self._start()

    @property
    def midway(self) -> bool:
        """Whether a request has begun and is not complete."""
        return self._size_bytes > 0

    @property
    def held_bytes(self) -> int:
        """How much memory the body of the present request may come to take, and those that wait do."""
        return self._most_bytes + sum(len(request.body) for request in self.requests)

    def take_continue(self) -> bool:
        """Return, once, whether the client waits for `100 Continue` before it sends the body."""
        asks, self._asks_to_continue = self._asks_to_continue and self.midway, False
        return asks and not self._body

    def feed(self, data: bytes) -> None:
        """Take more bytes. Raises BadRequestError; the connection is of no use then."""
        if self._upgraded:
            return
        between = not self.midway
        if between and (request := _SEEN.get(data)):
            self.requests.append(request)
            return
        completed = self._completed
        # No head is longer than what was fed since the last request ended; most often that settles it.
        self._fed_bytes = self._size_bytes + len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # We stay with HTTP/1.1, which the client must accept; bytes of the other protocol are not read.
            self._upgraded = True
            self.requests[-1] = replace(self.requests[-1], keep_alive=False)
        except httptools.HttpParserError as error:
            raise BadRequestError(self._refused or HTTPStatus.BAD_REQUEST) from error
        if self._completed == completed:
            self._size_bytes += len(data)
        if len(self.requests) > MAX_PIPELINED:
            self.requests.clear()
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        self._check_size()
        if self._refused:
            raise BadRequestError(self._refused)
        if between and not self.midway and self._completed == completed + 1:
            _remember(data, self.requests[-1])

    def on_message_begin(self) -> None:
        """Called by httptools."""
        self._start()
        self._size_bytes = 1

    def on_url(self, url: bytes) -> None:
        """Called by httptools, perhaps with a piece only."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools, also for what stands behind a body in chunks, which is not for us."""
        if self._in_body:
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        """Called by httptools."""
        self._in_body = True
        if self._fed_bytes > MAX_HEAD_BYTES and self._head_bytes() > MAX_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        self._read_url()
        if "content-length" in self._headers or "transfer-encoding" in self._headers:
            self._expect_body()

    def on_body(self, body: bytes) -> None:
        """Called by httptools, perhaps with a piece only."""
        self._body += body
        self._left_bytes -= len(body)
        if self._left_bytes < 0:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def on_message_complete(self) -> None:
        """Called by httptools."""
        self._size_bytes = self._most_bytes = 0
        self._completed += 1
        self.requests.append(
            Request(
                method=self._parser.get_method().decode("latin-1"),
                path=self._path,
                headers=self._headers,
                keep_alive=self._parser.should_keep_alive(),
                query=self._query,
                body=bytes(self._body),
            )
        )

    def _start(self) -> None:
        self._url, self._path = b"", ""
        # One piece of memory: as a list, a body in chunks of two bytes would take twenty times its size.
        self._body = bytearray()
        self._query: Mapping[str, tuple[str, ...]] = _NO_QUERY
        self._headers: dict[str, str] = {}
        self._most_bytes = 0
        self._in_body = False

    def _head_bytes(self) -> int:
        return len(self._url) + sum(len(name) + len(value) for name, value in self._headers.items())

    def _expect_body(self) -> None:
        limit = self._body_limit(self._path)
        self._most_bytes = self._left_bytes = int(self._headers.get("content-length", limit))
        if self._most_bytes > limit:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        self._asks_to_continue = self._headers.get("expect", "").lower() == "100-continue"

    def _read_url(self) -> None:
        try:
            url = httptools.parse_url(self._url)
            self._path = (url.path or b"/").decode("latin-1")
            if url.query:
                fields = parse_qs(url.query.decode(), keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
                self._query = {name: tuple(values) for name, values in fields.items()}
        except httptools.HttpParserInvalidURLError:
            self._path = ""
        except ValueError:
            self._refuse(HTTPStatus.BAD_REQUEST)

    def _check_size(self) -> None:
        """Bound what the parser holds: a head without an end, and the frames of a body in chunks."""
        if self._in_body and self._size_bytes > MAX_HEAD_BYTES + 2 * self._most_bytes:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        elif not self._in_body and self._size_bytes > MAX_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _refuse(self, status: HTTPStatus) -> None:
        self._refused = self._refused or status
