"""Connections, transactions, rows, blocks, sizes and statements of a PostgreSQL server, from its statistics views.

The user needs `GRANT pg_monitor`; without it, states, sizes and statements of other users are not visible.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import ClassVar

from perfloop.collectors.session import Session
from perfloop.exposition.block import Block
from perfloop.exposition.text import Samples
from perfloop.model import Component, Family, MetricType


def _family(name: str, text: str, *labels: str) -> Family:
    kind = MetricType.COUNTER if name.endswith("_total") else MetricType.GAUGE
    return Family(name=f"perfloop_postgresql_{name}", type=kind, help=text, labels=("component", *labels))


UP = _family("up", "Whether the PostgreSQL server answered in time.")
MAX_CONNECTIONS = _family("max_connections", "The setting max_connections.")
CONNECTIONS = _family(
    "connections", "Open client connections, from pg_stat_activity; the exporter's own is one.", "database", "state"
)
# What pg_stat_database counts, in the order of the columns of the query below.
DATABASES = tuple(
    _family(name, f"{text}, {column} of pg_stat_database.", "database")
    for name, column, text in (
        ("commits_total", "xact_commit", "Transactions committed"),
        ("rollbacks_total", "xact_rollback", "Transactions rolled back"),
        ("rows_returned_total", "tup_returned", "Rows that scans read"),
        ("rows_fetched_total", "tup_fetched", "Rows that index scans fetched"),
        ("rows_inserted_total", "tup_inserted", "Rows inserted"),
        ("rows_updated_total", "tup_updated", "Rows updated"),
        ("rows_deleted_total", "tup_deleted", "Rows deleted"),
        ("blocks_hit_total", "blks_hit", "Blocks found in PostgreSQL's own buffers"),
        ("blocks_read_total", "blks_read", "Blocks that the operating system had to deliver"),
        ("deadlocks_total", "deadlocks", "Deadlocks"),
        ("temp_bytes_total", "temp_bytes", "Bytes written to temporary files"),
    )
)
SIZE = _family("database_size_bytes", "Size on disk, pg_database_size().", "database")
STATEMENTS = (
    _family("statements_total", "Statements executed, calls of pg_stat_statements; drops when it evicts.", "database"),
    _family(
        "statement_seconds_total",
        "Time spent executing statements, total_exec_time of pg_stat_statements; drops when it evicts.",
        "database",
    ),
)

SERVER_SQL = """
SELECT current_setting('max_connections'),
       CASE WHEN current_setting('pg_stat_statements.max', true) IS NOT NULL THEN
         (SELECT quote_ident(nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
           WHERE extname = 'pg_stat_statements') END"""
# Every database has every state, so that a state that nobody is in is 0 and not missing.
CONNECTIONS_SQL = """
SELECT d.datname, s.state, count(a.pid)
  FROM pg_database d
 CROSS JOIN (VALUES ('active'), ('idle'), ('idle in transaction'), ('idle in transaction (aborted)'),
                    ('other')) s(state)
  LEFT JOIN (SELECT pid, datid, CASE WHEN state IN ('active', 'idle', 'idle in transaction',
                    'idle in transaction (aborted)') THEN state ELSE 'other' END AS state
               FROM pg_stat_activity WHERE coalesce(backend_type, 'client backend') = 'client backend') a
    ON a.datid = d.oid AND a.state = s.state
 WHERE d.datallowconn
 GROUP BY 1, 2 ORDER BY 1, 2"""
# A role that may not look into a database may not ask for its size either: then there is none, not an error.
DATABASES_SQL = """
SELECT s.datname, xact_commit, xact_rollback, tup_returned, tup_fetched, tup_inserted, tup_updated, tup_deleted,
       blks_hit, blks_read, deadlocks, temp_bytes,
       CASE WHEN has_database_privilege(s.datid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')
            THEN pg_database_size(s.datid) END
  FROM pg_stat_database s JOIN pg_database d ON d.oid = s.datid
 WHERE d.datallowconn
 ORDER BY 1"""
# `false` leaves out the texts of the statements, which are in a file.
STATEMENTS_SQL = """
SELECT d.datname, sum(calls), sum(total_exec_time) / 1000
  FROM {schema}.pg_stat_statements(false) s JOIN pg_database d ON d.oid = s.dbid
 GROUP BY 1 ORDER BY 1"""

_ESCAPED = re.compile(rb"\\(.)")
_CONTROL = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


class PostgresqlCollector:
    """Asks the statistics views over one kept connection; values go from the server's text to the page untouched."""

    name: ClassVar[str] = "postgresql"
    may_hang: ClassVar[bool] = True
    families: ClassVar[tuple[Family, ...]] = (UP, MAX_CONNECTIONS, CONNECTIONS, *DATABASES, SIZE, *STATEMENTS)

    def __init__(self, component: Component, *, statement_timeout_seconds: float = 5.0) -> None:
        self.component = component.name
        limit = f"SET statement_timeout = {round(statement_timeout_seconds * 1000)}"
        self._session = Session(component, database=component.database or "postgres", prepare=[limit])
        fixed = (component.name,)
        self._up, self._server = Block([UP], fixed=fixed), Block([MAX_CONNECTIONS], fixed=fixed)
        self._connections = Block([CONNECTIONS], fixed=fixed)
        self._databases = Block((*DATABASES, SIZE), fixed=fixed)
        self._statements = Block(STATEMENTS, fixed=fixed)

    def collect(self) -> Samples:
        """Ask the server. Raises Unavailable."""
        [[max_connections, schema]] = self._session.copy(SERVER_SQL)
        samples = [
            self._up.render_row([b"1"]),
            self._server.render_row([max_connections]),
            self._ask(self._connections, CONNECTIONS_SQL, labels=2),
            self._ask(self._databases, DATABASES_SQL),
        ]
        if schema:
            samples.append(self._ask(self._statements, STATEMENTS_SQL.format(schema=_unescape(schema).decode())))
        return chain.from_iterable(samples)

    def down(self) -> Samples:
        """Say that the server is not up."""
        return self._up.render_row([b"0"])

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _ask(self, block: Block, query: str, *, labels: int = 1) -> Samples:
        rows = self._session.copy(query)
        return block.render([tuple(map(_unescape, row[:labels])) for row in rows], [row[labels:] for row in rows])


def _unescape(field: bytes) -> bytes:
    """Undo the escapes of COPY."""
    return _ESCAPED.sub(lambda match: _CONTROL.get(match[1], match[1]), field) if b"\\" in field else field
