"""Real servers for the tests: started once a session on free ports, with data folders of their own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from perfloop.stack import servers
from perfloop.stack.process import Child, free_port


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder that the user `postgres` can reach too (pytest's own belong to us alone)."""
    folder = Path(tempfile.mkdtemp(prefix="perfloop-tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _running(child: Child) -> Iterator[Child]:
    child.start()
    child.wait_ready()
    yield child
    child.stop()


@pytest.fixture(scope="session")
def postgresql(server_folder: Path) -> Iterator[Child]:
    """PostgreSQL with pg_stat_statements; `address` is host:port, superuser postgres without a password."""
    settings = {"shared_preload_libraries": "pg_stat_statements", "fsync": "off"}
    yield from _running(servers.postgresql(server_folder, port=free_port(), settings=settings))


@pytest.fixture(scope="session")
def pgbouncer(server_folder: Path, postgresql: Child) -> Iterator[Child]:
    """PgBouncer before that PostgreSQL; its admin is postgres, without a password."""
    database_port = int(postgresql.address.rpartition(":")[2])
    yield from _running(servers.pgbouncer(server_folder, port=free_port(), database_port=database_port))


@pytest.fixture(scope="session")
def redis(server_folder: Path) -> Iterator[Child]:
    """Redis in memory only."""
    yield from _running(servers.redis(server_folder, port=free_port()))


@pytest.fixture(scope="session")
def mariadb(server_folder: Path) -> Iterator[Child]:
    """MariaDB with a binary log; superuser root without a password, also by server_folder/mariadb/mariadb.sock."""
    settings = {"log-bin": "log", "server-id": "1", "gtid-strict-mode": "ON"}
    yield from _running(servers.mariadb(server_folder, port=free_port(), settings=settings))


@pytest.fixture(scope="session")
def memcached(server_folder: Path) -> Iterator[Child]:
    """Memcached with 16 MiB."""
    yield from _running(servers.memcached(server_folder, port=free_port()))
