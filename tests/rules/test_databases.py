"""What the alerts about databases ask for is on the page of a real server, with those labels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import promql_parser
import psycopg2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from perfloop.collectors.memcached import MemcachedCollector
from perfloop.collectors.mysql import MysqlCollector
from perfloop.collectors.pgbouncer import PgbouncerCollector
from perfloop.collectors.postgresql import PostgresqlCollector
from perfloop.collectors.redis import RedisCollector
from perfloop.exposition.page import render_page
from perfloop.model import Component
from perfloop.rules.shipped import shipped
from perfloop.stack.process import Child
from tests.rules.test_catalogue import SETTINGS_OF_POSTGRESQL

COLLECTORS = {
    "postgresql": (PostgresqlCollector, "postgres"),
    "pgbouncer": (PgbouncerCollector, "postgres"),
    "mysql": (MysqlCollector, "root"),
    "redis": (RedisCollector, ""),
    "memcached": (MemcachedCollector, ""),
}
FIXTURES = {"mysql": "mariadb"}
# What a lone, idle server does not have, by its beginning; tests/collectors shows these on servers that do.
ELSEWHERE = {
    "postgresql": (
        *("checksum_failures", "database_connection_limit", "oldest_transaction", "wal_last_"),
        *("replication_connections", "replication_lag", "replication_replay_lag", "replication_slot_safe"),
    ),
    "pgbouncer": ("database_max_connections",),
    "mysql": ("galera_", "oldest_transaction", "replica_"),
    "redis": ("cluster_", "errors_total", "memory_max", "primary_", "replica_", "sentinel_", "slowlog_logged"),
    "memcached": (),
}


@pytest.fixture
def busy(postgresql: Child, pgbouncer: Child) -> Iterator[None]:
    """A table, a slot, statistics of statements, and a client of the pool."""
    with closing(connected(postgresql)) as admin, admin.cursor() as cursor, closing(connected(pgbouncer)) as client:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements; CREATE TABLE asked_of (i int)")
        cursor.execute("SELECT pg_create_physical_replication_slot('asked_of', true)")
        client.cursor().execute("SELECT 1")
        yield
        cursor.execute("SELECT pg_drop_replication_slot('asked_of'); DROP TABLE asked_of")


def connected(server: Child) -> Any:
    host, _, port = server.address.rpartition(":")
    connection = psycopg2.connect(host=host, port=port, user="postgres", dbname="postgres")
    connection.autocommit = True
    return connection


def series_of(subject: str, address: str) -> list[tuple[str, dict[str, str]]]:
    make, user = COLLECTORS[subject]
    collector = make(Component(name="db", driver=subject, address=address, user=user))
    with closing(collector):
        page = render_page(collector.collect()).decode()
    return [
        (sample.name, sample.labels) for family in text_string_to_metric_families(page) for sample in family.samples
    ]


def selectors(subject: str) -> Iterator[tuple[str, Any]]:
    for name, entry in shipped()[subject].items():
        found: list[Any] = []
        expression = entry.expr.replace("$range", "5m").replace("$threshold", "7")
        promql_parser.walk(promql_parser.parse(expression), found.append)
        yield from ((name, node) for node in found if isinstance(node, promql_parser.VectorSelector))


def selects(selector: Any, name: str, labels: dict[str, str]) -> bool:
    return name == selector.name and all(
        (re.fullmatch(matcher.value, labels.get(matcher.name, "")) is not None)
        is (matcher.op in (promql_parser.MatchOp.Equal, promql_parser.MatchOp.Re))
        for matcher in selector.matchers.matchers
    )


@pytest.mark.parametrize("subject", COLLECTORS)
def test_every_selector_of_an_alert_finds_a_series_of_a_real_server(
    subject: str, busy: None, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(FIXTURES.get(subject, subject))
    series = series_of(subject, server.address)
    lacking = tuple(f"perfloop_{subject}_{beginning}" for beginning in ELSEWHERE[subject])

    blind = {
        f"{alert}: {selector.name}"
        for alert, selector in selectors(subject)
        if not selector.name.startswith(("perfloop:", *lacking))
        and not any(selects(selector, name, labels) for name, labels in series)
    }

    assert series
    assert blind == set()


def test_the_settings_that_alerts_use_are_those_of_a_real_server(busy: None, postgresql: Child) -> None:
    names = {name for name, _ in series_of("postgresql", postgresql.address)}

    assert names >= SETTINGS_OF_POSTGRESQL
