"""Pools and traffic of a PgBouncer, from the SHOW commands of its admin console."""

from __future__ import annotations

from itertools import chain
from typing import Any, ClassVar

from perfloop.collectors.session import Session
from perfloop.exposition.block import Block
from perfloop.exposition.text import Samples, number
from perfloop.model import Component, Family, MetricType

ADMIN_DATABASE = "pgbouncer"


def _family(name: str, text: str, *labels: str) -> Family:
    kind = MetricType.COUNTER if name.endswith("_total") else MetricType.GAUGE
    return Family(name=f"perfloop_pgbouncer_{name}", type=kind, help=text, labels=("component", *labels))


UP = _family("up", "Whether the admin console of PgBouncer answered in time.")
POOLS = (
    _family("clients_active", "Clients with a server connection or idle, cl_active of SHOW POOLS.", "database", "user"),
    _family(
        "clients_waiting", "Clients waiting for a server connection, cl_waiting of SHOW POOLS.", "database", "user"
    ),
    _family("servers_active", "Server connections in use, sv_active of SHOW POOLS.", "database", "user"),
    _family("servers_idle", "Server connections ready for use, sv_idle of SHOW POOLS.", "database", "user"),
    _family(
        "max_wait_seconds", "How long the first waiting client has waited, maxwait of SHOW POOLS.", "database", "user"
    ),
)
POOL_SIZE = _family("pool_size", "Server connections a pool may open, pool_size of SHOW DATABASES.", "database")
TRAFFIC_COLUMNS = (
    ("transactions_total", "total_xact_count", "Transactions pooled"),
    ("queries_total", "total_query_count", "Queries pooled"),
    ("received_bytes_total", "total_received", "Bytes received from clients"),
    ("sent_bytes_total", "total_sent", "Bytes sent to clients"),
    ("transaction_seconds_total", "total_xact_time", "Time spent in transactions"),
    ("query_seconds_total", "total_query_time", "Time spent in queries"),
    ("client_wait_seconds_total", "total_wait_time", "Time that clients waited for a server connection"),
)
TRAFFIC = tuple(_family(name, f"{text}, {column} of SHOW STATS.", "database") for name, column, text in TRAFFIC_COLUMNS)


class PgbouncerCollector:
    """Asks the admin console over one kept connection; the console itself is left out."""

    name: ClassVar[str] = "pgbouncer"
    may_hang: ClassVar[bool] = True
    families: ClassVar[tuple[Family, ...]] = (UP, *POOLS, POOL_SIZE, *TRAFFIC)

    def __init__(self, component: Component) -> None:
        self.component = component.name
        self._session = Session(component, database=ADMIN_DATABASE)
        fixed = (component.name,)
        self._up, self._pools = Block([UP], fixed=fixed), Block(POOLS, fixed=fixed)
        self._sizes = Block([POOL_SIZE], fixed=fixed)
        microseconds = {family: -6 for family in TRAFFIC if family.name.endswith("_seconds_total")}
        self._traffic = Block(TRAFFIC, fixed=fixed, exponents=microseconds)

    def collect(self) -> Samples:
        """Ask the console. Raises Unavailable."""
        pools = self._show("POOLS", "database")
        databases = self._show("DATABASES", "name")
        traffic = self._show("STATS", "database")
        return chain(
            self._up.render_row([b"1"]),
            self._pools.render([(row["database"], row["user"]) for row in pools], map(_pool_row, pools)),
            self._sizes.render(
                [(row["name"],) for row in databases], [(number(row["pool_size"]),) for row in databases]
            ),
            self._traffic.render([(row["database"],) for row in traffic], map(_traffic_row, traffic)),
        )

    def down(self) -> Samples:
        """Say that PgBouncer is not up."""
        return self._up.render_row([b"0"])

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _show(self, what: str, name_column: str) -> list[dict[str, Any]]:
        return [row for row in self._session.rows(f"SHOW {what}") if row[name_column] != ADMIN_DATABASE]


def _pool_row(row: dict[str, Any]) -> tuple[bytes, ...]:
    counts = (row["cl_active"], row["cl_waiting"], row["sv_active"], row["sv_idle"])
    return (*map(number, counts), number(row["maxwait"] + row["maxwait_us"] / 1e6))


def _traffic_row(row: dict[str, Any]) -> tuple[bytes, ...]:
    return tuple(number(int(row[column])) for _, column, _ in TRAFFIC_COLUMNS)
