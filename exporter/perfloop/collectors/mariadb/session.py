"""One kept connection to a MySQL or MariaDB server, which can neither write nor last."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from perfloop.collectors.address import split_address
from perfloop.errors import ConfigInvalid, Rejected, Unavailable
from perfloop.model import Component

if TYPE_CHECKING:
    from pymysql.connections import Connection

T = TypeVar("T")

# Numbers below are the server's, those from here on are the library's own: there is no connection, or none any more.
_CLIENT_ERRORS = range(2000, 3000)
_NO_CODE = 2000
# What the server says as it hangs up: too many connections, shutdown, killed, closed for idleness.
_FAREWELLS = frozenset({1040, 1053, 1152, 1184, 1927, 4031})
_UNKNOWN_VARIABLE = 1193
# The server gives up a statement first, and says so.
_PATIENCE = 1.2
# What the library raises when something else than MySQL answers.
_GARBAGE = (ValueError, LookupError, TypeError, AttributeError, AssertionError, struct.error, RuntimeError)


class MysqlSession:
    """Connects at the first statement, keeps the connection, and connects anew after an error."""

    def __init__(self, component: Component, *, timeout_seconds: float, as_text: bool = True) -> None:
        self._component, self._timeout_seconds, self._as_text = component, timeout_seconds, as_text
        self._pymysql = import_pymysql(component)
        self._connection: Connection[Any] | None = None
        self._refused: set[str] = set()
        self.mariadb, self.version = False, (0, 0, 0)

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """Return the rows by column name in lower case. Raises Unavailable, or Rejected with the server's words."""
        columns, rows = self.fetch(statement)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def permitted(self, statement: str) -> list[dict[str, Any]]:
        """Return the rows, or none where the server refuses; that is not asked again on the same connection."""
        if statement in self._refused:
            return []
        try:
            return self.rows(statement)
        except Rejected:
            self._refused.add(statement)
            return []

    def fetch(self, statement: str, *, max_rows: int | None = None) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return names of columns in lower case, and rows. Raises Unavailable, or Rejected with the server's words."""

        def work(connection: Connection[Any]) -> tuple[list[str], list[tuple[Any, ...]]]:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                names = [column[0].lower() for column in cursor.description or ()]
                return names, list(cursor.fetchall() if max_rows is None else cursor.fetchmany(max_rows))

        return self._run(work)

    def connect(self) -> None:
        """Connect, if there is no connection. Raises Unavailable."""
        self._run(lambda _: None)

    def limit(self, seconds: float, *, max_rows: int) -> None:
        """Bound the time and the rows of what follows. Raises Unavailable."""

        def work(connection: Connection[Any]) -> None:
            connection._read_timeout = seconds * _PATIENCE  # type: ignore[attr-defined]
            with connection.cursor() as cursor:
                cursor.execute(f"SET SESSION {self._limit(seconds)}, SESSION sql_select_limit = {max_rows}")

        self._run(work)

    def close(self) -> None:
        """Close the connection. Twice is harmless."""
        if self._connection is not None:
            # Without a word of goodbye, for which a hung server would be waited for.
            self._connection._force_close()  # type: ignore[attr-defined]
            self._connection = None

    def _run(self, work: Callable[[Connection[Any]], T]) -> T:
        address = self._component.address
        try:
            if self._connection is None:
                self._connect()
            assert self._connection is not None  # noqa: S101 - just made
            return work(self._connection)
        except self._pymysql.Error as error:
            code = error.args[0] if error.args and isinstance(error.args[0], int) else _NO_CODE
            said = f"{address}: {error.args[-1] if error.args else type(error).__name__} ({code})"
            if self._connection is None or code in _CLIENT_ERRORS or code in _FAREWELLS:
                self.close()
                raise Unavailable(said) from None
            raise Rejected(said) from None
        except _GARBAGE as error:
            self.close()
            reason = str(error) if isinstance(error, RuntimeError) else "what answers does not speak MySQL's protocol"
            raise Unavailable(f"{address}: {reason}") from error
        except (Unavailable, OSError) as error:
            self.close()
            raise Unavailable(str(error) if isinstance(error, Unavailable) else f"{address}: {error}") from error

    def _connect(self) -> None:
        made = self._open()
        said = str(made.server_version)  # type: ignore[attr-defined]
        # MariaDB calls itself 5.5.5 before its own version, for old replicas.
        words = said.removeprefix("5.5.5-").split("-")
        self.mariadb = "mariadb" in said.lower()
        self.version = _version(words[0])
        self._refused.clear()
        limits = ("lock_wait_timeout = 1", "group_concat_max_len = 1048576", self._limit(self._timeout_seconds))
        for statement in ("TRANSACTION READ ONLY", *limits):
            try:
                with made.cursor() as cursor:
                    cursor.execute(f"SET SESSION {statement}")
            except self._pymysql.Error as error:
                # Before MySQL 5.7.8 there is no limit.
                if error.args[0] != _UNKNOWN_VARIABLE:
                    made._force_close()  # type: ignore[attr-defined]
                    raise
        self._connection = made

    def _limit(self, seconds: float) -> str:
        return f"max_statement_time = {seconds}" if self.mariadb else f"max_execution_time = {round(seconds * 1000)}"

    def _open(self) -> Connection[Any]:
        component, seconds = self._component, self._timeout_seconds
        unix, address = component.address.startswith("/"), component.address
        host, port = ("localhost", 0) if unix else split_address(address)
        context = None
        if component.encryption is not None:
            from perfloop.collectors.encryption import tls_context  # noqa: PLC0415 - 5 MB, only if it is configured

            context = tls_context(component)
        made = self._pymysql.connect(
            host=component.encryption.server_name or host if component.encryption else host,
            port=port,
            unix_socket=address if unix else None,
            user=component.user or None,
            password=component.password,
            database=component.database or None,
            ssl=context,
            ssl_disabled=context is None,
            connect_timeout=seconds,
            read_timeout=seconds * _PATIENCE,
            write_timeout=seconds * _PATIENCE,
            charset="utf8mb4",
            autocommit=True,
            program_name="perfloop exporter",
            defer_connect=True,
            **({"conv": _as_text(self._pymysql)} if self._as_text else {}),
        )
        # The host that is connected to need not be the one in the certificate.
        made.connect(None if unix else socket.create_connection((host, port), seconds))
        return made  # type: ignore[no-any-return]


def import_pymysql(component: Component) -> Any:  # noqa: ANN401 - a module
    """Return the library. Raises ConfigInvalid with what to type."""
    try:
        import pymysql  # noqa: PLC0415 - 9 MB, only if such a component is configured
    except ImportError as error:
        missing = f"components.{component.name}: PyMySQL is missing; pip install 'perfloop[mysql]'"
        raise ConfigInvalid([missing]) from error
    return pymysql


def _as_text(pymysql: Any) -> dict[Any, Any]:  # noqa: ANN401 - a module
    """Return the library's conversions without those of what it reads: values stay as the server wrote them."""
    return {key: value for key, value in pymysql.converters.conversions.items() if not isinstance(key, int)}


def _version(text: str) -> tuple[int, int, int]:
    numbers = [int(part) for part in text.split(".") if part.isdigit()][:3]
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    return major, minor, patch
