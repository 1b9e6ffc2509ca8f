"""Settings of a PostgreSQL server, written by ALTER SYSTEM and put in force by a reload."""

from __future__ import annotations

import time
from datetime import datetime

from psycopg2.sql import SQL, Composable, Identifier, Literal

from perfloop.drivers.libpq import Session
from perfloop.errors import Rejected
from perfloop.model import Component, Setting
from perfloop.protocols import Driver

VALUE = """
    SELECT current_setting(name) AS value, coalesce(sourcefile LIKE '%%/postgresql.auto.conf', false) AS explicit
    FROM pg_settings WHERE name = %(key)s
"""

# Each returns a row with a reason when ALTER SYSTEM and a reload would be refused, or would be accepted in vain.
OBSTACLES = (
    """SELECT name || ' needs a restart of PostgreSQL' AS reason
       FROM pg_settings WHERE name = %(key)s AND (context IN ('postmaster', 'internal') OR pending_restart)""",
    """SELECT name || ' comes from the ' || source || ', which outranks ALTER SYSTEM' AS reason
       FROM pg_settings WHERE name = %(key)s AND source IN ('command line', 'environment variable', 'override')""",
    """SELECT %(key)s || ' is set for ' || concat_ws(' in ', 'role ' || r.rolname, 'database ' || d.datname)
              || ', which outranks ALTER SYSTEM' AS reason
       FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = setrole LEFT JOIN pg_database d ON d.oid = setdatabase
       WHERE (setdatabase = 0 OR d.datname = current_database())
         AND EXISTS (SELECT FROM unnest(setconfig) c WHERE starts_with(c, %(key)s || '='))""",
    """SELECT current_user || ' may not see where settings come from: GRANT pg_read_all_settings' AS reason
       WHERE NOT pg_has_role('pg_read_all_settings', 'MEMBER')""",
    """SELECT current_user || ' may not reload: GRANT EXECUTE ON FUNCTION pg_reload_conf()' AS reason
       WHERE NOT has_function_privilege('pg_reload_conf()', 'EXECUTE')""",
)
NO_PARAMETER_PRIVILEGE = """SELECT current_user || ' may not: GRANT ALTER SYSTEM ON PARAMETER ' || %(key)s AS reason
    WHERE NOT has_parameter_privilege(%(key)s, 'ALTER SYSTEM')"""

MAY_READ_FILES = """SELECT has_table_privilege('pg_file_settings', 'SELECT')
    AND has_function_privilege('pg_show_all_file_settings()', 'EXECUTE') AS allowed"""
# "setting could not be applied" stands at every change that awaits a restart and stops nothing.
BROKEN_FILES = """
    SELECT 'a reload would apply nothing: ' || sourcefile || ' line ' || sourceline || ': ' || error AS reason
    FROM pg_file_settings WHERE error <> 'setting could not be applied'"""


class Postgresql(Driver):
    """Reads each value in a new session, as a new client sees it; explicit is what ALTER SYSTEM set."""

    def __init__(self, component: Component, *, timeout_seconds: float = 5.0) -> None:
        self._component, self._timeout_seconds = component, timeout_seconds

    def get(self, key: str) -> Setting:
        """Read the value in force, in PostgreSQL's own words: 64MB, 30s, on."""
        with self._session() as session:
            rows = session.read(VALUE, {"key": key})
        if not rows:
            raise Rejected(f"{self._component.name}: this PostgreSQL has no setting {key}")
        return Setting(value=rows[0]["value"], explicit=rows[0]["explicit"])

    def set(self, key: str, value: str) -> None:
        """Write postgresql.auto.conf and reload."""
        self._alter(SQL("ALTER SYSTEM SET {} = {}").format(Identifier(key), Literal(value)))

    def reset(self, key: str) -> None:
        """Take the line out of postgresql.auto.conf and reload."""
        self._alter(SQL("ALTER SYSTEM RESET {}").format(Identifier(key)))

    def obstacle(self, key: str) -> str | None:
        """Say what outranks ALTER SYSTEM, which right is missing, or which file would stop the reload."""
        with self._session() as session:
            checks = list(OBSTACLES)
            if session.server_version >= 150000:
                checks.append(NO_PARAMETER_PRIVILEGE)
            if session.read(MAY_READ_FILES)[0]["allowed"]:
                checks.append(BROKEN_FILES)
            for check in checks:
                for row in session.read(check, {"key": key}):
                    return str(row["reason"])
        return None

    def _alter(self, statement: Composable) -> None:
        with self._session() as session:
            session.write(statement)
            # Asked after the write: whatever reload moves this time has read our line.
            loaded_at = self._loaded_at(session)
            session.write("SELECT pg_reload_conf()")
        self._await_reload(loaded_at)

    def _await_reload(self, loaded_at: datetime) -> None:
        """Wait until new sessions have the files' values; who reads back sees it when they never get them."""
        deadline = time.monotonic() + self._timeout_seconds
        while time.monotonic() < deadline:
            with self._session() as session:
                if self._loaded_at(session) > loaded_at:
                    return
            time.sleep(0.02)

    @staticmethod
    def _loaded_at(session: Session) -> datetime:
        loaded_at: datetime = session.read("SELECT pg_conf_load_time() AS at")[0]["at"]
        return loaded_at

    def _session(self) -> Session:
        database = self._component.database or "postgres"
        return Session(self._component, database=database, timeout_seconds=self._timeout_seconds)
