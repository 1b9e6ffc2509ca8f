"""A real PgBouncer before a real PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from perfloop.collectors.pgbouncer import PgbouncerCollector
from perfloop.collectors.postgres.shows import DATABASES
from perfloop.errors import Unavailable
from perfloop.model import Component
from perfloop.stack import servers
from perfloop.stack.process import Child, free_port
from tests.collectors.pages import Page, lint, page_of
from tests.support import eventually


@pytest.fixture
def collector(pgbouncer: Child) -> Iterator[PgbouncerCollector]:
    made = PgbouncerCollector(component(pgbouncer.address))
    yield made
    made.close()


def component(address: str) -> Component:
    return Component(name="pool", driver="pgbouncer", address=address, user="postgres")


def test_traffic_follows_what_is_done(pgbouncer: Child, collector: PgbouncerCollector) -> None:
    host, _, port = pgbouncer.address.rpartition(":")

    def read() -> Page:
        return page_of(collector.collect())

    with closing(psycopg2.connect(host=host, port=port, user="postgres", dbname="postgres")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            before = read()
            for _ in range(10):
                cursor.execute("SELECT pg_sleep(0.01)")
            after = read()
        [waiting] = after.values("perfloop_pgbouncer_clients_waiting", database="postgres")
        [active] = after.values("perfloop_pgbouncer_clients_active", database="postgres")

    labels = {"component": "pool", "database": "postgres"}
    for name, least in {"transactions_total": 10, "queries_total": 10, "query_seconds_total": 0.1}.items():
        moved = after.value(f"perfloop_pgbouncer_{name}", **labels) - before.value(
            f"perfloop_pgbouncer_{name}", **labels
        )
        assert least <= moved < 100, name
    assert after.value("perfloop_pgbouncer_sent_bytes_total", **labels) > 0
    assert (active, waiting) == (1, 0)
    assert after.value("perfloop_pgbouncer_pool_size", **labels) == 20
    assert after.value("perfloop_pgbouncer_up", component="pool") == 1
    assert lint(after.text) == ""


def test_clients_that_wait_for_a_pool_are_seen(pgbouncer: Child, collector: PgbouncerCollector) -> None:
    host, _, port = pgbouncer.address.rpartition(":")
    with closing(psycopg2.connect(host=host, port=port, user="postgres", dbname="pgbouncer")) as admin:
        admin.autocommit = True
        with closing(psycopg2.connect(host=host, port=port, user="postgres", dbname="template1")) as connection:
            with admin.cursor() as console:
                console.execute("PAUSE template1")
            waiter = psycopg2.extensions.connection(f"host={host} port={port} user=postgres dbname=template1", async_=1)
            # An asynchronous connection needs to be pushed; PgBouncer then keeps it waiting.
            eventually(lambda: waiter.poll() in {psycopg2.extensions.POLL_READ, psycopg2.extensions.POLL_OK})

            def waiting() -> bool:
                if waiter.poll() == psycopg2.extensions.POLL_OK and not waiter.isexecuting():
                    waiter.cursor().execute("SELECT 1")
                page = page_of(collector.collect())
                return (
                    page.values("perfloop_pgbouncer_clients_waiting", database="template1") == [1]
                    and page.values("perfloop_pgbouncer_max_wait_seconds", database="template1")[0] > 0
                )

            eventually(waiting)
            with admin.cursor() as console:
                console.execute("RESUME template1")
            waiter.close()
            del connection


def test_the_console_itself_is_left_out(collector: PgbouncerCollector) -> None:
    page = page_of(collector.collect())

    for name in ("clients_active", "pool_size", "queries_total"):
        assert "pgbouncer" not in page.labels(f"perfloop_pgbouncer_{name}", "database")


def test_limits_are_those_of_the_configuration(collector: PgbouncerCollector) -> None:
    page = page_of(collector.collect())

    assert page.value("perfloop_pgbouncer_max_clients", component="pool") == 200
    assert "perfloop_pgbouncer_max_user_connections" not in page.names(), "0 is no limit, not none allowed"
    assert page.value("perfloop_pgbouncer_clients_connected", component="pool") >= 1
    [version] = page.labels("perfloop_pgbouncer_build_info", "version")
    assert re.fullmatch(r"[0-9.]+", version)


def test_a_user_that_may_only_read_statistics_is_enough(server_folder: Path, postgresql: Child) -> None:
    child = servers.pgbouncer(
        server_folder,
        port=free_port(),
        database_port=int(postgresql.address.rpartition(":")[2]),
        settings={"stats_users": "watcher", "admin_users": ""},
        name="pgbouncer-stats",
    )
    child.start()
    child.wait_ready()
    collector = PgbouncerCollector(
        Component(name="pool", driver="pgbouncer", address=child.address, user="watcher", password="unused")
    )

    page = page_of(collector.collect())
    collector.close()
    child.stop()

    assert page.value("perfloop_pgbouncer_up", component="pool") == 1
    assert page.value("perfloop_pgbouncer_max_clients", component="pool") == 200


@pytest.mark.parametrize(
    ("row", "token"),
    [
        pytest.param({"name": "x", "reserve_pool": 5}, b"5", id="until 1.23"),
        pytest.param({"name": "x", "reserve_pool_size": 6}, b"6", id="since 1.24"),
        pytest.param({"name": "x", "reserve_pool_size": None}, b"", id="not said"),
        pytest.param({"name": "x"}, b"", id="not there"),
    ],
)
def test_columns_are_found_by_their_names_in_any_version(row: dict[str, object], token: bytes) -> None:
    place = [family.name for family in DATABASES.columns].index("perfloop_pgbouncer_reserve_pool_size")

    assert DATABASES.row(row)[place] == token


def test_a_restart_costs_one_page_at_most(server_folder: Path, postgresql: Child) -> None:
    child = servers.pgbouncer(
        server_folder,
        port=free_port(),
        database_port=int(postgresql.address.rpartition(":")[2]),
        name="pgbouncer-restarted",
    )
    child.start()
    child.wait_ready()
    collector = PgbouncerCollector(component(child.address))
    page_of(collector.collect())
    child.stop()
    child.start()
    child.wait_ready()

    with pytest.raises(Unavailable):
        collector.collect()
    page = page_of(collector.collect())
    collector.close()
    child.stop()

    assert page.value("perfloop_pgbouncer_up", component="pool") == 1


def test_a_dead_pgbouncer_is_unavailable(dead_address: str) -> None:
    with pytest.raises(Unavailable, match="refused"):
        PgbouncerCollector(component(dead_address)).collect()
