"""One scrape: who is asked, in which format, how long it may take, and the page that comes of it."""

from __future__ import annotations

import math
import time
from functools import lru_cache

from perfloop.collectors.guard import Guard, Round
from perfloop.errors import QueryInvalid
from perfloop.exposition.connection import Headers
from perfloop.exposition.http import MIN_GZIP_BYTES, Request, Response, gzip
from perfloop.exposition.page import render_page
from perfloop.exposition.text import CONTENT_TYPE, OPENMETRICS_CONTENT_TYPE

# Prometheus gives up at its timeout; the way back needs time too (blackbox_exporter takes the same).
OFFSET_SECONDS = 0.5
_MIN_SECONDS = 0.05
_HEADERS = (("Vary", "Accept, Accept-Encoding"),)
_GZIP_HEADERS = (*_HEADERS, ("Content-Encoding", "gzip"))


class Scraping:
    """Answers /metrics from a guard's rounds."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._page: Page | None = None

    def answer(self, request: Request) -> Scrape:
        """Begin or join a collection. Raises QueryInvalid when the query names a collector that is not there."""
        current = self._guard.begin(selected(request, self._guard.names))
        if self._page is None or self._page.round is not current:
            self._page = Page(current)
        return Scrape(
            self._page,
            openmetrics=accepts_openmetrics(request.headers.get("accept", "")),
            gzipped=request.accepts_gzip,
            patience_seconds=patience_seconds(request),
        )


class Page:
    """What one round of collections showed, rendered once for all scrapes that joined it."""

    def __init__(self, collected: Round) -> None:
        self.round = collected
        self._bodies: dict[bool, bytes] = {}
        self._responses: dict[tuple[bool, bool], Response] = {}

    def response(self, *, openmetrics: bool, gzipped: bool) -> Response:
        """Close the round and return its page."""
        response = self._responses.get((openmetrics, gzipped))
        if response is None:
            body = self._body(openmetrics=openmetrics)
            headers: Headers = _HEADERS
            if gzipped and len(body) >= MIN_GZIP_BYTES:
                body, headers = gzip(body), _GZIP_HEADERS
            content_type = OPENMETRICS_CONTENT_TYPE if openmetrics else CONTENT_TYPE
            response = Response(body=body, content_type=content_type, headers=headers)
            self._responses[openmetrics, gzipped] = response
        return response

    def _body(self, *, openmetrics: bool) -> bytes:
        body = self._bodies.get(openmetrics)
        if body is None:
            body = self._bodies[openmetrics] = render_page(self.round.samples(), openmetrics=openmetrics)
        return body


class Scrape:
    """One client's answer: its page, when that is complete or the client's time is up."""

    def __init__(self, page: Page, *, openmetrics: bool, gzipped: bool, patience_seconds: float) -> None:
        self._page, self._openmetrics, self._gzipped = page, openmetrics, gzipped
        self._started_at = time.monotonic()
        self._gives_up_at = self._started_at + patience_seconds
        # With nobody to wait for, all that ask in one turn of the server get one page, at its end.
        self._at_once = page.round.complete

    @property
    def deadline(self) -> float:
        """When the last budget ends of those that are missing, or the client's patience."""
        return self._started_at if self._at_once else min(self._gives_up_at, self._page.round.deadline)

    @property
    def ready(self) -> bool:
        """Whether everything that is worth waiting for is there."""
        return not self._at_once and self._page.round.complete

    def response(self) -> Response:
        """Return the page as it stands."""
        return self._page.response(openmetrics=self._openmetrics, gzipped=self._gzipped)


def selected(request: Request, names: frozenset[str]) -> frozenset[str] | None:
    """Return the collectors that `collect[]` asks for or `exclude[]` leaves, or None for all. Raises QueryInvalid."""
    return _selected(request.query.get("collect[]", ()), request.query.get("exclude[]", ()), names)


# All that a scrape asks for is understood once: a Prometheus asks for the same each time.
@lru_cache(maxsize=32)
def _selected(wanted: tuple[str, ...], unwanted: tuple[str, ...], names: frozenset[str]) -> frozenset[str] | None:
    if wanted and unwanted:
        raise QueryInvalid("collect[] and exclude[] cannot stand together")
    unknown = sorted({*wanted, *unwanted} - names)
    if unknown:
        raise QueryInvalid(f"no such collector here: {', '.join(unknown)[:200]}; there are {', '.join(sorted(names))}")
    if wanted:
        return frozenset(wanted)
    return names - {*unwanted} if unwanted else None


def patience_seconds(request: Request) -> float:
    """Return how long this client waits: Prometheus' own timeout less the way back, or for ever."""
    return _patience_seconds(request.headers.get("x-prometheus-scrape-timeout-seconds", "inf"))


@lru_cache(maxsize=32)
def _patience_seconds(timeout: str) -> float:
    try:
        timeout_seconds = float(timeout)
    except ValueError:
        return math.inf
    if math.isnan(timeout_seconds):
        return math.inf
    return max(_MIN_SECONDS, timeout_seconds - OFFSET_SECONDS)


@lru_cache(maxsize=32)
def accepts_openmetrics(accept: str) -> bool:
    """Say whether an Accept header asks for OpenMetrics 1.0 at least as much as for the older text."""
    qualities = {"openmetrics": 0.0, "text": 0.0}
    for offer in accept.lower().split(","):
        media, *parameters = (part.strip() for part in offer.split(";"))
        values = dict(parameter.partition("=")[::2] for parameter in parameters)
        if media == "application/openmetrics-text" and values.get("version", "1.0.0").strip('"') == "1.0.0":
            kind = "openmetrics"
        elif media in {"text/plain", "text/*", "*/*"}:
            kind = "text"
        else:
            continue
        qualities[kind] = max(qualities[kind], _quality(values.get("q", "1")))
    return 0 < qualities["openmetrics"] >= qualities["text"]


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
