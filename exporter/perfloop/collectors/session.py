"""One kept connection to something that speaks PostgreSQL's protocol."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from perfloop.collectors.address import split_address
from perfloop.errors import Unavailable
from perfloop.model import Component

if TYPE_CHECKING:
    from psycopg2.extensions import connection, cursor

T = TypeVar("T")

_CONNECT_SECONDS = 2


class Session:
    """Connects at the first statement, keeps the connection, and connects anew after an error.

    Every statement is its own transaction (autocommit), so none is ever left open. `prepare` runs on each new
    connection.
    """

    def __init__(self, component: Component, *, database: str, prepare: Sequence[str] = ()) -> None:
        self._component, self._database, self._prepare = component, database, prepare
        self._connection: connection | None = None

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """Return the rows of a statement by column name. Raises Unavailable."""
        return self._run(lambda open_cursor: _fetch(open_cursor, statement))

    def copy(self, query: str) -> list[list[bytes]]:
        """Return the rows of a query as the server writes them, NULL as nothing. Raises Unavailable."""
        return self._run(lambda open_cursor: _copy(open_cursor, query))

    def close(self) -> None:
        """Close the connection. Twice is harmless."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _run(self, work: Callable[[cursor], T]) -> T:
        import psycopg2  # noqa: PLC0415 - 10 MB, only if such a component is configured

        try:
            if self._connection is None:
                self._connection = self._connect()
            with self._connection.cursor() as open_cursor:
                return work(open_cursor)
        except psycopg2.Error as error:
            self.close()
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise Unavailable(f"{self._component.address}: {reason[0]}") from error

    def _connect(self) -> connection:
        import psycopg2  # noqa: PLC0415

        host, port = split_address(self._component.address)
        made = psycopg2.connect(
            host=host,
            port=port,
            user=self._component.user or None,
            password=self._component.password or None,
            dbname=self._database,
            connect_timeout=_CONNECT_SECONDS,
            application_name="perfloop exporter",
            # A peer that vanished is noticed within seconds; one that is merely stopped is the guard's business.
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=5000,
        )
        made.autocommit = True
        with made.cursor() as open_cursor:
            for statement in self._prepare:
                open_cursor.execute(statement)
        return made


def _fetch(open_cursor: cursor, statement: str) -> list[dict[str, Any]]:
    open_cursor.execute(statement)
    names = [column.name for column in open_cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in open_cursor.fetchall()]


def _copy(open_cursor: cursor, query: str) -> list[list[bytes]]:
    buffer = io.BytesIO()
    open_cursor.copy_expert(f"COPY ({query}) TO STDOUT (NULL '')", buffer)
    return [line.split(b"\t") for line in buffer.getvalue().split(b"\n")[:-1]]
