"""One bounded conversation in PostgreSQL's protocol, which PgBouncer's admin console speaks too."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import psycopg2
from psycopg2 import extensions
from psycopg2.extensions import cursor
from psycopg2.sql import Composable

from perfloop.errors import OutcomeUnknown, Rejected, Temporary, Unavailable
from perfloop.model import Component

# The server gave up on the statement or is going away: whether a write took place is open.
DOUBTFUL = frozenset({"57014", "57P01", "57P02", "57P03"})


class Session:
    """A connection whose every step ends within `timeout_seconds`, also when the server hangs in the middle.

    libpq's own connect_timeout ends with the handshake and statement_timeout needs a server that lives; therefore the
    connection is asynchronous and the deadline is ours. Asynchronous connections are always in autocommit.
    """

    def __init__(self, component: Component, *, database: str, timeout_seconds: float) -> None:
        self._component, self._database, self._timeout_seconds = component, database, timeout_seconds
        self._connection: Any = None

    def __enter__(self) -> Self:
        host, _, port = self._component.address.rpartition(":")
        with self._translated(Unavailable):
            self._connection = psycopg2.connect(
                host=host.strip("[]"),
                port=int(port),
                user=self._component.user or None,
                password=self._component.password or None,
                dbname=self._database or None,
                application_name="perfloop",
                async_=True,
            )
            try:
                self._wait()
            except BaseException:
                self._connection.close()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @property
    def server_version(self) -> int:
        """The version as libpq gives it: 150004 for 15.4."""
        return int(self._connection.server_version)

    def read(self, statement: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
        """Return the rows by column name. Raises Unavailable without an answer, Rejected when it is an error."""
        with self._translated(Unavailable):
            done = self._run(statement, parameters)
            names = [column.name for column in done.description or ()]
            return [dict(zip(names, row, strict=True)) for row in done.fetchall()]

    def write(self, statement: str | Composable) -> None:
        """Run a statement that changes something. Raises OutcomeUnknown when no answer comes."""
        with self._translated(OutcomeUnknown):
            self._run(statement, None)

    def _run(self, statement: str | Composable, parameters: Mapping[str, object] | None) -> cursor:
        running: cursor = self._connection.cursor()
        running.execute(statement, parameters)
        self._wait()
        return running

    def _wait(self) -> None:
        deadline = time.monotonic() + self._timeout_seconds
        while (state := self._connection.poll()) != extensions.POLL_OK:
            poller = select.poll()
            poller.register(
                self._connection.fileno(), select.POLLIN if state == extensions.POLL_READ else select.POLLOUT
            )
            remaining_seconds = deadline - time.monotonic()
            if remaining_seconds <= 0 or not poller.poll(remaining_seconds * 1000):
                raise TimeoutError(f"no answer within {self._timeout_seconds:g} s")

    @contextmanager
    def _translated(self, silence: type[Temporary]) -> Iterator[None]:
        """Turn an error that the server answered into Rejected, and its silence into `silence`."""
        try:
            yield
        except TimeoutError as error:
            raise silence(f"{self._component.name}: {error}") from error
        except psycopg2.Error as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            message = f"{self._component.name}: {lines[0]}"
            if error.pgcode is None or error.pgcode in DOUBTFUL:
                raise silence(message) from error
            raise Rejected(message) from error
