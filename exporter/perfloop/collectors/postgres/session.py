"""A connection to a PostgreSQL database, asked in the words of its version, that can neither write, wait nor last."""

from __future__ import annotations

from perfloop.collectors.postgres.question import COLUMNS_SQL, Columns, Question, columns_of
from perfloop.collectors.postgres.wire import Session
from perfloop.errors import Rejected
from perfloop.model import Component

SEARCH_PATH = "pg_catalog"


class PostgresqlSession:
    """Asks questions. What the version has is read once a connection, and `forget` has it read again."""

    def __init__(
        self, component: Component, *, database: str, timeout_seconds: float, search_path: str = SEARCH_PATH
    ) -> None:
        milliseconds = round(timeout_seconds * 1000)
        # A view of the same name that somebody made elsewhere must not be taken for the server's own: it would run
        # with our rights. Compiling statements for the processor takes longer than running these.
        prepare = f"""SET search_path = {search_path}; SET default_transaction_read_only = on; SET jit = off;
            SET statement_timeout = {milliseconds}; SET lock_timeout = {min(milliseconds, 1000)}"""
        self._session = Session(component, database=database, prepare=[prepare])
        self._columns: Columns = {}
        self._statements: dict[tuple[int, tuple[str, ...]], str] = {}

    def rows(self, question: Question, **places: str) -> list[tuple[bytes, ...]]:
        """Return the rows of a question; `places` are the other words in braces in it.

        Raises Unavailable without a connection, Rejected when the server says no.
        """
        if not self._session.connected:
            self.forget()
        key = (id(question), tuple(places.values()))
        if key not in self._statements:
            self._columns = self._columns or columns_of(self._session.ask(COLUMNS_SQL))
            statement = question.statement(self._columns)
            for place, word in places.items():
                statement = statement.replace(f"{{{place}}}", word)
            self._statements[key] = statement
        try:
            return self._session.ask(self._statements[key])
        except Rejected:
            # A view or a right may be new, or gone.
            self.forget()
            raise

    def knows(self, view: bytes) -> bool:
        """Say whether the view was there when it was last looked for."""
        return view in self._columns

    def forget(self) -> None:
        """Look again for what the server has, with the next question."""
        self._columns = {}
        self._statements.clear()

    def ask(self, statement: str) -> list[tuple[bytes, ...]]:
        """Return the rows of a statement whose columns are all text. Raises the same."""
        return self._session.ask(statement)

    def close(self) -> None:
        """Close the connection. Twice is harmless."""
        self._session.close()
