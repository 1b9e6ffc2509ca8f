"""Runs the user's own statements on a PostgreSQL server: read-only, with a limit on time and on rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfloop.collectors.postgres.wire import connect, import_psycopg2
from perfloop.collectors.queries_result import Result
from perfloop.errors import Rejected, Unavailable
from perfloop.model import Component

if TYPE_CHECKING:
    from psycopg2.extensions import connection


class PostgresqlStatements:
    """One connection, and a read-only transaction for each statement, which is always rolled back."""

    def __init__(self, component: Component) -> None:
        self._component = component
        self._connection: connection | None = None

    def run(self, sql: str, *, max_rows: int, timeout_seconds: float) -> Result:
        """Return at most `max_rows` rows. Raises Unavailable, and Rejected without words of the statement."""
        psycopg2 = import_psycopg2()
        try:
            if self._connection is None:
                self._connection = connect(self._component, database=self._component.database or "postgres")
                with self._connection.cursor() as cursor:
                    # Also for a statement that ends our transaction and begins another.
                    cursor.execute("SET default_transaction_read_only = on")
                self._connection.commit()
            result = _fetch(self._connection, sql, max_rows=max_rows, timeout_seconds=timeout_seconds)
            self._connection.rollback()
        except psycopg2.Error as error:
            if error.pgcode and self._connection is not None and not self._connection.closed:
                self._connection.rollback()
                # The server's words about a statement repeat parts of it.
                raise Rejected(f"{type(error).__name__}, SQLSTATE {error.pgcode}") from None
            self.close()
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise Unavailable(f"{self._component.address}: {reason[0]}") from None
        return result

    def close(self) -> None:
        """Close the connection. Twice is harmless."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _fetch(open_connection: connection, sql: str, *, max_rows: int, timeout_seconds: float) -> Result:
    with open_connection.cursor() as settings:
        settings.execute(f"SET LOCAL statement_timeout = {round(timeout_seconds * 1000)}")
    # A cursor on the server's side: the rows beyond the limit are neither computed nor sent.
    with open_connection.cursor("perfloop") as cursor:
        cursor.execute(sql)
        rows = cursor.fetchmany(max_rows)
        return Result([column.name for column in cursor.description or ()], rows)
