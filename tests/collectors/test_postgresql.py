"""A real PostgreSQL: what was done there is what the page shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from perfloop.collectors.postgresql import PostgresqlCollector
from perfloop.errors import Unavailable
from perfloop.model import Component
from perfloop.stack.process import Child
from tests.collectors.pages import Page, lint, page_of
from tests.support import eventually

# A name that needs escaping in COPY, in the page and in a template.
DATABASE = 'shop "100%" \\ x'


@pytest.fixture
def shop(postgresql: Child) -> Iterator[Any]:
    """A connection to a database of our own, with pg_stat_statements in a schema of its own."""
    with closing(connect(postgresql, "postgres")) as admin, admin.cursor() as cursor:
        quoted = '"' + DATABASE.replace('"', '""') + '"'
        cursor.execute(f"CREATE DATABASE {quoted}")
        with closing(connect(postgresql, DATABASE)) as connection:
            with connection.cursor() as inside:
                inside.execute(
                    "CREATE SCHEMA Stats; CREATE EXTENSION pg_stat_statements SCHEMA Stats; CREATE TABLE t (i int)"
                )
            yield connection
        cursor.execute(f"DROP DATABASE {quoted} WITH (FORCE)")


def connect(server: Child, database: str) -> Any:
    host, _, port = server.address.rpartition(":")
    connection = psycopg2.connect(host=host, port=port, user="postgres", dbname=database)
    connection.autocommit = True
    return connection


@pytest.fixture
def collector(postgresql: Child) -> Iterator[PostgresqlCollector]:
    made = PostgresqlCollector(component(postgresql.address, database=DATABASE))
    yield made
    made.close()


def component(address: str, *, database: str = "", user: str = "postgres") -> Component:
    return Component(name="db", driver="postgresql", address=address, user=user, database=database)


def count(page: Page, name: str) -> float:
    return page.value(f"perfloop_postgresql_{name}", component="db", database=DATABASE)


def test_counters_follow_what_is_done(shop: Any, collector: PostgresqlCollector) -> None:
    before = page_of(collector.collect())
    with shop.cursor() as cursor:
        for i in range(10):
            cursor.execute("INSERT INTO t VALUES (%s)", (i,))
        cursor.execute("UPDATE t SET i = i + 1 WHERE i < 5")
        cursor.execute("DELETE FROM t WHERE i > 8")
        cursor.execute("BEGIN; INSERT INTO t VALUES (0); ROLLBACK")
        cursor.execute("SELECT count(*) FROM t")
        cursor.execute("SELECT pg_stat_force_next_flush()")
        # The statistics of a backend are flushed when it ends its next statement.
        cursor.execute("SELECT 1")

    def moved() -> Page | None:
        page = page_of(collector.collect())
        return page if count(page, "commits_total") >= count(before, "commits_total") + 10 else None

    page = eventually(moved, what="ten more commits")

    for name, least in {
        "rollbacks_total": 1,
        "rows_inserted_total": 11,
        "rows_updated_total": 5,
        "rows_deleted_total": 1,
        "rows_returned_total": 1,
        "blocks_hit_total": 10,
        "statements_total": 15,
    }.items():
        assert count(page, name) - count(before, name) >= least, name
    assert count(page, "statement_seconds_total") > count(before, "statement_seconds_total")
    assert count(page, "database_size_bytes") > 1_000_000
    assert lint(page.text) == ""


def test_connections_are_counted_by_state(shop: Any, collector: PostgresqlCollector) -> None:
    def connections(state: str) -> float:
        page = page_of(collector.collect())
        return page.value("perfloop_postgresql_connections", component="db", database=DATABASE, state=state)

    with shop.cursor() as cursor:
        cursor.execute("BEGIN")
        eventually(lambda: connections("idle in transaction") == 1)
        cursor.execute("COMMIT")

    eventually(lambda: connections("idle in transaction") == 0)
    assert connections("idle") == 1
    assert connections("active") == 1, "the exporter's own connection, busy with this very question"


def test_the_limit_is_the_servers_setting(shop: Any, collector: PostgresqlCollector) -> None:
    with shop.cursor() as cursor:
        cursor.execute("SHOW max_connections")
        [expected] = cursor.fetchone()

    page = page_of(collector.collect())

    assert page.value("perfloop_postgresql_max_connections", component="db") == float(expected)
    assert page.value("perfloop_postgresql_up", component="db") == 1


def test_no_transaction_is_left_open(shop: Any, collector: PostgresqlCollector) -> None:
    page_of(collector.collect())

    with shop.cursor() as cursor:
        cursor.execute("SELECT state FROM pg_stat_activity WHERE application_name = 'perfloop exporter'")
        assert cursor.fetchall() == [("idle",)]


def test_without_pg_stat_statements_its_metrics_are_absent(postgresql: Child) -> None:
    collector = PostgresqlCollector(component(postgresql.address, database="template1"))

    page = page_of(collector.collect())
    collector.close()

    assert "perfloop_postgresql_statements_total" not in page.names()
    assert "perfloop_postgresql_commits_total" in page.names()


def test_an_unprivileged_user_sees_what_it_may(shop: Any, postgresql: Child) -> None:
    with shop.cursor() as cursor:
        cursor.execute(f"REVOKE CONNECT ON DATABASE {psycopg2.extensions.quote_ident(DATABASE, shop)} FROM PUBLIC")
        cursor.execute("CREATE ROLE nobody_special LOGIN")
    collector = PostgresqlCollector(component(postgresql.address, user="nobody_special"))

    page = page_of(collector.collect())
    collector.close()
    with shop.cursor() as cursor:
        cursor.execute("DROP ROLE nobody_special")

    assert DATABASE in page.labels("perfloop_postgresql_commits_total", "database")
    assert DATABASE not in page.labels("perfloop_postgresql_database_size_bytes", "database")


def test_a_cut_connection_is_made_anew(shop: Any, collector: PostgresqlCollector) -> None:
    page_of(collector.collect())
    with shop.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'perfloop exporter'"
        )

    with pytest.raises(Unavailable):
        collector.collect()

    assert page_of(collector.collect()).value("perfloop_postgresql_up", component="db") == 1


def test_a_dead_server_is_unavailable(dead_address: str) -> None:
    collector = PostgresqlCollector(component(dead_address))

    with pytest.raises(Unavailable, match="refused"):
        collector.collect()

    assert page_of(collector.down()).text.endswith('perfloop_postgresql_up{component="db"} 0\n')
