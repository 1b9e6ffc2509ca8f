"""The exporter process: configuration → collectors → guard → page → HTTP."""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from perfloop.app.collectors import build_collectors, check_unique
from perfloop.app.landing import landing_page
from perfloop.app.listener import listen
from perfloop.app.recipe import Recipe
from perfloop.app.scrape import Scraping
from perfloop.collectors.exporter import ExporterCollector, Reload
from perfloop.collectors.guard import Guard
from perfloop.collectors.watch import Watch
from perfloop.config import Config, parse
from perfloop.config.reader import read_text
from perfloop.errors import ConfigInvalid, QueryInvalid
from perfloop.exposition.http import Request, Response, error_response
from perfloop.exposition.server import Deferred, Server
from perfloop.protocols import Clock

logger = logging.getLogger(__name__)

_HEALTH = {"/-/healthy": b"healthy\n", "/-/ready": b"ready\n"}
_GET = ("GET", "HEAD")


class Route(Struct, frozen=True, kw_only=True):
    """What answers a path, and for which methods."""

    answer: Callable[[Request], Response | Deferred]
    methods: tuple[str, ...] = _GET


class Exporter:
    """The running exporter. `serve` blocks until `stop`; `reload` swaps the configuration in."""

    def __init__(
        self,
        config_file: Path,
        *,
        base: Path,
        environ: Mapping[str, str],
        address: str | None = None,
        clock: Clock = time.time,
    ) -> None:
        self._file, self._base, self._environ, self._clock = config_file, base, environ, clock
        self._watches: list[tuple[Recipe, Watch]] = []
        config, self._last_reload = self._load()
        listener = listen(address or config.web.exporter_address)
        host, port = listener.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._server = Server(listener, self._handle)
        self._guard = Guard(notify=self._server.wake)
        self._scraping = Scraping(self._guard)
        self._configure(config)
        self._routes = {
            "/": Route(answer=fixed(landing_page(["/metrics", *_HEALTH]), content_type="text/html; charset=utf-8")),
            "/metrics": Route(answer=self._scraping.answer),
            **{path: Route(answer=fixed(answer)) for path, answer in _HEALTH.items()},
            "/-/reload": Route(answer=self._answer_reload, methods=("POST", "PUT")),
        }

    def serve(self) -> None:
        """Serve until stopped."""
        logger.info("listening", extra={"address": self.address})
        self._server.serve()
        self._guard.close()

    def stop(self) -> None:
        """End `serve`. May come from a signal."""
        self._server.stop()

    def reload(self) -> None:
        """Read the configuration again, soon; a broken one leaves the old in force. May come from a signal."""
        self._server.call_soon(self._reload)

    def _reload(self) -> None:
        try:
            config, reload = self._load()
            self._configure(config)
        except ConfigInvalid as error:
            self._last_reload = replace(self._last_reload, successful=False)
            logger.error("reload failed; the running configuration stays", extra={"problems": error.problems})  # noqa: TRY400
            return
        self._last_reload = reload
        logger.info("configuration reloaded")

    def _load(self) -> tuple[Config, Reload]:
        text = read_text(self._file)
        config = parse(text, name=str(self._file))
        return config, Reload(successful=True, succeeded_at=self._clock(), config_crc=zlib.crc32(text.encode()))

    def _configure(self, config: Config) -> None:
        """Watch what the configuration asks for; what ran before with the same arguments goes on. All or nothing."""
        own = Recipe(ExporterCollector, self._state)
        recipes = [own, *build_collectors(config, base=self._base, environ=self._environ)]
        kept = [next((watch for old, watch in self._watches if old == recipe), None) for recipe in recipes]
        sources = [watch.source if watch else recipe.make() for recipe, watch in zip(recipes, kept, strict=True)]
        check_unique(sources)
        watches = [watch or Watch(source) for source, watch in zip(sources, kept, strict=True)]
        for watch in watches:
            watch.budget_seconds = config.collectors.budget_seconds(watch.source.name)
            watch.max_series = config.collectors.max_series_per_family
        self._watches = list(zip(recipes, watches, strict=True))
        self._guard.replace(watches)

    def _state(self) -> Reload:
        return self._last_reload

    def _handle(self, request: Request) -> Response | Deferred:
        route = self._routes.get(request.path)
        if route is None:
            return error_response(HTTPStatus.NOT_FOUND)
        if request.method not in route.methods:
            return error_response(HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", ", ".join(route.methods)))
        try:
            return route.answer(request)
        except QueryInvalid as error:
            return Response(status=HTTPStatus.BAD_REQUEST, body=f"{error}\n".encode())

    def _answer_reload(self, request: Request) -> Response:
        del request
        self._reload()
        if self._last_reload.successful:
            return Response(body=b"reloaded\n")
        # Who may ask for a reload need not be who may read the configuration: its mistakes are in the log.
        body = b"the configuration has mistakes, which the log says; the running one stays\n"
        return Response(status=HTTPStatus.INTERNAL_SERVER_ERROR, body=body)


def fixed(body: bytes, *, content_type: str = "text/plain; charset=utf-8") -> Callable[[Request], Response]:
    """Return what answers every request with the same bytes."""
    response = Response(body=body, content_type=content_type)
    return lambda _: response
