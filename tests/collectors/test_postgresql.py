"""A real PostgreSQL: what was done there is what the page shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from perfloop.collectors.postgres.session import PostgresqlSession
from perfloop.collectors.postgres.settings import Settings, in_base_unit, setting_family
from perfloop.collectors.postgres.sizes import Sizes
from perfloop.collectors.postgresql import PostgresqlCollector
from perfloop.errors import Rejected, Unavailable
from perfloop.model import Component
from perfloop.stack.process import Child
from tests.collectors.pages import Page, lint, page_of
from tests.support import eventually

# A name that needs escaping in SQL, in the page and in a template.
DATABASE = "shop \"100%\" \\ 'x'\t\ny é"


@pytest.fixture
def shop(postgresql: Child) -> Iterator[Any]:
    """A connection to a database of our own, with pg_stat_statements in a schema of its own."""
    with closing(connect(postgresql, "postgres")) as admin, admin.cursor() as cursor:
        quoted = '"' + DATABASE.replace('"', '""') + '"'
        cursor.execute(f"CREATE DATABASE {quoted}")
        with closing(connect(postgresql, DATABASE)) as connection:
            with connection.cursor() as inside:
                inside.execute(
                    "CREATE SCHEMA Stats; CREATE EXTENSION pg_stat_statements SCHEMA Stats;"
                    "CREATE TABLE t (i int PRIMARY KEY); ALTER TABLE t SET (autovacuum_enabled = off)"
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
            cursor.execute("INSERT INTO t VALUES (%s)", (2 * i,))
        cursor.execute("UPDATE t SET i = i + 1 WHERE i < 10")
        cursor.execute("DELETE FROM t WHERE i > 16")
        cursor.execute("BEGIN; INSERT INTO t VALUES (100); ROLLBACK")
        cursor.execute("SELECT count(*) FROM t")
        cursor.execute("SELECT pg_stat_force_next_flush()")
        # The statistics of a backend are flushed when it ends its next statement.
        cursor.execute("SELECT 1")

    def moved() -> Page | None:
        page = page_of(collector.collect())
        return page if count(page, "commits_total") >= count(before, "commits_total") + 10 else None

    page = eventually(moved, what="ten more commits")
    assert page is not None

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


def test_databases_that_come_and_go_are_right_at_the_next_scrape(postgresql: Child) -> None:
    with closing(PostgresqlCollector(component(postgresql.address))) as watching:
        name = "perfloop_postgresql_database_size_bytes"
        with closing(connect(postgresql, "postgres")) as admin, admin.cursor() as cursor:
            before = page_of(watching.collect()).labels(name, "database")
            cursor.execute("CREATE DATABASE comes")
            between = page_of(watching.collect()).labels(name, "database")
            cursor.execute("DROP DATABASE comes")
            after = page_of(watching.collect()).labels(name, "database")

    assert (between - before, after) == ({"comes"}, before)


def test_tables_are_shown_the_largest_first_up_to_the_limit(shop: Any, postgresql: Child) -> None:
    with shop.cursor() as cursor:
        cursor.execute("INSERT INTO t SELECT generate_series(1, 1000); DELETE FROM t WHERE i > 990")
        cursor.execute("VACUUM t")
        cursor.execute('CREATE SCHEMA "o\'%%s"; CREATE TABLE "o\'%%s"."a\\b" (x int)')
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT count(*) FROM t")

    everything = PostgresqlCollector(component(postgresql.address), table_databases=[DATABASE])
    largest = PostgresqlCollector(component(postgresql.address, database=DATABASE), max_tables=1)
    none = PostgresqlCollector(component(postgresql.address, database=DATABASE), max_tables=0)
    labels = {"component": "db", "database": DATABASE, "schema": "public", "table": "t"}
    with closing(everything), closing(largest), closing(none):

        def counted() -> Page | None:
            page = page_of(everything.collect())
            return page if page.value("perfloop_postgresql_table_rows_inserted_total", **labels) == 1000 else None

        page = eventually(counted, what="1000 rows inserted")
        cut, without = page_of(largest.collect()), page_of(none.collect())

    assert page is not None
    assert page.labels("perfloop_postgresql_table_live_rows", "table") == {"t", "a\\b"}
    assert page.value("perfloop_postgresql_table_vacuums_total", **labels) == 1
    assert page.value("perfloop_postgresql_table_last_vacuum_timestamp_seconds", **labels) > 1.5e9
    assert page.value("perfloop_postgresql_table_size_bytes", **labels) >= 4 * 8192
    assert "perfloop_postgresql_table_last_analyze_timestamp_seconds" not in page.names()
    assert cut.labels("perfloop_postgresql_table_live_rows", "table") == {"t"}
    assert cut.value("perfloop_postgresql_tables", component="db", database=DATABASE) == 2
    assert not any(name.startswith("perfloop_postgresql_table") for name in without.names())


def test_a_database_whose_tables_cannot_be_read_takes_nothing_else_away(postgresql: Child) -> None:
    watching = PostgresqlCollector(component(postgresql.address), table_databases=["not there"])

    with closing(watching):
        page = page_of(watching.collect())

    assert page.value("perfloop_postgresql_tables_readable", component="db", database="not there") == 0
    assert page.value("perfloop_postgresql_tables_readable", component="db", database="postgres") == 1
    assert page.value("perfloop_postgresql_up", component="db") == 1


def test_what_the_server_refuses_takes_nothing_else_away(postgresql: Child, caplog: pytest.LogCaptureFixture) -> None:
    readable = "perfloop_postgresql_views_readable"
    with closing(connect(postgresql, "postgres")) as admin, admin.cursor() as cursor:
        cursor.execute("CREATE ROLE hardened LOGIN; REVOKE EXECUTE ON FUNCTION pg_lock_status() FROM PUBLIC")
        with closing(PostgresqlCollector(component(postgresql.address, user="hardened"))) as watching:
            refused = [page_of(watching.collect()) for _ in range(2)]
            cursor.execute("GRANT EXECUTE ON FUNCTION pg_lock_status() TO PUBLIC")
            granted = page_of(watching.collect())
        cursor.execute("DROP ROLE hardened")

    for page in refused:
        assert page.value(readable, component="db", views="databases") == 0
        assert page.value(readable, component="db", views="sizes") == 1
        assert page.value("perfloop_postgresql_up", component="db") == 1
        assert "perfloop_postgresql_setting_work_mem_bytes" in page.names()
    assert granted.value(readable, component="db", views="databases") == 1
    assert "perfloop_postgresql_locks" in granted.names()
    assert [record.getMessage() for record in caplog.records] == ["views cannot be read"]


@pytest.mark.parametrize(
    ("seconds", "asked"),
    [pytest.param(0.01, 5, id="fast: each time"), pytest.param(2.0, 2, id="slow: every 200 s")],
)
def test_sizes_that_take_long_are_asked_less_often(seconds: float, asked: int) -> None:
    times: list[float] = []
    now = [0.0]

    def ask(_: str) -> list[tuple[bytes, ...]]:
        times.append(now[0])
        now[0] += seconds
        return [(b"true", b"shop", b"%d" % len(times))]

    sizes = Sizes(fixed=("db",), clock=lambda: 1e9 + now[0], stopwatch=lambda: now[0])
    pages = []
    for scraped_at in (0.0, 60.0, 120.0, 180.0, 240.0):
        now[0] = max(now[0], scraped_at)
        pages.append(page_of(sizes.samples(ask)))

    assert len(times) == asked
    assert [page.value("perfloop_postgresql_database_size_bytes", component="db", database="shop") for page in pages][
        -1
    ] == asked
    collected = pages[-2].value("perfloop_postgresql_database_size_last_collect_timestamp_seconds", component="db")
    assert collected == pytest.approx(1e9 + times[-2 if asked == 5 else 0] + seconds)


def test_settings_are_in_base_units_and_follow_a_reload(postgresql: Child) -> None:
    def setting(page: Page, name: str) -> float:
        return page.value(f"perfloop_postgresql_setting_{name}", component="db")

    watching = PostgresqlCollector(component(postgresql.address))
    with closing(watching), closing(connect(postgresql, "postgres")) as admin, admin.cursor() as cursor:
        before = page_of(watching.collect())
        cursor.execute("ALTER SYSTEM SET work_mem = '5MB'")
        cursor.execute("SELECT pg_reload_conf()")
        eventually(lambda: setting(page_of(watching.collect()), "work_mem_bytes") == 5 * 1024**2)
        cursor.execute("ALTER SYSTEM RESET work_mem")
        cursor.execute("SELECT pg_reload_conf()")
        eventually(lambda: setting(page_of(watching.collect()), "work_mem_bytes") == 4 * 1024**2)

    assert setting(before, "checkpoint_timeout_seconds") == 300
    assert setting(before, "wal_segment_size_bytes") == 16 * 1024**2
    assert setting(before, "bgwriter_delay_seconds") == 0.2
    assert setting(before, "fsync") == 0
    assert setting(before, "log_min_duration_statement_seconds") == -1
    assert setting(before, "statement_timeout_seconds") == 0, "the server's, not the exporter's own"
    assert setting(before, "tcp_keepalives_count_value") == 9, "_count would say that it is a histogram's"
    assert lint(before.text) == ""


@pytest.mark.parametrize(
    ("setting", "unit", "expected"),
    [
        pytest.param("on", "", ("", b"1"), id="yes"),
        pytest.param("off", "", ("", b"0"), id="no"),
        pytest.param("16384", "8kB", ("_bytes", b"134217728"), id="blocks"),
        pytest.param("1", "16MB", ("_bytes", b"16777216"), id="WAL files"),
        pytest.param("-1", "kB", ("_bytes", b"-1"), id="no size"),
        pytest.param("2", "ms", ("_seconds", b"0.002"), id="milliseconds"),
        pytest.param("1440", "min", ("_seconds", b"86400"), id="minutes"),
        pytest.param("0.1", "", ("", b"0.1"), id="a share"),
        pytest.param("3", "furlongs", ("", b"3"), id="a unit from elsewhere"),
        pytest.param("Infinity", "", ("", b""), id="infinite"),
        pytest.param("five", "s", ("_seconds", b""), id="a word"),
    ],
)
def test_a_setting_is_shown_in_its_base_unit(setting: str, unit: str, expected: tuple[str, bytes]) -> None:
    assert in_base_unit(setting, unit) == expected


def test_settings_whose_names_fall_together_are_shown_once() -> None:
    rows = [(b"ext.a-b", b"1", b"", b"One."), (b"ext.a_b", b"2", b"", b"Other.")]

    page = page_of(Settings(rows, family=setting_family, fixed=("db",)).samples)

    assert page.value("perfloop_postgresql_setting_ext_a_b", component="db") == 1


def test_locks_and_who_waits_for_them_are_seen(shop: Any, postgresql: Child, collector: PostgresqlCollector) -> None:
    with closing(connect(postgresql, DATABASE)) as other, shop.cursor() as holder, other.cursor() as waiter:
        holder.execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        page = page_of(collector.collect())
        labels = {"component": "db", "database": DATABASE}
        assert page.value("perfloop_postgresql_locks", mode="AccessExclusiveLock", **labels) == 1
        assert page.value("perfloop_postgresql_locks", mode="ShareLock", **labels) == 0
        assert page.value("perfloop_postgresql_locks_waiting", **labels) == 0
        assert page.value("perfloop_postgresql_oldest_transaction_start_timestamp_seconds", **labels) > 1.5e9
        # Neither this lock nor any other holds us up.
        assert page.value("perfloop_postgresql_tables", **labels) == 1
        holder.execute("ROLLBACK")
        del waiter


def test_nothing_can_be_written_over_our_connection(postgresql: Child) -> None:
    session = PostgresqlSession(component(postgresql.address), database="postgres", timeout_seconds=5)

    with closing(session), pytest.raises(Rejected, match="read-only transaction"):
        session.ask("INSERT INTO pg_statistic_ext SELECT * FROM pg_statistic_ext RETURNING 'x'")


def test_a_slow_server_is_given_up_at_the_limit(postgresql: Child) -> None:
    session = PostgresqlSession(component(postgresql.address), database="postgres", timeout_seconds=0.1)

    with closing(session), pytest.raises(Rejected, match="statement timeout"):
        session.ask("SELECT 'x' FROM pg_sleep(9)")


def test_an_extension_that_is_created_later_is_right_at_the_next_scrape(postgresql: Child) -> None:
    watching = PostgresqlCollector(component(postgresql.address))
    with closing(watching), closing(connect(postgresql, "postgres")) as admin, admin.cursor() as cursor:
        pages = [page_of(watching.collect())]
        for statement in ("CREATE EXTENSION pg_stat_statements", "DROP EXTENSION pg_stat_statements"):
            cursor.execute(statement)
            pages.append(page_of(watching.collect()))

    seen = ["perfloop_postgresql_statement_seconds_total" in page.names() for page in pages]
    assert seen == [False, True, False]


# The views as other versions have them, in a schema that is looked at first.
VERSION_12 = """
CREATE VIEW stub.pg_stat_database AS
  SELECT datid, datname, numbackends, xact_commit, xact_rollback, blks_read, blks_hit, tup_returned, tup_fetched,
         tup_inserted, tup_updated, tup_deleted, conflicts, temp_files, temp_bytes, deadlocks, checksum_failures,
         checksum_last_failure, blk_read_time, blk_write_time, stats_reset FROM pg_catalog.pg_stat_database;
CREATE VIEW stub.pg_stat_wal AS SELECT stats_reset FROM pg_catalog.pg_stat_wal;
CREATE VIEW stub.pg_replication_slots AS SELECT slot_name, plugin, slot_type, datoid, database, temporary, active,
         active_pid, xmin, catalog_xmin, restart_lsn, confirmed_flush_lsn FROM pg_catalog.pg_replication_slots"""
VERSION_17 = """
CREATE VIEW stub.pg_stat_bgwriter AS
  SELECT buffers_clean, maxwritten_clean, buffers_alloc, stats_reset FROM pg_catalog.pg_stat_bgwriter;
CREATE VIEW stub.pg_stat_checkpointer AS
  SELECT 5::bigint AS num_timed, 6::bigint AS num_requested, 1500::float8 AS write_time, 20::float8 AS sync_time,
         7::bigint AS buffers_written, stats_reset FROM pg_catalog.pg_stat_bgwriter"""


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize(
    ("views", "there", "absent"),
    [
        pytest.param(
            VERSION_12,
            {"perfloop_postgresql_commits_total", "perfloop_postgresql_checkpoints_timed_total"},
            {"perfloop_postgresql_sessions_total", "perfloop_postgresql_wal_records_total"},
            id="as in 12",
        ),
        pytest.param(
            VERSION_17,
            {"perfloop_postgresql_checkpoint_write_seconds_total", "perfloop_postgresql_buffers_allocated_total"},
            {"perfloop_postgresql_backend_fsyncs_total"},
            id="as in 17",
        ),
    ],
)
def test_what_a_version_does_not_have_is_absent(
    postgresql: Child, views: str, there: set[str], absent: set[str], *, compat: bool
) -> None:
    with closing(connect(postgresql, "postgres")) as admin, admin.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA stub; {views}")
        watching = PostgresqlCollector(
            component(postgresql.address), compat=compat, search_path="stub, pg_catalog", settings=False
        )
        with closing(watching):
            page = page_of(watching.collect())
        cursor.execute("DROP SCHEMA stub CASCADE")

    assert there <= page.names()
    assert absent.isdisjoint(page.names())
    if views == VERSION_17:
        assert page.value("perfloop_postgresql_checkpoints_timed_total", component="db") == 5
        assert page.value("perfloop_postgresql_checkpoint_write_seconds_total", component="db") == 1.5


def test_a_view_that_somebody_made_under_a_newer_name_is_not_believed(postgresql: Child) -> None:
    with closing(connect(postgresql, "postgres")) as admin, admin.cursor() as cursor:
        cursor.execute("CREATE VIEW public.pg_stat_checkpointer AS SELECT 99 AS num_timed")
        with closing(PostgresqlCollector(component(postgresql.address))) as watching:
            page = page_of(watching.collect())
        cursor.execute("DROP VIEW public.pg_stat_checkpointer")

    assert page.value("perfloop_postgresql_checkpoints_timed_total", component="db") != 99
