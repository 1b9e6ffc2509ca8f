"""A small HTTP server for metrics: one thread, kept connections, answers that may come later.

No client can hold up another: nothing here waits for a socket, and connections are bounded in number and time.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Protocol, TypeVar

from perfloop.exposition.http import MAX_BODY_BYTES, BadRequestError, Request, RequestReader, Response, error_response

logger = logging.getLogger(__name__)

BACKLOG = 1024
MAX_CONNECTIONS = 512
REQUEST_SECONDS = 10.0
RESPONSE_SECONDS = 30.0
IDLE_SECONDS = 300.0
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_CHUNK_BYTES = 1 << 16


class Deferred(Protocol):
    """An answer that is not there yet; asked again after each `Server.wake`, and at `deadline` at the latest."""

    @property
    def deadline(self) -> float:
        """Time of the monotonic clock at which `response` is called in any case."""

    @property
    def ready(self) -> bool:
        """Whether waiting longer would change nothing."""

    def response(self) -> Response:
        """Return the answer as it stands now."""


T = TypeVar("T")
Handler = Callable[[Request], Response | Deferred]


class Connection:
    """One client: what it sent, what it still has to receive, and how long it may take."""

    def __init__(self, client: socket.socket, reader: RequestReader, *, expires_at: float) -> None:
        self.client, self.reader, self.expires_at = client, reader, expires_at
        self.request: Request | None = None
        self.deferred: Deferred | None = None
        self.unsent = memoryview(b"")
        self.closing = False


class Server:
    """Serves `handler` until stopped. `wake`, `call_soon` and `stop` may come from any thread or signal."""

    def __init__(
        self,
        listener: socket.socket,
        handler: Handler,
        *,
        max_connections: int = MAX_CONNECTIONS,
        request_seconds: float = REQUEST_SECONDS,
        body_limit: Callable[[str], int] = lambda _: MAX_BODY_BYTES,
    ) -> None:
        self._listener, self._handler, self._body_limit = listener, handler, body_limit
        self._max_connections, self._request_seconds = max_connections, request_seconds
        # In the order of their last complete exchange: the first is the one to close when there are too many.
        self._connections: dict[int, Connection] = {}
        self._waiting: set[Connection] = set()
        self._calls: deque[Callable[[], None]] = deque()
        self._stopped = False
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector = selectors.DefaultSelector()
        listener.settimeout(0)
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wakeup, selectors.EVENT_READ, lambda: os.eventfd_read(self._wakeup))

    def wake(self) -> None:
        """Have the deferred answers looked at."""
        os.eventfd_write(self._wakeup, 1)

    def call_soon(self, call: Callable[[], None]) -> None:
        """Call something in the server's own thread."""
        self._calls.append(call)
        self.wake()

    def stop(self) -> None:
        """End `serve`."""
        self.call_soon(self._stop)

    def serve(self) -> None:
        """Serve until stopped, then close everything."""
        while not self._stopped:
            for key, _ in self._selector.select(self._timeout_seconds()):
                key.data()
            while self._calls:
                self._calls.popleft()()
            self._answer_waiting()
            self._expire()
        for connection in list(self._connections.values()):
            self._close(connection)
        self._listener.close()
        self._selector.close()
        os.close(self._wakeup)

    def _stop(self) -> None:
        self._stopped = True

    def _timeout_seconds(self) -> float | None:
        """Return the time until something is due; with no connection there is nothing, and the process sleeps."""
        deadlines = [connection.expires_at for connection in self._connections.values()]
        deadlines += [connection.deferred.deadline for connection in self._waiting if connection.deferred]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:
            # No file descriptor is left: the oldest connection makes room, and the client waits in the backlog.
            self._close_oldest()
            return
        if len(self._connections) >= self._max_connections:
            self._close_oldest()
        client.settimeout(0)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = RequestReader(body_limit=self._body_limit)
        connection = Connection(client, reader, expires_at=time.monotonic() + self._request_seconds)
        self._connections[client.fileno()] = connection
        self._selector.register(client, selectors.EVENT_READ, lambda: self._receive(connection))

    def _receive(self, connection: Connection) -> None:
        was_midway = connection.reader.midway
        try:
            data = connection.client.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(connection)
            return
        try:
            connection.reader.feed(data)
        except BadRequestError as error:
            connection.closing = True
            self._send(connection, error_response(error.status).encode(head_only=False, keep_alive=False))
            return
        if connection.reader.take_continue() and not connection.unsent:
            with suppress(OSError):
                connection.client.send(CONTINUE)
        if connection.reader.midway and not was_midway:
            connection.expires_at = min(connection.expires_at, time.monotonic() + self._request_seconds)
        self._advance(connection)

    def _advance(self, connection: Connection) -> None:
        """Take the next requests, one after another, until one has to wait."""
        while connection.reader.requests and connection.request is None and not connection.closing:
            connection.request = connection.reader.requests.popleft()
            answer = self._guarded(partial(self._handler, connection.request))
            if isinstance(answer, Response):
                self._respond(connection, answer)
            elif answer.ready:
                self._respond(connection, self._guarded(answer.response))
            else:
                connection.deferred = answer
                self._waiting.add(connection)

    def _guarded(self, call: Callable[[], T]) -> T | Response:
        try:
            return call()
        except Exception:
            logger.exception("request failed")
            return error_response(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _answer_waiting(self) -> None:
        now = time.monotonic()
        for connection in list(self._waiting):
            deferred = connection.deferred
            if deferred is not None and (deferred.ready or now >= deferred.deadline):
                self._waiting.discard(connection)
                connection.deferred = None
                self._respond(connection, self._guarded(deferred.response))
                self._advance(connection)

    def _respond(self, connection: Connection, response: Response) -> None:
        request = connection.request
        if request is None:
            return
        connection.closing = not request.keep_alive
        connection.expires_at = time.monotonic() + RESPONSE_SECONDS
        self._send(connection, response.encode(head_only=request.method == "HEAD", keep_alive=request.keep_alive))

    def _send(self, connection: Connection, data: bytes) -> None:
        connection.unsent = memoryview(data)
        self._flush(connection)
        if connection.unsent:
            # A client that does not read gets nothing more to do until it does.
            self._selector.modify(connection.client, selectors.EVENT_WRITE, lambda: self._flush_later(connection))

    def _flush_later(self, connection: Connection) -> None:
        self._flush(connection)
        if connection.client.fileno() >= 0 and not connection.unsent:
            self._selector.modify(connection.client, selectors.EVENT_READ, lambda: self._receive(connection))
            self._advance(connection)

    def _flush(self, connection: Connection) -> None:
        try:
            connection.unsent = connection.unsent[connection.client.send(connection.unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._close(connection)
            return
        if connection.unsent:
            return
        connection.request = None
        if connection.closing:
            self._close(connection)
            return
        number = connection.client.fileno()
        connection.expires_at = time.monotonic() + IDLE_SECONDS
        self._connections[number] = self._connections.pop(number)

    def _expire(self) -> None:
        now = time.monotonic()
        for connection in [c for c in self._connections.values() if c.expires_at <= now]:
            self._close(connection)

    def _close_oldest(self) -> None:
        if self._connections:
            self._close(next(iter(self._connections.values())))

    def _close(self, connection: Connection) -> None:
        if connection.client.fileno() < 0:
            return
        self._selector.unregister(connection.client)
        del self._connections[connection.client.fileno()]
        self._waiting.discard(connection)
        connection.client.close()
        connection.deferred, connection.unsent, connection.closing = None, memoryview(b""), True
