"""Middleware for WSGI applications."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry

from perfloop.instrument.meter import Meter, Timing

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]


def route_of(environ: Environ) -> str | None:
    """Return the template of a request: what the application wrote into `perfloop.route`, else Flask's rule."""
    path = environ.get("perfloop.route") or getattr(
        getattr(environ.get("werkzeug.request"), "url_rule", None), "rule", None
    )
    return path if isinstance(path, str) else None


class WsgiMiddleware:
    """Counts and times requests, to the last byte of the answer.

    `route` returns the template of a request when it was answered, or None, which counts as `other`; by default what
    Flask leaves in the environ. Never return a path: it has as many values as clients can think of.
    """

    def __init__(
        self,
        app: WsgiApp,
        *,
        component: str,
        route: Callable[[Environ], str | None] = route_of,
        max_routes: int = 100,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._app, self._route = app, route
        self._meter = Meter(component, max_routes=max_routes, registry=registry)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        timing = self._meter.begin()

        def start(status: str, *rest: object) -> object:
            timing.status = int(status[:3])
            return start_response(status, *rest)

        try:
            body = self._app(environ, start)
        except BaseException:
            timing.fail()
            self._end(environ, timing)
            raise
        return _Body(body, timing, head=environ["REQUEST_METHOD"] == "HEAD", ended=lambda: self._end(environ, timing))

    def _end(self, environ: Environ, timing: Timing) -> None:
        timing.end(route=lambda: self._route(environ), method=environ["REQUEST_METHOD"])


class _Body:
    """The application's answer; the server closes it when it is sent, or when its client is gone."""

    def __init__(self, body: Iterable[bytes], timing: Timing, *, head: bool, ended: Callable[[], None]) -> None:
        self._body, self._blocks, self._timing, self._ended = body, iter(body), timing, ended
        self._complete = head

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __len__(self) -> int:
        # Servers know the length of an answer of one block; without a length this raises as the answer itself would.
        return len(self._body)  # type: ignore[arg-type]

    def __next__(self) -> bytes:
        try:
            return next(self._blocks)
        except StopIteration:
            self._complete = True
            raise
        except BaseException:
            self._timing.fail()
            self._complete = True
            raise

    def close(self) -> None:
        """End the request."""
        try:
            if hasattr(self._body, "close"):
                self._body.close()
        finally:
            self._timing.disconnected = not self._complete
            self._ended()
