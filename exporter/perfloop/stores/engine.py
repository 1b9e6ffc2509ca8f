"""SQLite as the store needs it: a write-ahead log, writes that reach the disk, readers that wait for nobody."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError

from perfloop.errors import Unavailable


def open_engine(path: Path, *, lock_timeout_seconds: float, writes: bool) -> Engine:
    """Return an engine whose transactions take the write lock at once, or one whose see the last committed state."""
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": lock_timeout_seconds})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin_immediately if writes else _begin)
    return engine


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Open a transaction. Raises Unavailable when the file is locked, full or broken."""
    try:
        with engine.begin() as connection:
            yield connection
    except OperationalError as error:
        raise Unavailable(f"the store cannot be used: {error.orig}") from error


def _configure(connection: sqlite3.Connection, record: object) -> None:
    del record
    # SQLAlchemy begins the transactions; the driver must not begin others of its own.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediately(connection: Connection) -> None:
    # A reader that turns writer half-way would fail at once instead of waiting for the lock.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
