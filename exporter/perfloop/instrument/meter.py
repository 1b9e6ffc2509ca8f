"""Counts requests with prometheus_client: by route, method and class of status, with their durations."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# The same as those of the access_log collector, so that one query serves both.
BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"))
OTHER = "other"


class Metrics:
    """The families, in one registry; every middleware of a process shares them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "perfloop_http_requests_total",
            "Requests by route, method and class of status (5xx); other is what fits none.",
            ("component", "route", "method", "code"),
            registry=registry,
        )
        self.duration = Histogram(
            "perfloop_http_request_duration_seconds",
            "Time from the first byte of a request to the last of its answer, by route.",
            ("component", "route"),
            buckets=BOUNDS_SECONDS,
            registry=registry,
        )
        self.in_progress = Gauge(
            "perfloop_http_requests_in_progress",
            "Requests whose answer is not complete, in all workers that live.",
            ("component",),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.disconnects = Counter(
            "perfloop_http_disconnects_total",
            "Requests whose client went away before the answer was complete, as far as the server says so.",
            ("component",),
            registry=registry,
        )
        self.capped = Counter(
            "perfloop_http_capped_requests_total",
            'Requests with the route "other", as there were max_routes routes already.',
            ("component",),
            registry=registry,
        )


metrics_in = cache(Metrics)


class Meter:
    """Counts the requests of one component. Series are looked up once: a request costs three additions."""

    def __init__(self, component: str, *, max_routes: int, registry: CollectorRegistry) -> None:
        self._component, self._max_routes, self._metrics = component, max_routes, metrics_in(registry)
        self._in_progress = self._metrics.in_progress.labels(component)
        self._disconnects = self._metrics.disconnects.labels(component)
        self._capped = self._metrics.capped.labels(component)
        self._durations: dict[str, Histogram] = {}
        self._requests: dict[tuple[str, str, int], Counter] = {}

    def begin(self) -> Timing:
        """Begin a request."""
        self._in_progress.inc()
        return Timing(self)

    def end(self, started_at: float, *, route: str | None, method: str, status: int, disconnected: bool) -> None:
        """Count a request that has ended."""
        seconds = time.perf_counter() - started_at
        if disconnected:
            self._disconnects.inc()
        route = self._bounded(route)
        method = method if method in METHODS else OTHER
        (self._requests.get((route, method, status // 100)) or self._counter(route, method, status // 100)).inc()
        self._durations[route].observe(seconds)
        self._in_progress.dec()

    def _bounded(self, route: str | None) -> str:
        if route is None:
            route = OTHER
        if route in self._durations:
            return route
        if route != OTHER and len(self._durations.keys() - {OTHER}) >= self._max_routes:
            self._capped.inc()
            return self._bounded(OTHER)
        self._durations[route] = self._metrics.duration.labels(self._component, route)
        return route

    def _counter(self, route: str, method: str, hundreds: int) -> Counter:
        code = f"{hundreds}xx" if 1 <= hundreds <= 5 else OTHER
        # There from the start, so that the first error is an increase and not the birth of a series.
        self._metrics.requests.labels(self._component, route, method, "5xx")
        counter = self._metrics.requests.labels(self._component, route, method, code)
        if code != OTHER:
            self._requests[route, method, hundreds] = counter
        return counter


class Timing:
    """One request that is being answered; it ends once."""

    def __init__(self, meter: Meter) -> None:
        self._meter, self._started_at, self._ended = meter, time.perf_counter(), False
        self.status: int | None = None
        self.disconnected = False

    def fail(self) -> None:
        """Count it as a 500, whatever was begun: what the client got is no whole answer."""
        self.status = 500

    def end(self, *, route: Callable[[], str | None], method: str) -> None:
        """End it; without a status nothing was ever answered, which servers make a 500."""
        if not self._ended:
            self._ended = True
            status = 500 if self.status is None else self.status
            self._meter.end(
                self._started_at, route=_asked(route), method=method, status=status, disconnected=self.disconnected
            )


def _asked(route: Callable[[], str | None]) -> str | None:
    try:
        return route()
    # What measures must not break what it measures: Django's resolver raises for paths that it does not know.
    except Exception:  # noqa: BLE001
        return None
