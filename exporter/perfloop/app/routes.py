"""Which path answers what: the page, probes, pushes, health, reload."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from msgspec import Struct

from perfloop.app.landing import landing_page
from perfloop.errors import QueryInvalid
from perfloop.exposition.http import Request, Response, error_response
from perfloop.exposition.server import Deferred

HEALTH = {"/-/healthy": b"healthy\n", "/-/ready": b"ready\n"}
_GET = ("GET", "HEAD")
_RELOAD = ("POST", "PUT")

Answer = Callable[[Request], Response | Deferred]


class Route(Struct, frozen=True, kw_only=True):
    """What answers a path, and for which methods."""

    answer: Answer
    methods: tuple[str, ...] = _GET


class Routes:
    """Finds who answers a request. `push` answers all paths that `pushes_to` knows, and checks methods itself."""

    def __init__(
        self,
        telemetry_path: str,
        *,
        scrape: Answer,
        probe: Answer,
        reload: Answer,
        push: Answer,
        pushes_to: Callable[[str], bool],
    ) -> None:
        self._push, self._pushes_to = push, pushes_to
        self._routes = {
            "/": Route(answer=fixed(landing_page([telemetry_path, *HEALTH]), content_type="text/html; charset=utf-8")),
            **{path: Route(answer=fixed(body)) for path, body in HEALTH.items()},
            "/probe": Route(answer=probe),
            "/-/reload": Route(answer=reload, methods=_RELOAD),
            telemetry_path: Route(answer=scrape),
        }

    def __call__(self, request: Request) -> Response | Deferred:
        """Answer a request, or say why not."""
        route = self._routes.get(request.path)
        if route is None:
            return self._push(request) if self._pushes_to(request.path) else error_response(HTTPStatus.NOT_FOUND)
        if request.method not in route.methods:
            return error_response(HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", ", ".join(route.methods)))
        try:
            return route.answer(request)
        except QueryInvalid as error:
            return Response(status=HTTPStatus.BAD_REQUEST, body=f"{error}\n".encode())


def fixed(body: bytes, *, content_type: str = "text/plain; charset=utf-8") -> Answer:
    """Return what answers every request with the same bytes."""
    response = Response(body=body, content_type=content_type)
    return lambda _: response
