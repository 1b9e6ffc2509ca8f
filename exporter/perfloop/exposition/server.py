"""A small HTTP server for metrics: one thread, kept connections, answers that may come later.

No client can hold up another: nothing here waits for a socket, and connections are bounded in number and time.
Between requests nothing is done: the process sleeps until a client or a deadline wakes it.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import resource
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from perfloop.exposition.connection import REQUEST_SECONDS, Connection, Deferred, Handler, Headers
from perfloop.exposition.http import MAX_BODY_BYTES, RequestReader
from perfloop.exposition.transport import Transport

logger = logging.getLogger(__name__)

__all__ = ["BACKLOG", "MAX_CONNECTIONS", "Deferred", "Handler", "Server"]

BACKLOG = 1024
MAX_CONNECTIONS = 512
# All bodies that are being sent, together: nobody has shown a password yet when they arrive.
MAX_BODIES_BYTES = 64 << 20
# With no room for another connection, clients wait in the backlog for so long before the next try.
_PAUSE_SECONDS = 0.05
_ACCEPTED_AT_ONCE = 64
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Server:
    """Serves `handler` until stopped. `wake`, `call_soon` and `stop` may come from any thread or signal.

    `transport` carries a new client's bytes (plainly or under TLS), `headers` says what every answer gets,
    `body_limit` how many bytes a body for this path may have.
    """

    def __init__(
        self,
        listeners: socket.socket | Sequence[socket.socket],
        handler: Handler,
        *,
        max_connections: int | None = None,
        request_seconds: float = REQUEST_SECONDS,
        body_limit: Callable[[str], int] = lambda _: MAX_BODY_BYTES,
        transport: Callable[[socket.socket], Transport] = Transport,
        headers: Callable[[], Headers] = lambda: (),
    ) -> None:
        self._listeners = (listeners,) if isinstance(listeners, socket.socket) else tuple(listeners)
        self._handler, self._body_limit = handler, body_limit
        self._max_connections = max_connections or _default_connections()
        self._request_seconds, self._transport, self._headers = request_seconds, transport, headers
        # In the order of their last complete exchange: the first is the one to close when there are too many.
        self._connections: dict[int, Connection] = {}
        self._watched: dict[int, int] = {}
        self._waiting: set[Connection] = set()
        # The earliest times at which a connection, a deferred answer, the listeners may need something.
        self._due_at = self._answer_at = self._listen_at = math.inf
        self._calls: deque[Callable[[], object]] = deque()
        self._woken = self._stopped = False
        # Who wakes the server after its end must not write to what has the same number by then.
        self._waking = threading.RLock()
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        self._epoll.register(self._wakeup, select.EPOLLIN)
        self._on_ready: dict[int, Callable[[], None]] = {self._wakeup: self._on_wake}
        for listener in self._listeners:
            listener.settimeout(0)
            if listener.family != socket.AF_UNIX:
                # The kernel keeps a client to itself until its first bytes are there, or this many seconds.
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
            self._on_ready[listener.fileno()] = partial(self._accept, listener)
            self._epoll.register(listener, select.EPOLLIN)

    def wake(self) -> None:
        """Have the deferred answers looked at."""
        with self._waking:
            if not self._epoll.closed:
                os.eventfd_write(self._wakeup, 1)

    def call_soon(self, call: Callable[[], object]) -> None:
        """Call something in the server's own thread."""
        self._calls.append(call)
        self.wake()

    def stop(self) -> None:
        """End `serve`."""
        self.call_soon(self._stop)

    def serve(self) -> None:
        """Serve until stopped, then close everything."""
        while not self._stopped:
            for number, _ in self._epoll.poll(self._timeout_seconds()):
                # The event of another connection may have closed this one.
                if on_ready := self._on_ready.get(number):
                    on_ready()
            # Not those that come meanwhile: however many there are, clients get their turn.
            for _ in range(len(self._calls)):
                self._call(self._calls.popleft())
            self._look()
        for connection in list(self._connections.values()):
            self._close(connection)
        for listener in self._listeners:
            listener.close()
        with self._waking:
            self._epoll.close()
            os.close(self._wakeup)

    def _call(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception:
            # What a signal asked for must not be the end of all scrapes.
            logger.exception("call failed")

    def _stop(self) -> None:
        self._stopped = True

    def _on_wake(self) -> None:
        os.eventfd_read(self._wakeup)
        self._woken = True

    def _timeout_seconds(self) -> float | None:
        due_at = min(self._due_at, self._answer_at, self._listen_at)
        return None if due_at == math.inf else max(0.0, due_at - time.monotonic())

    def _look(self) -> None:
        """Do what is due; in between this costs three comparisons, however many connections there are."""
        now = time.monotonic()
        if self._woken or now >= self._answer_at:
            self._woken = False
            self._answer_waiting(now)
        if now >= self._due_at:
            for connection in [c for c in self._connections.values() if c.due_at <= now]:
                self._close(connection)
            self._due_at = min((c.due_at for c in self._connections.values()), default=math.inf)
        if now >= self._listen_at:
            self._listen_at = math.inf
            self._watch_listeners(select.EPOLLIN)

    def _answer_waiting(self, now: float) -> None:
        self._answer_at = math.inf
        for connection in list(self._waiting):
            deferred = connection.deferred
            if deferred is not None and (deferred.ready or now >= deferred.deadline):
                self._waiting.discard(connection)
                connection.resume()
            self._settle(connection)

    def _accept(self, listener: socket.socket) -> None:
        if self._full and not self._close_one():
            self._pause()
            return
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                client, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    # This one has left already, or its network is gone; the next may be there.
                    continue
                if not self._close_one():
                    self._pause()
                return
            self._add(client)
            if self._full:
                return

    @property
    def _full(self) -> bool:
        return len(self._connections) >= self._max_connections

    def _add(self, client: socket.socket) -> None:
        try:
            client.settimeout(0)
            if client.family != socket.AF_UNIX:
                # Else the second part of an answer waits for the client's delayed acknowledgement.
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            transport = self._transport(client)
        except OSError:
            # It has left already.
            client.close()
            return
        connection = Connection(
            transport,
            RequestReader(body_limit=self._room_for_body),
            self._handler,
            headers=self._headers,
            request_seconds=self._request_seconds,
        )
        number = connection.number
        self._connections[number] = connection
        self._on_ready[number] = partial(self._advance, connection)
        self._epoll.register(number, select.EPOLLIN)
        self._watched[number] = select.EPOLLIN
        # The request is there already; and who is known to wait for an answer is not closed to make room.
        self._advance(connection)

    def _room_for_body(self, path: str) -> int:
        taken = sum(connection.held_bytes for connection in self._connections.values())
        return min(self._body_limit(path), max(0, MAX_BODIES_BYTES - taken))

    def _advance(self, connection: Connection) -> None:
        try:
            connection.on_ready()
        except Exception:
            # A bug that one client finds must not be the end of all others' scrapes.
            logger.exception("connection failed")
            connection.close()
        self._settle(connection)

    def _settle(self, connection: Connection) -> None:
        """Take note of what has become of a connection."""
        number = connection.number
        if connection.closed:
            self._forget(connection)
            return
        interest = connection.interest
        if interest != self._watched[number]:
            self._epoll.modify(number, interest)
            self._watched[number] = interest
        if connection.finished:
            connection.finished = False
            self._connections[number] = self._connections.pop(number)
        if connection.deferred is not None:
            self._waiting.add(connection)
            self._answer_at = min(self._answer_at, connection.deferred.deadline)
        self._due_at = min(self._due_at, connection.due_at)

    def _close_one(self) -> bool:
        """Make room: by the longest unused connection, else by one whose client is slow to take its answer."""
        connections = self._connections.values()
        victim = next((c for c in connections if not c.busy), None) or next((c for c in connections if c.sending), None)
        if victim is not None:
            self._close(victim)
        return victim is not None

    def _pause(self) -> None:
        self._listen_at = time.monotonic() + _PAUSE_SECONDS
        self._watch_listeners(0)

    def _watch_listeners(self, events: int) -> None:
        for listener in self._listeners:
            self._epoll.modify(listener, events)

    def _close(self, connection: Connection) -> None:
        connection.close()
        self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        if self._connections.get(connection.number) is connection:
            # Its file descriptor is closed, and left the epoll set by that.
            del self._connections[connection.number], self._on_ready[connection.number]
            self._waiting.discard(connection)


def _default_connections() -> int:
    """Leave half of the file descriptors for the collectors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(MAX_CONNECTIONS, max(8, soft // 2))
