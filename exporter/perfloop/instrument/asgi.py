"""Middleware for ASGI applications."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry

from perfloop.instrument.meter import Meter, Timing

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


def route_of(scope: Scope) -> str | None:
    """Return the template that the framework matched: FastAPI leaves its route, Litestar the template itself."""
    path = getattr(scope.get("route"), "path", None) or scope.get("path_template")
    return path if isinstance(path, str) else None


class AsgiMiddleware:
    """Counts and times HTTP requests, to the last byte of the answer; websockets and lifespan pass untouched.

    `route` returns the template of a request when it was answered, or None, which counts as `other`; by default what
    FastAPI and Litestar leave in the scope. Never return a path: it has as many values as clients can think of.
    """

    def __init__(
        self,
        app: AsgiApp,
        *,
        component: str,
        route: Callable[[Scope], str | None] = route_of,
        max_routes: int = 100,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._app, self._route = app, route
        self._meter = Meter(component, max_routes=max_routes, registry=registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a connection on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        timing = self._meter.begin()
        exchange = _Exchange(timing, receive, send, ended=lambda: self._end(scope, timing))
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except BaseException:
            timing.fail()
            raise
        finally:
            self._end(scope, timing)

    def _end(self, scope: Scope, timing: Timing) -> None:
        timing.end(route=lambda: self._route(scope), method=scope["method"])


class _Exchange:
    """Listens to what the application and its server tell each other."""

    def __init__(self, timing: Timing, receive: Receive, send: Send, *, ended: Callable[[], None]) -> None:
        self._timing, self._receive, self._send, self._ended = timing, receive, send, ended
        self._complete = False

    async def receive(self) -> Message:
        message = await self._receive()
        # After the answer it only says that there will be no other request.
        if message["type"] == "http.disconnect" and not self._complete:
            self._timing.disconnected = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._timing.status = message["status"]
        try:
            await self._send(message)
        except OSError:
            self._timing.disconnected = True
            raise
        # What an application does after that (background tasks) is not its client's time.
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._complete = True
            self._ended()
