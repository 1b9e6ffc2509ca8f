"""Connections, statements, InnoDB, settings, replication and binary logs of a MySQL or MariaDB server.

The status needs no rights. `PROCESS` shows InnoDB's transactions and compression, `REPLICATION CLIENT` (MariaDB:
`SLAVE MONITOR, BINLOG MONITOR`) replication and binary logs; without them only those samples are missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain
from typing import Any, ClassVar

from perfloop.collectors import mysql_families as f
from perfloop.collectors.mysql_session import MysqlSession
from perfloop.exposition.block import Block
from perfloop.exposition.text import Samples, number
from perfloop.model import Component, Family

STATUS_SQL = "SHOW GLOBAL STATUS"
VARIABLES_SQL = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ({})".format(
    ", ".join(f"'{name}'" for name in (*f.VARIABLES, "version", "version_comment", "wsrep_on"))
)
# One statement, as both times must be of one moment.
START_SQL = """SELECT UNIX_TIMESTAMP() - variable_value AS started_at FROM {schema}.global_status
 WHERE variable_name = 'Uptime'"""
TRANSACTIONS_SQL = """SELECT COUNT(*) AS transactions, UNIX_TIMESTAMP(MIN(trx_started)) AS oldest
  FROM information_schema.INNODB_TRX"""
COMPRESSION_SQL = "SELECT page_size, {} FROM information_schema.INNODB_CMP".format(", ".join(f.COMPRESSION))
BINLOG_SQL = "SHOW BINARY LOGS"

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_STATES = {"ON": b"1", "YES": b"1", "OFF": b"0", "NO": b"0", "CONNECTING": b"0", "PREPARING": b"0"}
_RENAMED_IN = (8, 0, 22)


class MysqlCollector:
    """Asks over one kept connection; what the server refuses is not asked again on it."""

    name: ClassVar[str] = "mysql"
    may_hang: ClassVar[bool] = True
    families: ClassVar[tuple[Family, ...]] = f.FAMILIES

    def __init__(self, component: Component, *, timeout_seconds: float = 5.0) -> None:
        def block(*families: Family) -> Block:
            return Block(families, fixed=(component.name,), exponents=f.EXPONENTS)

        self.component = component.name
        self._session = MysqlSession(component, timeout_seconds=timeout_seconds)
        self._up, self._info = block(f.UP), block(f.INFO)
        self._status, self._variables = block(*f.STATUS.values()), block(*f.VARIABLES.values())
        self._groups = [(prefix, block(family), endings) for prefix, family, endings in f.GROUPS]
        self._others, self._compression = block(*f.OTHERS), block(*f.COMPRESSION.values())
        self._replication, self._primary = block(*f.REPLICATION.values()), block(f.PRIMARY)

    def collect(self) -> Samples:
        """Ask the server. Raises Unavailable, or Rejected when it does not tell its status."""
        status = _by_name(self._session.rows(STATUS_SQL))
        variables = _by_name(self._session.permitted(VARIABLES_SQL))
        if variables.get("wsrep_on") != "ON":
            # MariaDB lists them everywhere: a server that is no node would look like one that is not ready.
            status = {key: value for key, value in status.items() if not key.startswith("wsrep_")}
        about = (variables.get("version", ""), variables.get("version_comment", ""))
        return chain(
            self._up.render_row([b"1"]),
            self._info.render([about], [(b"1",)]),
            self._status.render_row([token_of(status.get(key)) for key in f.STATUS]),
            self._group_samples(status),
            self._variables.render_row([token_of(variables.get(key)) for key in f.VARIABLES]),
            self._others.render_row(self._other_row(variables)),
            self._compression_samples(),
            self._replication_samples(),
        )

    def down(self) -> Samples:
        """Say that the server is not up."""
        return self._up.render_row([b"0"])

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _group_samples(self, status: Mapping[str, str]) -> Samples:
        for prefix, block, endings in self._groups:
            found = [
                (key.removeprefix(prefix), token_of(value)) for key, value in status.items() if key.startswith(prefix)
            ]
            rows = [(name, token) for name, token in found if not endings or name in endings]
            yield from block.render([(name,) for name, _ in rows], [(token,) for _, token in rows])

    def _other_row(self, variables: Mapping[str, str]) -> list[bytes]:
        schema = "information_schema" if self._session.mariadb else "performance_schema"
        start = _first(self._session.permitted(START_SQL.format(schema=schema)))
        open_now = _first(self._session.permitted(TRANSACTIONS_SQL))
        logs = self._session.permitted(BINLOG_SQL) if variables.get("log_bin") == "ON" else []
        sizes = [int(log["file_size"]) for log in logs if _NUMBER.fullmatch(log.get("file_size") or "")]
        found = [
            token_of(row.get(key))
            for row, key in ((start, "started_at"), (open_now, "transactions"), (open_now, "oldest"))
        ]
        return [*found, *(map(number, (len(sizes), sum(sizes))) if logs else (b"", b""))]

    def _compression_samples(self) -> Samples:
        rows = self._session.permitted(COMPRESSION_SQL)
        tokens = [[token_of(row.get(column)) for column in f.COMPRESSION] for row in rows]
        return self._compression.render([(row["page_size"],) for row in rows], tokens)

    def _replication_samples(self) -> Samples:
        rows = {channel_of(row): row for row in map(_former, self._session.permitted(self._replication_sql()))}
        tokens = [[token_of(row.get(column)) for column in f.REPLICATION] for row in rows.values()]
        yield from self._replication.render([(channel,) for channel in rows], tokens)
        primaries = [
            (channel, row.get("master_host") or "", row.get("master_port") or "") for channel, row in rows.items()
        ]
        yield from self._primary.render(primaries, [(b"1",)] * len(primaries))

    def _replication_sql(self) -> str:
        if self._session.mariadb:
            return "SHOW ALL SLAVES STATUS"
        return "SHOW REPLICA STATUS" if self._session.version >= _RENAMED_IN else "SHOW SLAVE STATUS"


def token_of(value: str | None) -> bytes:
    """Return a value as a number; nothing for what is none."""
    if value is None:
        return b""
    return value.encode() if _NUMBER.fullmatch(value) else _STATES.get(value.upper(), b"")


def channel_of(row: Mapping[str, Any]) -> str:
    """Return the name of a channel of replication: empty for the only one."""
    return str(row.get("connection_name") or row.get("channel_name") or "")


def _former(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row under the names that MariaDB has, and MySQL had before 8.0.22."""
    return {key.replace("replica_", "slave_").replace("source_", "master_"): value for key, value in row.items()}


def _by_name(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {str(row["variable_name"]).lower(): str(row["value"]) for row in rows}


def _first(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return rows[0] if rows else {}
