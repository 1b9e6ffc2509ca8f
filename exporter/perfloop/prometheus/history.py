"""What Prometheus remembers: all series of an expression over time, and the samples of a name, newest first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from urllib.parse import urlencode

from msgspec import Struct

from perfloop.model import Measurement
from perfloop.prometheus.client import PrometheusClient

# Prometheus refuses more points of a series in one answer.
MOST_POINTS = 11_000
_FIRST_POINTS = 500
_POINTS_AT_ONCE = 200_000
_FIRST_WINDOW_SECONDS = 300.0
_LARGEST_WINDOW_SECONDS = 86400.0


class Series(Struct, frozen=True, kw_only=True):
    """One series: its labels, and its values by time, oldest first; NaN and infinity are among them."""

    labels: dict[str, str]
    values: list[tuple[float, float]]


class Chunk(Struct, frozen=True, kw_only=True):
    """What an expression gave at `points` moments, the first of which is number `first` of all."""

    first: int
    points: int
    series: list[Series]


class _WireSeries(Struct):
    metric: dict[str, str]
    values: list[tuple[float, str]]


class _Matrix(Struct, tag_field="resultType", tag="matrix"):
    result: list[_WireSeries]


class _Runtime(Struct, rename="camel"):
    storage_retention: str = ""


class PrometheusHistory(PrometheusClient):
    """Asks one Prometheus for long stretches of time, piece by piece, so that no answer is large."""

    def chunks(self, promql: str, *, start: float, points: int, step_seconds: float) -> Iterator[Chunk]:
        """Evaluate an expression at `points` moments from `start` on, and yield the answers in their order.

        A piece holds as many points as the last one lets expect to fit, so memory does not grow with the time asked.
        """
        first, size = 0, _FIRST_POINTS
        while first < points:
            size = min(size, points - first, MOST_POINTS)
            began_at = start + first * step_seconds
            form = {
                "query": promql,
                "start": repr(began_at),
                "end": repr(began_at + (size - 1) * step_seconds),
                "step": repr(step_seconds),
            }
            series = [_series(found) for found in self._ask("POST", "query_range", _Matrix, form).result]
            yield Chunk(first=first, points=size, series=series)
            first += size
            size = size * 4 if not series else max(1, min(size * 4, _POINTS_AT_ONCE // len(series)))

    def measurements(self, name: str, *, start: float, end: float, limit: int) -> list[Measurement]:
        """Return the newest samples of a series name, newest first, at most `limit`.

        Looks back piece by piece, each larger than the one before. What is no number is left out.
        """
        found: list[Measurement] = []
        until, window = end, _FIRST_WINDOW_SECONDS
        while until >= start and len(found) < limit:
            since = max(start, until - window)
            found += sorted(self._measured(name, since, until), key=_newest_first)
            # Both ends of a range belong to it, to the millisecond.
            until, window = since - 0.001, min(window * 4, _LARGEST_WINDOW_SECONDS)
        return found[:limit]

    def names(self, *, start: float, end: float) -> frozenset[str]:
        """Return the names of all series that had samples in that time, and some from shortly before or after it."""
        query = urlencode({"start": repr(start), "end": repr(end)})
        return frozenset(self._ask("GET", f"label/__name__/values?{query}", list[str]))

    def retention(self) -> str:
        """Return how long samples are kept, in Prometheus' words: `15d`, or `15d or 1GB`."""
        return self._ask("GET", "status/runtimeinfo", _Runtime).storage_retention

    def _measured(self, name: str, since: float, until: float) -> list[Measurement]:
        # A range of nothing is refused; the samples of one moment are in the range of a second, and more is cut off.
        seconds = max(1, math.ceil(until - since))
        form = {"query": f"{name}[{seconds}s]", "time": repr(until)}
        return [
            Measurement(at=at, labels=_without_name(series.labels), value=value)
            for series in map(_series, self._ask("POST", "query", _Matrix, form).result)
            for at, value in series.values
            if since <= at <= until and math.isfinite(value)
        ]


def _series(found: _WireSeries) -> Series:
    return Series(labels=found.metric, values=[(at, float(value)) for at, value in found.values])


def _without_name(labels: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name != "__name__"}


def _newest_first(found: Measurement) -> tuple[float, list[tuple[str, str]]]:
    return -found.at, sorted(found.labels.items())
