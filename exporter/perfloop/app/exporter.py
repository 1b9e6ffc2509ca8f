"""The exporter process: configuration → collectors → guard → page → HTTP."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from perfloop import __version__
from perfloop.app.collectors import build_collectors
from perfloop.app.listener import listen
from perfloop.collectors.exporter import ExporterCollector, Reload
from perfloop.collectors.guard import Guard, Round
from perfloop.config import Config, load
from perfloop.errors import ConfigInvalid
from perfloop.exposition.http import MIN_GZIP_BYTES, Request, Response, error_response, gzip
from perfloop.exposition.server import Deferred, Server
from perfloop.exposition.text import CONTENT_TYPE, render_page
from perfloop.protocols import Clock, Collector

logger = logging.getLogger(__name__)

# Prometheus gives up at its timeout; the way back needs time too (blackbox_exporter takes the same).
_SCRAPE_MARGIN_SECONDS = 0.5
_MIN_BUDGET_SECONDS = 0.05
_LANDING_PAGE = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>perfloop exporter</title></head>
<body><h1>perfloop exporter</h1><p>Version {__version__}</p>
<ul>
<li><a href="/metrics">Metrics</a></li>
<li><a href="/-/healthy">Healthy</a></li>
<li><a href="/-/ready">Ready</a></li>
</ul>
</body></html>
""".encode()


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
        config = load(config_file)
        self._last_reload = Reload(successful=True, succeeded_at=clock())
        sources = self._build(config)
        listener = listen(address or config.web.exporter_address)
        host, port = listener.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._server = Server(listener, self._handle)
        self._guard = self._guarded(config, sources)
        self._page: Page | None = None

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
            config = load(self._file)
            sources = self._build(config)
        except ConfigInvalid as error:
            self._last_reload = Reload(successful=False, succeeded_at=self._last_reload.succeeded_at)
            logger.error("reload failed; the running configuration stays", extra={"problems": error.problems})  # noqa: TRY400
            return
        self._last_reload = Reload(successful=True, succeeded_at=self._clock())
        self._guard.close()
        self._guard = self._guarded(config, sources)
        logger.info("configuration reloaded")

    def _guarded(self, config: Config, sources: list[Collector]) -> Guard:
        self._budget_seconds = config.collectors.target_timeout_seconds
        return Guard(sources, budget_seconds=self._budget_seconds, notify=self._server.wake)

    def _build(self, config: Config) -> list[Collector]:
        own = ExporterCollector(lambda: self._last_reload)
        return [own, *build_collectors(config, base=self._base, environ=self._environ)]

    def _handle(self, request: Request) -> Response | Deferred:
        route = _ROUTES.get(request.path)
        if request.path != "/metrics" and route is None:
            return error_response(HTTPStatus.NOT_FOUND)
        if request.method not in {"GET", "HEAD"}:
            return error_response(HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", "GET, HEAD"))
        return route or self._scrape(request)

    def _scrape(self, request: Request) -> Deferred:
        current = self._guard.begin()
        if self._page is None or self._page.round is not current:
            self._page = Page(current)
        deadline = time.monotonic() + budget_seconds(request, most=self._budget_seconds)
        return Scrape(self._page, gzipped=request.accepts_gzip, deadline=deadline)


class Page:
    """What one round of collections showed, rendered once for all scrapes that joined it."""

    def __init__(self, collected: Round) -> None:
        self.round = collected
        self._bodies: dict[bool, bytes] = {}

    def body(self, *, gzipped: bool) -> bytes:
        """Close the round and return its page."""
        if not self._bodies:
            self._bodies[False] = render_page(self.round.samples())
        if gzipped not in self._bodies:
            self._bodies[gzipped] = gzip(self._bodies[False])
        return self._bodies[gzipped]


class Scrape:
    """One client's answer: its page, when that is complete or the client's time is up."""

    def __init__(self, page: Page, *, gzipped: bool, deadline: float) -> None:
        self._page, self._gzipped, self.deadline = page, gzipped, deadline

    @property
    def ready(self) -> bool:
        """Whether everything that is worth waiting for is there."""
        return self._page.round.complete

    def response(self) -> Response:
        """Return the page as it stands."""
        body = self._page.body(gzipped=False)
        headers = [("Vary", "Accept-Encoding")]
        if self._gzipped and len(body) >= MIN_GZIP_BYTES:
            body = self._page.body(gzipped=True)
            headers.append(("Content-Encoding", "gzip"))
        return Response(body=body, content_type=CONTENT_TYPE, headers=tuple(headers))


_ROUTES = {
    "/": Response(body=_LANDING_PAGE, content_type="text/html; charset=utf-8"),
    "/-/healthy": Response(body=b"healthy\n"),
    "/-/ready": Response(body=b"ready\n"),
}


def budget_seconds(request: Request, *, most: float) -> float:
    """Return how long this scrape may wait: the configured budget, or less if Prometheus waits less."""
    try:
        timeout_seconds = float(request.headers.get("x-prometheus-scrape-timeout-seconds", "inf"))
    except ValueError:
        return most
    if math.isnan(timeout_seconds):
        return most
    return min(most, max(_MIN_BUDGET_SECONDS, timeout_seconds - _SCRAPE_MARGIN_SECONDS))
