"""Connections, statements, InnoDB, settings, replication and binary logs of a MySQL or MariaDB server.

The status needs no rights. `PROCESS` shows InnoDB's transactions and compression, `REPLICATION CLIENT` (MariaDB:
`SLAVE MONITOR, BINLOG MONITOR`) replication and binary logs; without them only those samples are missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, ClassVar

from perfloop.collectors.mariadb import families as f
from perfloop.collectors.mariadb.answers import (
    INNODB_SQL,
    Table,
    binlog_of,
    channels_of,
    tables_of,
    token_of,
    transactions_of,
)
from perfloop.collectors.mariadb.session import MysqlSession
from perfloop.exposition.block import Block
from perfloop.exposition.text import Samples
from perfloop.model import Component, Family

_PREFIXES = tuple({prefix for prefix, _, _ in f.GROUPS})


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
        status, variables, started_at = tables_of(self._session)
        innodb = [tuple(row.values()) for row in self._session.permitted(INNODB_SQL)]
        others = (started_at, *transactions_of(innodb), *binlog_of(self._session, variables))
        about = (variables.get("version", ""), variables.get("version_comment", ""))
        return chain(
            self._up.render_row([b"1"]),
            self._info.render([about], [(b"1",)]),
            self._status.render_row([token_of(status.get(key)) for key in f.STATUS]),
            self._group_samples(status),
            self._variables.render_row([token_of(variables.get(key)) for key in f.VARIABLES]),
            self._others.render_row(others),
            _rows(self._compression, innodb[1:]),
            self._replication_samples(),
        )

    def down(self) -> Samples:
        """Say that the server is not up."""
        return self._up.render_row([b"0"])

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _group_samples(self, status: Table) -> Samples:
        candidates = [(key, value) for key, value in status.items() if key.startswith(_PREFIXES)]
        for prefix, block, endings in self._groups:
            found = [(key.removeprefix(prefix), value) for key, value in candidates if key.startswith(prefix)]
            yield from _rows(block, [row for row in found if not endings or row[0] in endings])

    def _replication_samples(self) -> Samples:
        rows = channels_of(self._session)
        tokens = [[token_of(row.get(column)) for column in f.REPLICATION] for row in rows.values()]
        yield from self._replication.render([(channel,) for channel in rows], tokens)
        primaries = [
            (channel, row.get("master_host") or "", row.get("master_port") or "") for channel, row in rows.items()
        ]
        yield from self._primary.render(primaries, [(b"1",)] * len(primaries))


def _rows(block: Block, rows: Sequence[tuple[Any, ...]]) -> Samples:
    """Show rows that begin with their label."""
    return block.render([(str(row[0]),) for row in rows], [[token_of(value) for value in row[1:]] for row in rows])
