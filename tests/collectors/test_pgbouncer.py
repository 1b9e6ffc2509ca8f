"""A real PgBouncer before a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest

from perfloop.collectors.pgbouncer import PgbouncerCollector
from perfloop.errors import Unavailable
from perfloop.model import Component
from perfloop.stack.process import Child
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


def test_a_dead_pgbouncer_is_unavailable(dead_address: str) -> None:
    with pytest.raises(Unavailable, match="refused"):
        PgbouncerCollector(component(dead_address)).collect()
