"""What the SHOW commands of PgBouncer's console say, as data: which column is which family, whatever the version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from perfloop.exposition.text import number
from perfloop.model import Family, MetricType

ADMIN_DATABASE = "pgbouncer"
_POOL = ("database", "user")


class Show(Struct, frozen=True, kw_only=True):
    """One command: the columns that label its rows, and the columns of each family, the first that is there counting.

    Those in `unlimited` say 0 for "no limit".
    """

    command: str
    keys: tuple[str, ...]
    columns: Mapping[Family, tuple[str, ...]]
    unlimited: frozenset[str] = frozenset()

    def row(self, row: Mapping[str, Any]) -> tuple[bytes, ...]:
        """Return the tokens of a row."""
        return tuple(self._token(row, columns) for columns in self.columns.values())

    def _token(self, row: Mapping[str, Any], columns: tuple[str, ...]) -> bytes:
        column = next((name for name in columns if row.get(name) is not None), None)
        # No row says 0 for what has no limit; 0 would mean the opposite.
        if column is None or (column in self.unlimited and int(row[column]) == 0):
            return b""
        return number(int(row[column]))


def family(name: str, text: str, *labels: str) -> Family:
    """Declare a family of a PgBouncer component; what ends in `_total` is a counter."""
    kind = MetricType.COUNTER if name.endswith("_total") else MetricType.GAUGE
    return Family(name=f"perfloop_pgbouncer_{name}", type=kind, help=text, labels=("component", *labels))


def _columns(
    command: str, labels: tuple[str, ...], *rows: tuple[str, str | tuple[str, ...], str]
) -> dict[Family, tuple[str, ...]]:
    """Declare families by name, column (of versions, the newest first) and text."""
    named = [(name, (columns,) if isinstance(columns, str) else columns, text) for name, columns, text in rows]
    return {
        family(name, f"{text}, {' or '.join(columns)} of SHOW {command}.", *labels): columns
        for name, columns, text in named
    }


POOLS = Show(
    command="POOLS",
    keys=_POOL,
    columns=_columns(
        "POOLS",
        _POOL,
        ("clients_active", "cl_active", "Clients with a server connection or idle"),
        ("clients_waiting", "cl_waiting", "Clients waiting for a server connection"),
        (
            "clients_cancelling",
            ("cl_active_cancel_req", "cl_cancel_req"),
            "Clients whose cancel request is sent on",
        ),
        ("servers_active", "sv_active", "Server connections in use"),
        ("servers_idle", "sv_idle", "Server connections ready for use"),
        ("servers_used", "sv_used", "Server connections that need a check before they are used again"),
        ("servers_tested", "sv_tested", "Server connections that are being reset or checked"),
        ("servers_login", "sv_login", "Server connections that are logging in"),
        ("servers_being_cancelled", "sv_being_canceled", "Server connections that wait for their query's end"),
    ),
)
MAX_WAIT = family(
    "max_wait_seconds", "How long the first waiting client has waited, maxwait of SHOW POOLS.", "database", "user"
)
DATABASES = Show(
    command="DATABASES",
    keys=("name",),
    columns=_columns(
        "DATABASES",
        ("database",),
        ("pool_size", "pool_size", "Server connections a pool may open"),
        ("min_pool_size", "min_pool_size", "Server connections that a pool keeps open"),
        ("reserve_pool_size", ("reserve_pool_size", "reserve_pool"), "Further ones that it may open in need"),
        (
            "database_max_connections",
            "max_connections",
            "Server connections of all pools; none without a limit",
        ),
        ("database_connections", "current_connections", "Server connections of all pools now"),
        ("database_paused", "paused", "Whether the database is paused"),
        ("database_disabled", "disabled", "Whether the database takes no new connections"),
    ),
    unlimited=frozenset({"max_connections"}),
)
STATS = Show(
    command="STATS",
    keys=("database",),
    columns=_columns(
        "STATS",
        ("database",),
        ("transactions_total", "total_xact_count", "Transactions pooled"),
        ("queries_total", "total_query_count", "Queries pooled"),
        ("received_bytes_total", "total_received", "Bytes received from clients"),
        ("sent_bytes_total", "total_sent", "Bytes sent to clients"),
        ("transaction_seconds_total", "total_xact_time", "Time spent in transactions"),
        ("query_seconds_total", "total_query_time", "Time spent in queries"),
        ("client_wait_seconds_total", "total_wait_time", "Time that clients waited for a server connection"),
        ("server_assignments_total", "total_server_assignment_count", "Times that a client got a server connection"),
        ("client_parses_total", "total_client_parse_count", "Prepared statements made by clients"),
        ("server_parses_total", "total_server_parse_count", "Prepared statements made on servers"),
        ("binds_total", "total_bind_count", "Prepared statements bound"),
    ),
)
LISTS = Show(
    command="LISTS",
    keys=(),
    columns=_columns(
        "LISTS",
        (),
        ("databases", "databases", "Databases"),
        ("users", "users", "Users"),
        ("pools", "pools", "Pools"),
        ("clients_connected", "used_clients", "Clients, also those without a pool"),
        ("clients_login", "login_clients", "Clients that are logging in"),
        ("servers_connected", "used_servers", "Server connections"),
        ("dns_names", "dns_names", "Host names in the DNS cache"),
        ("dns_zones", "dns_zones", "Zones in the DNS cache"),
        ("dns_queries", "dns_queries", "DNS queries in flight"),
    ),
)
CONFIG = Show(
    command="CONFIG",
    keys=(),
    columns=_columns(
        "CONFIG",
        (),
        ("max_clients", "max_client_conn", "Clients that are let in"),
        ("max_database_connections", "max_db_connections", "Server connections to one database; none without a limit"),
        ("max_user_connections", "max_user_connections", "Server connections of one user; none without a limit"),
    ),
    unlimited=frozenset({"max_db_connections", "max_user_connections"}),
)
