"""Statements of the user's own: the rows of each become metrics `perfloop_query_NAME_COLUMN`.

It knows no driver: `Statements` runs one statement at a time, over a connection of its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import ClassVar

from perfloop.collectors.queries_result import IGNORED, REPEATED, TRUNCATED, Query, Shown, Statements, show
from perfloop.errors import Rejected, Unavailable
from perfloop.exposition.block import Block
from perfloop.exposition.text import Samples, number
from perfloop.model import Component, Family, MetricType
from perfloop.protocols import Piece

logger = logging.getLogger(__name__)

# How long a result is shown beyond its time, while the query is asked again and others wait for it.
KEPT_SECONDS = 60.0
_LABELS = ("component", "query")
SUCCESS = Family(
    name="perfloop_query_success",
    type=MetricType.GAUGE,
    help="Whether the query of perfloop.yml was answered when it was asked last.",
    labels=_LABELS,
)
DURATION = Family(
    name="perfloop_query_duration_seconds",
    type=MetricType.GAUGE,
    help="Time that the query took when it was asked last.",
    labels=_LABELS,
)
COLLECTED = Family(
    name="perfloop_query_last_collect_timestamp_seconds",
    type=MetricType.GAUGE,
    help="When the query was answered last: its values are as old as this, at most min_interval_seconds as a rule.",
    labels=_LABELS,
)
STATUS = (SUCCESS, DURATION, COLLECTED, TRUNCATED, REPEATED, IGNORED)


class Asked:
    """One query, and how it went; written by one thread, and read by the scrape's while that one is at work."""

    def __init__(self, query: Query, *, component: str) -> None:
        self.query, self.component = query, component
        self.block = Block(query.families, fixed=(component,))
        self.shown = Shown()
        self.began_at: float | None = None
        self.ended_at, self.seconds, self.collected_at = -float("inf"), 0.0, 0.0
        self.success: bool | None = None

    def due(self, now: float) -> bool:
        """Whether its last result is not good any more."""
        return now - self.ended_at >= self.query.min_interval_seconds

    def run(self, statements: Statements) -> None:
        """Ask. Raises Unavailable; a refusal is only noted."""
        self.began_at = time.monotonic()
        try:
            result = statements.run(
                self.query.sql, max_rows=self.query.max_rows + 1, timeout_seconds=self.query.timeout_seconds
            )
            self.shown = show(self.query, result, block=self.block, before=self.shown)
        except Rejected as error:
            self.fail(str(error))
        else:
            self._end(success=True)
            self.collected_at = time.time()

    def fail(self, reason: str) -> None:
        """Note a failure, once in the log, and have nothing to show."""
        if self.success is not False:
            fields = {"component": self.component, "query": self.query.name, "reason": reason}
            logger.warning("query failed", extra=fields)
        self.shown = self.shown.without_samples()
        self._end(success=False)

    def status(self, now: float) -> tuple[bytes, ...]:
        """Return the values of STATUS."""
        began_at = self.began_at
        overdue = began_at is not None and now - began_at > self.query.timeout_seconds
        return (
            b"" if self.success is None else number(int(self.success and not overdue)),
            number(round(self.seconds, 6)) if self.success is not None else b"",
            number(round(self.collected_at, 3)) if self.collected_at else b"",
            *map(number, (self.shown.truncated, self.shown.repeated, self.shown.ignored)),
        )

    def samples(self, now: float) -> Samples:
        """Return its lines, if they are not too old."""
        good_seconds = self.query.min_interval_seconds + max(KEPT_SECONDS, self.query.timeout_seconds)
        return self.shown.samples if now - self.ended_at <= good_seconds else ()

    def _end(self, *, success: bool) -> None:
        if success and self.success is False:
            logger.info("query recovered", extra={"component": self.component, "query": self.query.name})
        now = time.monotonic()
        self.seconds = now - (self.began_at or now)
        self.success, self.ended_at, self.began_at = success, now, None


class QueriesCollector:
    """Asks the queries that are due, one after another, the slow ones last. What one of them does costs no other."""

    name: ClassVar[str] = "queries"
    may_hang: ClassVar[bool] = True
    families: ClassVar[tuple[Family, ...]] = STATUS

    def __init__(
        self, component: Component, queries: Sequence[Query], *, connect: Callable[[Component], Statements]
    ) -> None:
        self.component = component.name
        self._statements = connect(component)
        self._asked = [Asked(query, component=component.name) for query in queries]
        self._status = Block(STATUS, fixed=(component.name,))

    def collect(self) -> Samples:
        """Ask what is due. Raises Unavailable when there is no connection, for what remains to be asked too."""
        now = time.monotonic()
        due = sorted((asked for asked in self._asked if asked.due(now)), key=lambda asked: asked.seconds)
        for i, asked in enumerate(due):
            try:
                asked.run(self._statements)
            except Unavailable as error:
                for unasked in due[i:]:
                    unasked.fail(str(error))
                    # None of them is to blame: they are asked again as soon as there is a connection.
                    unasked.ended_at = -float("inf")
                raise
        return self.down()

    def down(self) -> Samples:
        """Return what is still good of former answers, without asking."""
        now = time.monotonic()
        samples: list[Piece] = list(
            self._status.render(
                [(asked.query.name,) for asked in self._asked], [asked.status(now) for asked in self._asked]
            )
        )
        for asked in self._asked:
            samples += asked.samples(now)
        return samples

    def close(self) -> None:
        """Close the connection."""
        self._statements.close()
