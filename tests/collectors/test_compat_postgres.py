"""Beside a real postgres_exporter from Debian: what has its names has its labels, types and values."""

from __future__ import annotations

import math
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from perfloop.collectors.postgresql import PostgresqlCollector
from perfloop.exposition.page import render_page
from perfloop.model import Component
from perfloop.stack.process import Child, find_binary
from tests.bench.peers import postgres_exporter
from tests.collectors.pages import lint
from tests.collectors.test_postgresql import connect
from tests.support import eventually

Series = tuple[str, frozenset[tuple[str, str]]]
Typed = tuple[str, float]
# What is not shown, and why.
LEFT_OUT = {
    "go_": "of its own process",
    "process_": "of its own process",
    "promhttp_": "of its own process",
    "pg_exporter_": "of itself; perfloop_exporter_collector_success and _duration_seconds say it of us",
    "pg_scrape_collector_": "of itself; the same",
    "postgres_exporter_build_info": "of itself",
    "pg_settings_transaction_": "says how it asks, not how the server is set",
}
# What moves while one reads after the other, or is about the reader's own session.
MOVING = {
    "pg_locks_count": "its statement holds one lock more or less than ours",
    "pg_settings_extra_float_digits": "its driver sets it for its own session; ours is the server's",
    "pg_stat_activity_count": "each sees its own session active",
    "pg_stat_activity_max_tx_duration": "grows from one to the other",
    "pg_stat_archiver_last_archive_age": "grows from one to the other",
    "pg_stat_bgwriter_": "grows from one to the other",
    "pg_stat_database_": "grows with each question",
    "pg_stat_replication_reply_time": "grows from one to the other",
    "pg_replication_slots_pg_wal_lsn_diff": "grows from one to the other",
    "pg_stat_replication_pg_": "grows from one to the other",
    "pg_database_size_bytes": "grows with what others do",
}
DATABASE = 'quoted "x" \\ y'


@pytest.fixture
def busy(postgresql: Child, tmp_path: Path) -> Iterator[Child]:
    """The server with a database of a nasty name, and somebody who receives its WAL through a slot."""
    host, _, port = postgresql.address.rpartition(":")
    quoted = '"' + DATABASE.replace('"', '""') + '"'
    with closing(connect(postgresql, "postgres")) as admin, admin.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {quoted}")
        cursor.execute("SELECT pg_create_physical_replication_slot('received', true)")
        argv = [find_binary("pg_receivewal"), "-h", host, "-p", port, "-U", "postgres", "-D", str(tmp_path)]
        with subprocess.Popen([*argv, "-S", "received"], stderr=subprocess.DEVNULL) as receiver:

            def received() -> bool:
                cursor.execute("SELECT flush_lsn IS NOT NULL FROM pg_stat_replication")
                return (True,) in cursor.fetchall()

            eventually(received)
            yield postgresql
            receiver.terminate()
            receiver.wait()

        def released() -> bool:
            cursor.execute("SELECT 1 FROM pg_replication_slots WHERE active")
            return not cursor.fetchall()

        eventually(released)
        cursor.execute("SELECT pg_drop_replication_slot('received')")
        cursor.execute(f"DROP DATABASE {quoted} WITH (FORCE)")


@pytest.fixture
def peer(busy: Child, tmp_path: Path) -> Iterator[Child]:
    child = postgres_exporter(tmp_path, busy.address)
    child.start()
    child.wait_ready()
    yield child
    child.stop()


def read(page: str) -> dict[Series, Typed]:
    """Return type and value of each series; the component is what only we have."""
    return {
        (s.name, frozenset((label, value) for label, value in s.labels.items() if label != "component")): (
            f.type,
            s.value,
        )
        for f in text_string_to_metric_families(page)
        for s in f.samples
    }


def starts(name: str, table: dict[str, str]) -> bool:
    return any(name.startswith(beginning) for beginning in table)


def moves(series: Series) -> bool:
    """Say whether it changes from one reader to the other; in databases that nobody uses nothing does."""
    name, labels = series
    return starts(name, MOVING) and dict(labels).get("datname", "") in {"", "postgres"}


def test_all_that_postgres_exporter_shows_is_there_under_its_names(busy: Child, peer: Child) -> None:
    component = Component(name="db", driver="postgresql", address=busy.address, user="postgres")
    collector = PostgresqlCollector(component, compat=True)

    def both() -> tuple[dict[Series, Typed], dict[Series, Typed]]:
        ours = read(render_page(collector.collect()).decode())
        with urllib.request.urlopen(f"http://{peer.address}/metrics") as answer:
            theirs = read(answer.read().decode())
        # Where there is no value they say NaN, and we nothing.
        return ours, {k: v for k, v in theirs.items() if not starts(k[0], LEFT_OUT) and not math.isnan(v[1])}

    def agreed() -> bool:
        """Nobody else uses these databases; but the autovacuum daemon may come by in between."""
        ours, theirs = both()
        return all(math.isclose(ours[k][1], v, rel_tol=1e-9) for k, (_, v) in theirs.items() if not moves(k))

    def alike() -> bool:
        """What moves is of the same size at least; the server's processes report it when it suits them."""
        ours, theirs = both()
        moving = [(ours[k][1], v) for k, (_, v) in theirs.items() if moves(k) and v > 1000]
        return all(0.1 < one / other < 10 for one, other in moving)

    with closing(collector):
        ours, theirs = both()
        assert {series for series in theirs if series not in ours} == set()
        assert {series for series in ours if series[0].startswith("pg_") and series not in theirs} == set()
        assert {k: (ours[k][0], v[0]) for k, v in theirs.items() if ours[k][0] != v[0]} == {}
        assert sum(not moves(series) for series in theirs) > 400
        eventually(agreed, timeout_seconds=5)
        eventually(alike, timeout_seconds=5)


def test_our_own_names_are_there_as_well_and_stay_clean(postgresql: Child) -> None:
    component = Component(name="db", driver="postgresql", address=postgresql.address, user="postgres")
    with closing(PostgresqlCollector(component, compat=True)) as collector:
        page = render_page(collector.collect()).decode()

    assert "\nperfloop_postgresql_commits_total{" in page
    assert [line for line in lint(page).splitlines() if line.startswith("perfloop_")] == []


def test_a_dead_server_is_not_up_under_both_names(dead_address: str) -> None:
    collector = PostgresqlCollector(Component(name="db", driver="postgresql", address=dead_address), compat=True)

    page = render_page(collector.down()).decode()

    assert 'perfloop_postgresql_up{component="db"} 0\n' in page
    assert 'pg_up{component="db"} 0\n' in page


def test_two_servers_do_not_collide(postgresql: Child) -> None:
    pages = []
    for name in ("one", "two"):
        component = Component(name=name, driver="postgresql", address=postgresql.address, user="postgres")
        with closing(PostgresqlCollector(component, compat=True)) as collector:
            pages += list(collector.collect())

    lines = [line for line in render_page(pages).splitlines() if not line.startswith(b"#")]

    assert len({line.rsplit(b" ", 1)[0] for line in lines}) == len(lines)
