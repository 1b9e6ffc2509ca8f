"""Activity, rows, blocks, locks, WAL, replication, tables and settings of a PostgreSQL server, from its own views.

The user needs `GRANT pg_monitor`; without it, states, sizes and statements of other users are not visible.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, ClassVar

from perfloop.collectors.postgres.databases import DATABASES, STATEMENTS
from perfloop.collectors.postgres.question import Answer, Question, family
from perfloop.collectors.postgres.replication import REPLICAS, SLOTS
from perfloop.collectors.postgres.server import BUILD_INFO, SERVER
from perfloop.collectors.postgres.session import SEARCH_PATH, PostgresqlSession
from perfloop.collectors.postgres.settings import SETTINGS_SQL, Settings, setting_family
from perfloop.collectors.postgres.sizes import COLLECTED, SIZES, Sizes
from perfloop.collectors.postgres.tables import FAMILIES as TABLE_FAMILIES
from perfloop.collectors.postgres.tables import TablesOf
from perfloop.errors import Rejected
from perfloop.exposition.block import Block
from perfloop.exposition.text import Samples
from perfloop.model import Component, Family
from perfloop.protocols import Piece

if TYPE_CHECKING:
    from perfloop.collectors.compat.postgres import PostgresCompat

logger = logging.getLogger(__name__)

UP = family("up", "Whether the PostgreSQL server answered in time.")
READABLE = family("views_readable", "Whether the server answered what was asked of these views.", "views")
QUESTIONS = (SERVER, DATABASES, SIZES, REPLICAS, SLOTS, STATEMENTS)
DEFAULT_DATABASE = "postgres"
_TRUE = b"true"


class PostgresqlCollector:
    """Asks the statistics views over one kept connection; values go from the server's text to the page untouched.

    Statistics of tables are only visible inside their database: each of `table_databases` gets a connection, too.
    """

    name: ClassVar[str] = "postgresql"
    may_hang: ClassVar[bool] = True
    families: ClassVar[tuple[Family, ...]] = (
        UP,
        BUILD_INFO,
        READABLE,
        *(family for question in QUESTIONS for family in question.families),
        COLLECTED,
        *TABLE_FAMILIES,
    )

    def __init__(
        self,
        component: Component,
        *,
        timeout_seconds: float = 5.0,
        settings: bool = True,
        table_databases: Sequence[str] = (),
        max_tables: int = 100,
        compat: bool = False,
        search_path: str = SEARCH_PATH,
    ) -> None:
        self.component, fixed = component.name, (component.name,)
        own = component.database or DEFAULT_DATABASE
        sessions = {
            database: PostgresqlSession(
                component, database=database, timeout_seconds=timeout_seconds, search_path=search_path
            )
            for database in dict.fromkeys((own, *(table_databases if max_tables else ())))
        }
        self._sessions, self._session = sessions, sessions[own]
        self._up, self._info = Block([UP], fixed=fixed), Block([BUILD_INFO], fixed=fixed)
        self._readable, self._refused = Block([READABLE], fixed=fixed), set[str]()
        self._answers = {id(question): Answer(question, fixed=fixed) for question in QUESTIONS}
        self._tables = TablesOf(sessions, fixed=fixed, limit=max_tables) if max_tables else None
        self._compat = _compat(component) if compat else None
        self._sizes = Sizes(fixed=fixed, everything=self._compat.sizes if self._compat else None)
        self._wants_settings, self._settings_as_of = settings, b""
        self._settings: tuple[Piece, ...] = ()

    def collect(self) -> Samples:
        """Ask the server. Raises Unavailable."""
        return list(self._collect())

    def down(self) -> Samples:
        """Say that the server is not up."""
        return chain(self._up.render_row([b"0"]), self._compat.down() if self._compat else ())

    def close(self) -> None:
        """Close the connections."""
        for session in self._sessions.values():
            session.close()

    def _collect(self) -> Iterator[Piece]:
        [server] = self._session.rows(SERVER)
        version, settings_as_of, schema, replicas, slots = server[: len(SERVER.notes)]
        yield from self._up.render_row([b"1"])
        yield from self._info.render([(version,)], [(b"1",)])
        yield from self._answers[id(SERVER)].render([server])
        parts: dict[str, Callable[[], Samples]] = {
            "databases": lambda: self._ask(DATABASES),
            "sizes": lambda: self._sizes.samples(lambda which: self._session.rows(SIZES, which=which)),
            "replication": lambda: self._ask(REPLICAS) if replicas == _TRUE else (),
            "slots": lambda: self._ask(SLOTS) if slots == _TRUE else (),
            "statements": lambda: self._statements(schema.decode()),
            "tables": lambda: self._tables.samples() if self._tables else (),
            "settings": lambda: self._read_settings(settings_as_of),
        }
        if self._compat is not None:
            parts["compat"] = partial(self._compat.samples, self._session)
        answered = []
        for part, ask in parts.items():
            samples, refusal = _attempt(ask)
            self._note(part, refusal)
            yield from samples
            answered.append(((part,), (b"0" if refusal else b"1",)))
        yield from self._readable.render([key for key, _ in answered], [row for _, row in answered])

    def _ask(self, question: Question) -> Samples:
        return self._answers[id(question)].render(self._session.rows(question))

    def _statements(self, schema: str) -> Samples:
        if not schema:
            return ()
        if not self._session.knows(b"pg_stat_statements"):
            # The extension was created while we were connected.
            self._session.forget()
        return self._answers[id(STATEMENTS)].render(self._session.rows(STATEMENTS, schema=schema))

    def _note(self, part: str, refusal: str) -> None:
        """Log when the server refuses a part, and when it does no more, not each scrape in between."""
        fields = {"component": self.component, "views": part}
        if refusal and part not in self._refused:
            logger.warning("views cannot be read", extra={**fields, "reason": refusal})
            self._refused.add(part)
        elif not refusal and part in self._refused:
            logger.info("views can be read again", extra=fields)
            self._refused.discard(part)

    def _read_settings(self, as_of: bytes) -> Samples:
        if not self._wants_settings:
            return ()
        # They cost the server as much as all the rest, and move only when they are loaded.
        if as_of != self._settings_as_of:
            rows = self._session.ask(SETTINGS_SQL)
            self._settings = Settings(rows, family=setting_family, fixed=(self.component,)).samples
            if self._compat is not None:
                self._settings += self._compat.settings(rows).samples
            self._settings_as_of = as_of
        return self._settings


def _attempt(ask: Callable[[], Samples]) -> tuple[list[Piece], str]:
    """Return the samples, or why the server refused them. Raises Unavailable."""
    try:
        return list(ask()), ""
    except Rejected as error:
        return [], str(error)


def _compat(component: Component) -> PostgresCompat:
    from perfloop.collectors.compat.postgres import PostgresCompat  # noqa: PLC0415 - only if it is asked for

    return PostgresCompat(component)
