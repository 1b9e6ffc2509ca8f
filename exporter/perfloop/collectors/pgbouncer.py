"""Pools, traffic, databases and limits of a PgBouncer, from the SHOW commands of its admin console."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from perfloop.collectors.postgres.shows import (
    ADMIN_DATABASE,
    CONFIG,
    DATABASES,
    LISTS,
    MAX_WAIT,
    POOLS,
    STATS,
    Show,
    family,
)
from perfloop.collectors.postgres.wire import Session
from perfloop.exposition.block import Block
from perfloop.exposition.text import Samples, number
from perfloop.model import Component, Family, MetricType
from perfloop.protocols import Piece

UP = family("up", "Whether the admin console of PgBouncer answered in time.")
BUILD_INFO = Family(
    name="perfloop_pgbouncer_build_info",
    type=MetricType.INFO,
    help="PgBouncer's version, SHOW VERSION.",
    labels=("component", "version"),
)


class PgbouncerCollector:
    """Asks the admin console over one kept connection; the console itself is left out."""

    name: ClassVar[str] = "pgbouncer"
    may_hang: ClassVar[bool] = True
    families: ClassVar[tuple[Family, ...]] = (
        UP,
        BUILD_INFO,
        MAX_WAIT,
        *(family for show in (POOLS, DATABASES, STATS, LISTS, CONFIG) for family in show.columns),
    )

    def __init__(self, component: Component) -> None:
        self.component, fixed = component.name, (component.name,)
        self._session = Session(component, database=ADMIN_DATABASE)
        self._up, self._info = Block([UP], fixed=fixed), Block([BUILD_INFO], fixed=fixed)
        self._max_wait = Block([MAX_WAIT], fixed=fixed)
        # Times are in microseconds there.
        microseconds = {family: -6 for family in STATS.columns if family.name.endswith("_seconds_total")}
        self._blocks = {
            show.command: Block(tuple(show.columns), fixed=fixed, exponents=microseconds)
            for show in (POOLS, DATABASES, STATS, LISTS, CONFIG)
        }

    def collect(self) -> Samples:
        """Ask the console. Raises Unavailable."""
        return list(self._collect())

    def down(self) -> Samples:
        """Say that PgBouncer is not up."""
        return self._up.render_row([b"0"])

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _collect(self) -> Iterator[Piece]:
        yield from self._up.render_row([b"1"])
        versions = [(row["version"].removeprefix("PgBouncer ").split(" ")[0],) for row in self._rows("VERSION")]
        yield from self._info.render(versions, [(b"1",) for _ in versions])
        pools = self._table(POOLS)
        yield from self._show(POOLS, pools)
        yield from self._max_wait.render([_key(POOLS, row) for row in pools], [_waited(row) for row in pools])
        for show in (DATABASES, STATS):
            yield from self._show(show, self._table(show))
        # These two have a name and a value in each row.
        for show in (LISTS, CONFIG):
            values = dict(tuple(row.values())[:2] for row in self._rows(show.command))
            yield from self._show(show, [values])

    def _show(self, show: Show, rows: list[dict[str, Any]]) -> Samples:
        return self._blocks[show.command].render([_key(show, row) for row in rows], [show.row(row) for row in rows])

    def _table(self, show: Show) -> list[dict[str, Any]]:
        return [row for row in self._rows(show.command) if row[show.keys[0]] != ADMIN_DATABASE]

    def _rows(self, what: str) -> list[dict[str, Any]]:
        return self._session.rows(f"SHOW {what}")


def _key(show: Show, row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[key]) for key in show.keys)


def _waited(row: dict[str, Any]) -> tuple[bytes]:
    return (number(row["maxwait"] + row.get("maxwait_us", 0) / 1e6),)
