"""Runs the user's own statements on a MySQL or MariaDB server: read-only, with a limit on time and on rows."""

from __future__ import annotations

from perfloop.collectors.mariadb.session import MysqlSession
from perfloop.collectors.queries_result import Result
from perfloop.errors import Rejected
from perfloop.model import Component

# To connect; the limit of a statement is set before it.
_TIMEOUT_SECONDS = 5.0


class MysqlStatements:
    """One connection, and a read-only transaction for each statement, which is always rolled back."""

    def __init__(self, component: Component) -> None:
        self._session = MysqlSession(component, timeout_seconds=_TIMEOUT_SECONDS, as_text=False)

    def run(self, sql: str, *, max_rows: int, timeout_seconds: float) -> Result:
        """Return at most `max_rows` rows. Raises Unavailable, and Rejected without words of the statement."""
        session = self._session
        session.limit(timeout_seconds, max_rows=max_rows)
        session.fetch("START TRANSACTION READ ONLY")
        try:
            columns, rows = session.fetch(sql, max_rows=max_rows)
        except Rejected as error:
            session.fetch("ROLLBACK")
            # The server's words about a statement repeat parts of it.
            raise Rejected(f"MySQL's error {str(error).rpartition('(')[2].rstrip(')')}") from None
        session.fetch("ROLLBACK")
        return Result(columns, rows)

    def close(self) -> None:
        """Close the connection. Twice is harmless."""
        self._session.close()
