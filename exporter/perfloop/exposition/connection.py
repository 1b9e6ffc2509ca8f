"""One client of the server: its requests, one after another, its answers, and until when it has time."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import ParamSpec, Protocol

from perfloop.exposition.http import BadRequestError, Request, RequestReader, Response, error_response
from perfloop.exposition.transport import Transport

logger = logging.getLogger(__name__)

REQUEST_SECONDS = 10.0
RESPONSE_SECONDS = 30.0
IDLE_SECONDS = 300.0
# How long a client whose request was refused may go on sending, so that it gets to read why.
DRAIN_SECONDS = 2.0
# Idle connections end together on this grid: one look at all of them for many.
_IDLE_GRID_SECONDS = 10.0
# A body up to here leaves in one piece with its head; a longer one is not copied.
_JOIN_BYTES = 1 << 16
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

P = ParamSpec("P")
Headers = tuple[tuple[str, str], ...]


class Deferred(Protocol):
    """An answer that is not there yet; asked again after each `Server.wake`, and at `deadline` at the latest."""

    @property
    def deadline(self) -> float:
        """Time of the monotonic clock at which `response` is called in any case."""

    @property
    def ready(self) -> bool:
        """Whether waiting longer would change nothing."""

    def response(self) -> Response | Deferred:
        """Return the answer as it stands now, or what has to be waited for next."""


Handler = Callable[[Request], Response | Deferred]


class Connection:
    """What one client sent, what it still has to receive, and `due_at`, when its time is up.

    The server watches the socket for `interest` and calls `on_ready`; it calls `resume` when `deferred` is ready.
    """

    def __init__(
        self,
        transport: Transport,
        reader: RequestReader,
        handler: Handler,
        *,
        headers: Callable[[], Headers],
        request_seconds: float,
    ) -> None:
        self.number = transport.client.fileno()
        self.deferred: Deferred | None = None
        self.due_at = time.monotonic() + request_seconds
        self.finished = self.closed = False
        self._transport, self._reader, self._handler = transport, reader, handler
        self._headers, self._request_seconds = headers, request_seconds
        self._request: Request | None = None
        self._refused: BadRequestError | None = None
        self._unsent: list[memoryview] = []
        self._used = self._ended = self._closing = self._draining = False

    @property
    def interest(self) -> int:
        """What the socket has to be watched for: nothing while requests queue up or after the client's last one."""
        if self._unsent or self._draining or not (self._ended or self._refused or self._reader.requests):
            return self._transport.interest
        return 0

    @property
    def busy(self) -> bool:
        """Whether the client waits for an answer."""
        return self._request is not None

    @property
    def sending(self) -> bool:
        """Whether the client has not taken all of its answer."""
        return bool(self._unsent)

    @property
    def held_bytes(self) -> int:
        """How much memory the bodies take, or may come to take, that the client sends and nobody has answered yet."""
        return self._reader.held_bytes + (len(self._request.body) if self._request else 0)

    def on_ready(self) -> None:
        """Do what the socket is ready for."""
        try:
            if self._unsent:
                self._flush()
            elif self._draining:
                self._drain()
            elif not self.interest:
                # Only the end of the connection is told to who watches for nothing.
                self.close()
            else:
                self._receive()
            self._advance()
        except OSError:
            self.close()

    def resume(self) -> None:
        """Take the deferred answer as it stands."""
        deferred, self.deferred = self.deferred, None
        try:
            if deferred is not None:
                self._give(guarded(deferred.response))
                self._advance()
        except OSError:
            self.close()

    def close(self) -> None:
        """Close at once."""
        if not self.closed:
            self.closed, self._request, self.deferred = True, None, None
            self._unsent.clear()
            self._transport.close()

    def _receive(self) -> None:
        # The first request's time began with the connection.
        timed = self._reader.midway or not self._used
        try:
            data = self._transport.read()
            if data is None:
                return
            self._ended = not data
            if data:
                self._reader.feed(data)
        except BadRequestError as error:
            self._refused = error
        if self._reader.midway and not timed:
            self.due_at = time.monotonic() + self._request_seconds

    def _drain(self) -> None:
        if self._transport.read() == b"":
            self.close()

    def _advance(self) -> None:
        """Take the next requests, one after another, until one has to wait."""
        while not (self._request or self._unsent or self._draining or self.closed):
            if self._reader.requests:
                self._request = self._reader.requests.popleft()
                self._give(guarded(self._handler, self._request))
            elif self._refused and self._refused.told:
                self._drain_for_a_while()
            elif self._refused:
                self._respond(error_response(self._refused.status, detail=self._refused.detail), keep_alive=False)
            elif self._ended:
                self.close()
            elif self._reader.take_continue():
                self._unsent.append(memoryview(_CONTINUE))
                self._flush()
            else:
                break

    def _give(self, answer: Response | Deferred) -> None:
        while not isinstance(answer, Response) and answer.ready:
            answer = guarded(answer.response)
        if isinstance(answer, Response):
            self._respond(answer, keep_alive=self._request is not None and self._request.keep_alive)
        else:
            self.deferred, self.due_at = answer, math.inf

    def _respond(self, response: Response, *, keep_alive: bool) -> None:
        head = response.head(keep_alive=keep_alive, headers=self._headers())
        body = b"" if self._request is not None and self._request.method == "HEAD" else response.body
        parts = [head + body] if len(body) <= _JOIN_BYTES else [head, body]
        self._unsent = [memoryview(part) for part in parts]
        self._closing = not keep_alive
        self.due_at = time.monotonic() + RESPONSE_SECONDS
        self._flush()

    def _flush(self) -> None:
        while self._unsent:
            self._unsent[0] = self._transport.write(self._unsent[0])
            if self._unsent[0]:
                return
            del self._unsent[0]
        if self._request is not None or self._closing:
            self._finish()

    def _finish(self) -> None:
        """Go on after a whole answer was sent."""
        refusal = self._request is None
        self._request, self.finished, self._used = None, True, True
        now = time.monotonic()
        if refusal:
            self._drain_for_a_while()
        elif self._closing:
            self.close()
        elif self._reader.midway:
            self.due_at = now + self._request_seconds
        else:
            self.due_at = (now + IDLE_SECONDS) // _IDLE_GRID_SECONDS * _IDLE_GRID_SECONDS

    def _drain_for_a_while(self) -> None:
        """Close, but not before the client had time to read: what it sent and we did not read would cut that off."""
        self._transport.end_writing()
        self._draining, self.due_at = True, time.monotonic() + DRAIN_SECONDS


def guarded(call: Callable[P, Response | Deferred], *args: P.args, **kwargs: P.kwargs) -> Response | Deferred:
    """Ask a handler; whatever it raises is its bug and the client's 500."""
    try:
        return call(*args, **kwargs)
    except Exception:
        logger.exception("request failed")
        return error_response(HTTPStatus.INTERNAL_SERVER_ERROR)
