"""What access logs are counted into: requests, bytes and a histogram of durations by route."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate

from msgspec import Struct, field

from perfloop.collectors.logs.formats import Row, Token
from perfloop.collectors.logs.routes import CAPPED, OTHER, Routes
from perfloop.exposition.block import Block
from perfloop.exposition.text import Samples, number, series
from perfloop.model import Family, MetricType
from perfloop.protocols import Piece

# The same as those of perfloop.instrument, so that one query serves both.
BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE")
_MICROSECONDS = 10**6
_BOUNDS = tuple(int(bound * _MICROSECONDS) for bound in BOUNDS_SECONDS)
# Numbers beyond these are noise.
_MAX_SECONDS, _MAX_BYTES = 10**6, 1 << 50
_MAX_KNOWN_SIZES = 10_000

REQUESTS = Family(
    name="perfloop_http_requests_total",
    type=MetricType.COUNTER,
    help="Requests by route, method and class of status (5xx); other is what fits none.",
    labels=("component", "route", "method", "code"),
)
DURATION = Family(
    name="perfloop_http_request_duration_seconds",
    type=MetricType.HISTOGRAM,
    help="Time from the first byte of a request to the last of its answer, by route.",
    labels=("component", "route"),
)
BYTES = Family(
    name="perfloop_http_response_bytes_total",
    type=MetricType.COUNTER,
    help="Bytes that were sent as answers, by route, as the log has them.",
    labels=("component", "route"),
)
FAMILIES = (REQUESTS, BYTES, DURATION)


class _Codes(dict[Token, str]):
    def __missing__(self, status: Token) -> str:
        text = status.decode("ascii", "replace") if isinstance(status, bytes) else str(status)
        known = len(text) == 3 and text.isascii() and text.isdigit() and text[0] in "12345"
        code = f"{text[0]}xx" if known else OTHER
        if known:
            self[status] = code
        return code


class _Sizes(dict[Token, int | None]):
    def __missing__(self, token: Token) -> int | None:
        if len(self) >= _MAX_KNOWN_SIZES:
            self.clear()
        value = _number(token, most=_MAX_BYTES)
        self[token] = size = None if value is None else int(value)
        return size


_METHOD_NAMES: dict[Token, str] = {key: name for name in METHODS for key in (name, name.encode())}


class Totals(Struct):
    """The counters, as they are kept and stored; durations are in microseconds, so that sums are exact."""

    requests: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    buckets: dict[str, list[int]] = field(default_factory=dict)
    microseconds: dict[str, int] = field(default_factory=dict)
    lines: int = 0
    unparsed: int = 0
    capped: int = 0
    rotations: int = 0
    lost: int = 0


class Counts:
    """Adds rows to the totals and renders them; `per_second` is how many of the log's units a second has."""

    def __init__(self, component: str, totals: Totals, *, routes: Routes, per_second: int) -> None:
        self.totals, self._routes = totals, routes
        self._to_microseconds = _MICROSECONDS / per_second
        self._codes, self._sizes = _Codes(), _Sizes()
        self._requests = Block([REQUESTS], fixed=(component,))
        self._bytes = Block([BYTES], fixed=(component,))
        self._durations = Durations(component)

    def add(self, rows: list[Row], *, lines: int) -> None:
        """Count the rows that were read from so many lines."""
        self.totals.lines += lines
        self.totals.unparsed += lines - len(rows)
        if not rows:
            return
        methods, paths, statuses, sizes, durations = zip(*rows, strict=True)
        codes = list(map(self._codes.__getitem__, statuses))
        routes = list(map(self._routes.__getitem__, zip(paths, codes, strict=True)))
        self._add_requests(Counter(zip(routes, methods, codes, strict=True)))
        self._add_bytes(zip(routes, map(self._sizes.__getitem__, sizes), strict=True))
        self._add_durations(Counter(zip(routes, durations, strict=True)))

    def render(self) -> Samples:
        """Return the lines of all families."""
        labels, tokens = [], []
        for route, methods in self.totals.requests.items():
            for method, codes in methods.items():
                labels += [(route, method, code) for code in codes]
                tokens += [b"%d" % count for count in codes.values()]
        yield from self._requests.render_tokens(labels, tuple(tokens))
        sizes = self.totals.bytes
        yield from self._bytes.render_tokens([(route,) for route in sizes], tuple(b"%d" % n for n in sizes.values()))
        yield self._durations.render(self.totals)

    def _add_requests(self, found: Counter[tuple[str, Token, str]]) -> None:
        for (route, method, code), count in found.items():
            if route is CAPPED:
                self.totals.capped += count
            methods = self.totals.requests.setdefault(_shown(route), {})
            # There from the start, so that the first error is an increase and not the birth of a series.
            codes = methods.setdefault(_METHOD_NAMES.get(method, OTHER), {"5xx": 0})
            codes[code] = codes.get(code, 0) + count

    def _add_bytes(self, found: Iterable[tuple[str, int | None]]) -> None:
        sums = defaultdict[str, int](int)
        for route, size in found:
            if size is not None:
                sums[route] += size
        for route, size in sums.items():
            self.totals.bytes[_shown(route)] = self.totals.bytes.get(_shown(route), 0) + size

    def _add_durations(self, found: Counter[tuple[str, Token]]) -> None:
        unit, most = self._to_microseconds, _MAX_SECONDS * _MICROSECONDS
        buckets, sums = self.totals.buckets, defaultdict[str, int](int)
        for (route, token), count in found.items():
            value = _number(token, most=most)
            if value is None:
                continue
            microseconds, shown = round(value * unit), _shown(route)
            if shown not in buckets:
                buckets[shown] = [0] * (len(_BOUNDS) + 1)
            buckets[shown][bisect_left(_BOUNDS, microseconds)] += count
            sums[shown] += microseconds * count
        for route, microseconds in sums.items():
            self.totals.microseconds[route] = self.totals.microseconds.get(route, 0) + microseconds


class Durations:
    """A histogram for each route, rendered into one prebuilt template."""

    def __init__(self, component: str) -> None:
        self._component, self._routes, self._template = component, list[str](), b""

    def render(self, totals: Totals) -> Piece:
        """Return the family with its lines."""
        if self._routes != list(totals.buckets):
            self._routes = list(totals.buckets)
            self._template = b"".join(line for route in self._routes for line in self._lines(route))
        return DURATION, self._template % tuple(self._tokens(totals))

    def _lines(self, route: str) -> Iterator[bytes]:
        labels, values = DURATION.labels, (self._component, route)
        for bound in (*(repr(float(bound)) for bound in BOUNDS_SECONDS), "+Inf"):
            yield _escaped(series(f"{DURATION.name}_bucket", (*labels, "le"), (*values, bound))) + b" %b\n"
        yield _escaped(series(f"{DURATION.name}_sum", labels, values)) + b" %be-6\n"
        yield _escaped(series(f"{DURATION.name}_count", labels, values)) + b" %b\n"

    def _tokens(self, totals: Totals) -> Iterator[bytes]:
        for route in self._routes:
            cumulated = [number(count) for count in accumulate(totals.buckets[route])]
            yield from (*cumulated, number(totals.microseconds[route]), cumulated[-1])


def _shown(route: str) -> str:
    return OTHER if route is CAPPED else route


def _escaped(line: bytes) -> bytes:
    return line.replace(b"%", b"%%")


def _number(token: Token, *, most: float) -> float | None:
    """Return what a token says, or None for `-`, noise, and what is negative."""
    if token is None or isinstance(token, bool):
        return None
    try:
        value = float(token)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if 0 <= value <= most else None
