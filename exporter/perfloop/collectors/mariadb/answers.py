"""What a MySQL or MariaDB server is asked, in the words of its kind and version, and what it says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from perfloop.collectors.mariadb import families as f
from perfloop.collectors.mariadb.session import MysqlSession
from perfloop.exposition.text import number

Table = Mapping[str, str]

_NAMES = ", ".join(f"'{name}'" for name in (*f.VARIABLES, "version", "version_comment", "wsrep_on"))
# MariaDB has both in tables: one row of text costs a tenth of what a row for each does.
_JOINED = "GROUP_CONCAT(LOWER(variable_name), CHAR(9), variable_value SEPARATOR '\n')"
TABLES_SQL = f"""SELECT UNIX_TIMESTAMP() AS now, (SELECT {_JOINED} FROM information_schema.GLOBAL_STATUS) AS status,
  (SELECT {_JOINED} FROM information_schema.GLOBAL_VARIABLES WHERE variable_name IN ({_NAMES})) AS variables"""
STATUS_SQL = "SHOW GLOBAL STATUS"
VARIABLES_SQL = f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({_NAMES})"
# The status alone would be of another moment than a clock that is asked after it.
START_SQL = """SELECT UNIX_TIMESTAMP() - variable_value AS started_at FROM performance_schema.global_status
 WHERE variable_name = 'Uptime'"""
# Its first row is about transactions, the others about compression.
INNODB_SQL = f"""SELECT '' AS page_size, COUNT(*) AS transactions, UNIX_TIMESTAMP(MIN(trx_started)) AS oldest,
  NULL AS a, NULL AS b, NULL AS c FROM information_schema.INNODB_TRX
 UNION ALL SELECT page_size, {", ".join(f.COMPRESSION)} FROM information_schema.INNODB_CMP"""
BINLOG_SQL = "SHOW BINARY LOGS"

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_STATES = {"ON": b"1", "YES": b"1", "OFF": b"0", "NO": b"0", "CONNECTING": b"0", "PREPARING": b"0"}
_RENAMED_IN = (8, 0, 22)


def tables_of(session: MysqlSession) -> tuple[Table, Table, bytes]:
    """Return the status, the settings and the start. Raises Unavailable, or Rejected when there is no status."""
    session.connect()
    if session.mariadb:
        [row] = session.rows(TABLES_SQL)
        status, variables = _split(row["status"]), _split(row["variables"])
        now, uptime_seconds = row["now"], status.get("uptime", "")
        started_at = number(int(now) - int(uptime_seconds)) if uptime_seconds.isdigit() else b""
    else:
        status = {row["variable_name"].lower(): row["value"] for row in session.rows(STATUS_SQL)}
        variables = {row["variable_name"].lower(): row["value"] for row in session.permitted(VARIABLES_SQL)}
        started_at = next((token_of(row["started_at"]) for row in session.permitted(START_SQL)), b"")
    if variables.get("wsrep_on") != "ON":
        # MariaDB lists them everywhere: a server that is no node would look like one that is not ready.
        status = {key: value for key, value in status.items() if not key.startswith("wsrep_")}
    return status, variables, started_at


def transactions_of(innodb: list[tuple[Any, ...]]) -> tuple[bytes, bytes]:
    """Return how many transactions are open, and when the oldest began, from the rows of INNODB_SQL."""
    return (token_of(innodb[0][1]), token_of(innodb[0][2])) if innodb else (b"", b"")


def binlog_of(session: MysqlSession, variables: Table) -> tuple[bytes, bytes]:
    """Return the number and the size of the binary logs."""
    logs = session.permitted(BINLOG_SQL) if variables.get("log_bin") == "ON" else []
    sizes = [int(log["file_size"]) for log in logs if _NUMBER.fullmatch(log.get("file_size") or "")]
    return (number(len(sizes)), number(sum(sizes))) if logs else (b"", b"")


def channels_of(session: MysqlSession) -> dict[str, dict[str, Any]]:
    """Return the state of replication by channel, whose name is empty for the only one."""
    statement = "SHOW ALL SLAVES STATUS"
    if not session.mariadb:
        statement = "SHOW REPLICA STATUS" if session.version >= _RENAMED_IN else "SHOW SLAVE STATUS"
    rows = [former(row) for row in session.permitted(statement)]
    return {str(row.get("connection_name") or row.get("channel_name") or ""): row for row in rows}


def former(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row under the names that MariaDB has, and MySQL had before 8.0.22."""
    return {key.replace("replica", "slave").replace("source", "master"): value for key, value in row.items()}


def _split(text: str | None) -> dict[str, str]:
    """Return name and value of each line; the rest of a value of several lines is no line of its own."""
    return {key: value for key, tab, value in (line.partition("\t") for line in (text or "").split("\n")) if tab}


def token_of(value: str | None) -> bytes:
    """Return a value as a number; nothing for what is none."""
    if value is None:
        return b""
    return value.encode() if _NUMBER.fullmatch(value) else _STATES.get(value.upper(), b"")
