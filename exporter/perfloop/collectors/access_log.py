"""Requests, errors, durations and bytes by route, from the access log that a web server writes."""

from __future__ import annotations

import logging
import time
from itertools import chain
from pathlib import Path
from typing import ClassVar

from perfloop.collectors.logs.counts import FAMILIES as HTTP_FAMILIES
from perfloop.collectors.logs.counts import Counts
from perfloop.collectors.logs.formats import Format
from perfloop.collectors.logs.routes import Routes
from perfloop.collectors.logs.state import State, StateFile
from perfloop.collectors.logs.tail import Tail
from perfloop.exposition.block import Block
from perfloop.exposition.text import Samples, number
from perfloop.model import Family, MetricType
from perfloop.protocols import Clock, Piece

logger = logging.getLogger(__name__)


def _family(name: str, text: str) -> Family:
    kind = MetricType.COUNTER if name.endswith("_total") else MetricType.GAUGE
    return Family(name=f"perfloop_access_log_{name}", type=kind, help=text, labels=("component",))


CAPPED = Family(
    name="perfloop_http_capped_requests_total",
    type=MetricType.COUNTER,
    help='Requests with the route "other", as there were max_routes routes already.',
    labels=("component",),
)
UP = _family("up", "Whether the log could be read.")
READING = (
    _family("lines_total", "Lines of the log that were read."),
    _family("unparsed_lines_total", "Lines that do not fit the format, are too long, or have no end."),
    CAPPED,
    _family("rotations_total", "Times that the log was renamed, replaced or truncated."),
    _family("lost_files_total", "Rotations after which the rest of the old file was not found."),
    _family("lag_bytes", "Bytes of the log that are not counted yet; they are next time."),
    _family("state_stored", "Whether position and counters were stored after the last reading."),
)


class AccessLogCollector:
    """Counts what was appended to a log since the last scrape: at most `max_read_bytes`, for `max_seconds`.

    What it counted and how far it read are stored together after each reading, before the page shows them.
    """

    name: ClassVar[str] = "access_log"
    may_hang: ClassVar[bool] = True
    families: ClassVar[tuple[Family, ...]] = (UP, *READING, *HTTP_FAMILIES)

    def __init__(
        self,
        component: str,
        path: Path,
        *,
        state: Path,
        written: Format = Format(),  # noqa: B008 - frozen
        routes: tuple[str, ...] = (),
        max_routes: int = 50,
        from_start: bool = False,
        max_read_bytes: int = 1 << 24,
        max_seconds: float = 0.25,
        clock: Clock = time.time,
    ) -> None:
        self.component, self._format, self._max_read_bytes = component, written, max_read_bytes
        self._parse, self._max_seconds = written.parser(), max_seconds
        self._state_file, self._stored = StateFile(state), True
        self._state = State(path=str(path), routes=list(routes), max_routes=max_routes)
        self._tail = Tail(path, from_start=from_start, clock=clock)
        self._counts: Counts | None = None
        self._up, self._reading = Block([UP], fixed=(component,)), Block(READING, fixed=(component,))
        # As they were when a line was last read: a quiet log costs next to nothing.
        self._requests: list[Piece] = []
        self._rendered_lines = 0
        # What `down` shows; a whole new list each time, as it is read by another thread.
        self._shown: list[Piece] = []

    def collect(self) -> Samples:
        """Count what is new. Raises OSError when there is no log, or it may not be read."""
        counts = self._counts or self._resume()
        stop_at = time.monotonic() + self._max_seconds
        self._tail.follow()
        for block in self._tail.blocks(most_bytes=self._max_read_bytes):
            counts.add(self._parse(block), lines=block.count(b"\n"))
            if time.monotonic() > stop_at:
                break
        self._note_events(counts)
        if counts.totals.lines != self._rendered_lines:
            self._requests, self._rendered_lines = list(counts.render()), counts.totals.lines
            self._store()
        elif not self._stored or self._tail.followed.has_moved_from(self._state.followed):
            self._store()
        self._shown = [*self._reading.render_row(self._row(counts)), *self._requests]
        return chain(self._up.render_row([b"1"]), self._shown)

    def down(self) -> Samples:
        """Return the counters as they stood after the last reading."""
        return chain(self._up.render_row([b"0"]), self._shown)

    def close(self) -> None:
        """Close the files."""
        self._tail.close()

    def _resume(self) -> Counts:
        """Take up the stored position if it is that of this log, and the counters if the routes are the same."""
        old, new = self._state_file.load(), self._state
        if old is not None and old.path == new.path:
            self._tail.resume(old.followed)
            if (old.routes, old.max_routes) == (new.routes, new.max_routes):
                self._state = old
        else:
            self._tail.begin()
        self._routes = Routes(self._state.routes, max_routes=new.max_routes, known=self._state.known_routes)
        per_second = self._format.units_per_second
        self._counts = Counts(self.component, self._state.totals, routes=self._routes, per_second=per_second)
        # Also when there is no log yet: the one that comes is read from its beginning.
        self._store()
        return self._counts

    def _note_events(self, counts: Counts) -> None:
        events, totals = self._tail.take_events(), counts.totals
        totals.rotations += events.rotations
        totals.lost += events.lost
        totals.lines += events.unended_lines
        totals.unparsed += events.unended_lines

    def _store(self) -> None:
        self._state.followed, self._state.known_routes = self._tail.followed, self._routes.known
        try:
            self._state_file.save(self._state)
        except OSError as error:
            if self._stored:
                fields = {"component": self.component, "reason": str(error)}
                logger.warning("the position in the log cannot be stored; a restart will count again", extra=fields)
            self._stored = False
        else:
            self._stored = True

    def _row(self, counts: Counts) -> list[bytes]:
        totals = counts.totals
        row = (totals.lines, totals.unparsed, totals.capped, totals.rotations, totals.lost)
        return [number(value) for value in (*row, self._tail.lag_bytes, int(self._stored))]
