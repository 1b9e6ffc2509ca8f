"""Sizes of PostgreSQL's databases: the server looks at each of their files, so a large one is not asked every time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from perfloop.collectors.postgres.question import Answer, Question, Row, family, value
from perfloop.exposition.block import Block
from perfloop.exposition.text import number
from perfloop.protocols import Clock, Piece

# Sizes that come faster than this are asked at each scrape; others take at most a hundredth of the time.
FAST_SECONDS = 0.1
_REST = 100
COLLECTED = family(
    "database_size_last_collect_timestamp_seconds",
    "When the sizes of databases were asked for last; if that takes more than 0.1 s, again after 100 times as long.",
)
SIZES = Question(
    notes=("datallowconn",),
    keys=("datname",),
    values=(
        # A role that may not look into a database may not ask for its size either: then there is none, not an error.
        value(
            "database_size_bytes",
            "Size on disk, pg_database_size(), as of database_size_last_collect_timestamp_seconds.",
            """CASE WHEN has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')
      THEN pg_database_size(oid) END""",
            labels=("database",),
        ),
    ),
    source="FROM pg_database WHERE {which} ORDER BY datname",
)


class Sizes:
    """Keeps the sizes while asking again would cost the server too much.

    `everything` shows those of databases that take no connections as well, labelled with the name (`--compat`).
    """

    def __init__(
        self,
        *,
        fixed: Sequence[str],
        everything: Block | None = None,
        clock: Clock = time.time,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._everything = everything
        self._answer, self._collected = Answer(SIZES, fixed=fixed), Block([COLLECTED], fixed=fixed)
        self._clock, self._stopwatch = clock, stopwatch
        self._samples: list[Piece] = []
        self._due_at = -float("inf")

    def samples(self, ask: Callable[[str], Sequence[Row]]) -> Iterator[Piece]:
        """Return the sizes; `ask` returns the rows for a condition on pg_database, and is called if they are due."""
        now = self._stopwatch()
        if now >= self._due_at:
            self._due_at = -float("inf")
            rows = ask("datallowconn" if self._everything is None else "true")
            seconds = self._stopwatch() - now
            self._due_at = now + seconds * _REST if seconds > FAST_SECONDS else now
            self._samples = [
                *self._answer.render([row for row in rows if row[0] == b"true"]),
                *self._collected.render_row([number(round(self._clock(), 3))]),
            ]
            if self._everything is not None:
                self._samples += self._everything.render([row[1:2] for row in rows], [row[2:] for row in rows])
        yield from self._samples
