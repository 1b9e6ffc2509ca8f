"""One kept connection to something that speaks PostgreSQL's protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from perfloop.collectors.address import split_address
from perfloop.errors import Rejected, Unavailable
from perfloop.model import Component

if TYPE_CHECKING:
    from psycopg2.extensions import connection, cursor

T = TypeVar("T")

_CONNECT_SECONDS = 2


class Session:
    """Connects at the first statement, keeps the connection, and connects anew when it was lost.

    Every statement is its own transaction (autocommit), so none is ever left open. `prepare` runs on each new
    connection. Whatever is asked raises Unavailable without a connection, and Rejected when the server says no.
    """

    def __init__(self, component: Component, *, database: str, prepare: Sequence[str] = ()) -> None:
        self._component, self._database, self._prepare = component, database, prepare
        self._connection: connection | None = None
        self._planned: dict[str, str] = {}
        self._plans_made = 0

    @property
    def connected(self) -> bool:
        """Whether the connection of the last statement is still there, and what was read from it still true."""
        return self._connection is not None

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """Return the rows of a statement by column name."""
        return self._run(lambda open_cursor: _fetch(open_cursor, statement))

    def ask(self, statement: str) -> list[tuple[bytes, ...]]:
        """Return the rows of a statement whose columns are all text, as the server wrote them.

        The server plans it once a connection: planning takes longer than most statistics.
        """
        return self._run(lambda open_cursor: self._execute(open_cursor, statement))

    def close(self) -> None:
        """Close the connection. Twice is harmless."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _run(self, work: Callable[[cursor], T]) -> T:
        psycopg2 = import_psycopg2()
        try:
            if self._connection is None:
                self._connection = self._connect()
            with self._connection.cursor() as open_cursor:
                return work(open_cursor)
        except psycopg2.Error as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            text = f"{self._component.address}: {reason[0]}"
            if self._connection is not None and not self._connection.closed:
                raise Rejected(text) from error
            self.close()
            raise Unavailable(text) from error

    def _execute(self, open_cursor: cursor, statement: str) -> list[tuple[bytes, ...]]:
        from psycopg2.extensions import BYTES, register_type  # noqa: PLC0415 - with the library

        if statement not in self._planned:
            name = f"perfloop_{self._plans_made}"
            self._plans_made += 1
            open_cursor.execute(f"PREPARE {name} AS {statement}")
            self._planned[statement] = name
        register_type(BYTES, open_cursor)
        try:
            open_cursor.execute(f"EXECUTE {self._planned[statement]}")
        except import_psycopg2().Error:
            # What the plan was made for may have changed: the next one is made anew.
            self._forget(statement)
            raise
        return open_cursor.fetchall()

    def _forget(self, statement: str) -> None:
        name = self._planned.pop(statement)
        if self._connection is not None and not self._connection.closed:
            with self._connection.cursor() as open_cursor:
                open_cursor.execute(f"DEALLOCATE {name}")

    def _connect(self) -> connection:
        made = connect(self._component, database=self._database)
        self._planned.clear()
        made.autocommit = True
        with made.cursor() as open_cursor:
            for statement in self._prepare:
                open_cursor.execute(statement)
        return made


def import_psycopg2() -> Any:  # noqa: ANN401 - a module
    """Return the library, which costs 10 MB and is loaded only if something needs it. Raises Unavailable."""
    try:
        import psycopg2  # noqa: PLC0415 - see above
    except ImportError as error:
        raise Unavailable("psycopg2 is missing; type: pip install 'perfloop[postgresql]'") from error
    return psycopg2


def connect(component: Component, *, database: str) -> connection:
    """Connect to a component. Raises psycopg2.Error."""
    host, port = split_address(component.address)
    made: connection = import_psycopg2().connect(
        port=port,
        user=component.user or None,
        password=component.password or None,
        dbname=database,
        connect_timeout=_CONNECT_SECONDS,
        application_name="perfloop exporter",
        client_encoding="UTF8",
        # A peer that vanished is noticed within seconds; one that is merely stopped is the guard's business.
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        tcp_user_timeout=5000,
        **_encryption(component, host),
    )
    return made


def _encryption(component: Component, host: str) -> dict[str, str]:
    """Return libpq's words for where to connect to and whom to trust."""
    wanted = component.encryption
    if wanted is None:
        return {"host": host}
    words = {"host": host, "sslmode": "verify-full" if wanted.verify else "require"}
    if wanted.server_name:
        words |= {"host": wanted.server_name, "hostaddr": _resolve(host)}
    if wanted.ca_file:
        words["sslrootcert"] = wanted.ca_file
    elif wanted.verify:
        import ssl  # noqa: PLC0415 - only with TLS, and only to learn where the host keeps its authorities

        # libpq knows no authorities by itself, and the word only since version 16.
        words["sslrootcert"] = ssl.get_default_verify_paths().cafile or "system"
    if wanted.certificate_file:
        words |= {"sslcert": wanted.certificate_file, "sslkey": wanted.key_file or wanted.certificate_file}
    return words


def _resolve(host: str) -> str:
    """Return the address behind a name: libpq compares the certificate with `host`, which is another name here."""
    import socket  # noqa: PLC0415

    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise Unavailable(f"{host}: {error.strerror}") from error


def _fetch(open_cursor: cursor, statement: str) -> list[dict[str, Any]]:
    open_cursor.execute(statement)
    names = [column.name for column in open_cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in open_cursor.fetchall()]
