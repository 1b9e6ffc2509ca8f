"""Settings of a running PgBouncer, through its admin console; RELOAD and a restart bring back those of its file."""

from __future__ import annotations

from typing import Any

from psycopg2.sql import SQL, Literal

from perfloop.drivers.libpq import Session
from perfloop.errors import Rejected
from perfloop.model import Component, Setting
from perfloop.protocols import Driver

CONSOLE = "pgbouncer"


class Pgbouncer(Driver):
    """Reads SHOW CONFIG and writes SET. All values are explicit: PgBouncer does not tell where one comes from."""

    def __init__(self, component: Component, *, timeout_seconds: float = 5.0) -> None:
        self._component, self._timeout_seconds = component, timeout_seconds

    def get(self, key: str) -> Setting:
        """Read the value in force, as SHOW CONFIG writes it."""
        with self._session() as session:
            return Setting(value=self._row(session, key)["value"])

    def set(self, key: str, value: str) -> None:
        """SET the value until the next RELOAD."""
        with self._session() as session:
            self._set(session, self._row(session, key), value)

    def reset(self, key: str) -> None:
        """SET what PgBouncer has without a file."""
        with self._session() as session:
            row = self._row(session, key)
            self._set(session, row, row["default"])

    def obstacle(self, key: str) -> str | None:
        """Say that the key waits for a restart, or which database has a pool size or limit of its own."""
        with self._session() as session:
            row = self._row(session, key)
            if row["changeable"] != "yes":
                return f"PgBouncer changes {key} only by a restart"
            if key != "default_pool_size":
                return None
            for database in self._databases(session):
                if str(database["pool_size"]) != row["value"]:
                    return f"database {database['name']} has a pool_size of its own, {database['pool_size']}"
                if 0 < database["max_connections"] <= database["pool_size"]:
                    return f"database {database['name']} is held at max_connections {database['max_connections']}"
        return None

    def _databases(self, session: Session) -> list[dict[str, Any]]:
        """Return the pooled databases: the component's, or all when it names none."""
        rows = [row for row in session.read("SHOW DATABASES") if row["name"] != CONSOLE]
        named = self._component.database
        return [row for row in rows if named in ("", CONSOLE, row["name"])]

    def _row(self, session: Session, key: str) -> dict[str, Any]:
        for row in session.read("SHOW CONFIG"):
            if row["key"] == key:
                return row
        raise Rejected(f"{self._component.name}: this PgBouncer has no setting {key}")

    def _set(self, session: Session, row: dict[str, Any], value: str) -> None:
        # It would answer SET and do nothing.
        if row["changeable"] != "yes":
            raise Rejected(f"{self._component.name}: PgBouncer changes {row['key']} only by a restart")
        # The console takes no quoted names; this one is from its own list.
        session.write(SQL("SET {} = {}").format(SQL(row["key"]), Literal(value)))

    def _session(self) -> Session:
        return Session(self._component, database=CONSOLE, timeout_seconds=self._timeout_seconds)
