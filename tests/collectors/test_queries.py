"""Statements of the user's own against a real PostgreSQL."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfloop.app.collectors import build_collectors
from perfloop.collectors.postgres.statements import PostgresqlStatements
from perfloop.collectors.queries import QueriesCollector
from perfloop.collectors.queries_result import Column, Query, Result, Shown, label_of, show, token_of
from perfloop.config import parse
from perfloop.errors import Rejected, Unavailable
from perfloop.exposition.block import Block
from perfloop.model import Component, MetricType
from perfloop.stack.process import Child
from tests.collectors.pages import Page, lint, page_of
from tests.collectors.test_guard import Scraper
from tests.collectors.test_postgresql import connect
from tests.support import eventually

ORDERS = """SELECT shop, count(*) AS orders, sum(amount) AS amount_euros
  FROM (VALUES ('north', 1.5), ('north', 2), (E'so"u\\nth', 7)) t(shop, amount) GROUP BY shop ORDER BY shop"""


def query(sql: str, *columns: str, labels: tuple[str, ...] = (), name: str = "q", **options: Any) -> Query:
    """Return a query whose columns are gauges, but counters where they end in !."""
    values = tuple(
        Column(name=c.removesuffix("!"), type=MetricType.COUNTER if c.endswith("!") else MetricType.GAUGE)
        for c in columns or ("x",)
    )
    return Query(name=name, sql=sql, labels=labels, values=values, **options)


@pytest.fixture
def ask(postgresql: Child) -> Iterator[Any]:
    """Make a collector of queries, which is closed in the end."""
    made: list[QueriesCollector] = []

    def make(*queries: Query, address: str = postgresql.address) -> QueriesCollector:
        component = Component(name="db", driver="postgresql", address=address, user="postgres", database="postgres")
        made.append(QueriesCollector(component, queries, connect=PostgresqlStatements))
        return made[-1]

    yield make
    for collector in made:
        collector.close()


def success(page: Page, name: str = "q") -> float:
    return page.value("perfloop_query_success", component="db", query=name)


def test_rows_become_series(ask: Any) -> None:
    page = page_of(ask(query(ORDERS, "orders!", "amount_euros", labels=("shop",), name="sales")).collect())

    assert page.value("perfloop_query_sales_orders_total", component="db", shop="north") == 2
    assert page.value("perfloop_query_sales_amount_euros", component="db", shop='so"u\nth') == 7
    assert success(page, "sales") == 1
    assert page.value("perfloop_query_last_collect_timestamp_seconds", component="db", query="sales") > 1.5e9
    assert lint(page.text) == ""


def test_what_is_no_number_is_absent_and_counted_and_null_only_absent(ask: Any) -> None:
    sql = "SELECT * FROM (VALUES ('a', 1.0, NULL), ('b', 'NaN', 'word'), ('c', 'infinity', '3')) t(k, x, y)"
    page = page_of(ask(query(sql, "x", "y", labels=("k",))).collect())

    assert page.labels("perfloop_query_q_x", "k") == {"a"}
    assert "perfloop_query_q_y" not in page.names(), "text is no number, whatever it looks like"
    assert page.value("perfloop_query_ignored_values_total", component="db", query="q") == 2


def test_rows_beyond_the_limit_are_cut_visibly(ask: Any) -> None:
    sql = "SELECT i AS k, i AS x FROM generate_series(1, 1000) i"
    collector = ask(query(sql, labels=("k",), max_rows=3))

    collector.collect()
    page = page_of(collector.collect())

    assert page.labels("perfloop_query_q_x", "k") == {"1", "2", "3"}
    assert page.value("perfloop_query_truncated_total", component="db", query="q") == 2


def test_rows_with_the_same_labels_are_refused_visibly(ask: Any) -> None:
    page = page_of(ask(query("SELECT 'a' AS k, i AS x FROM generate_series(1, 3) i", labels=("k",))).collect())

    assert page.value("perfloop_query_q_x", component="db", k="a") == 1
    assert page.value("perfloop_query_repeated_rows_total", component="db", query="q") == 2


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        pytest.param("SELECT 'hunter2'::int AS x", "InvalidTextRepresentation, SQLSTATE 22P02", id="wrong value"),
        pytest.param("SELECT x FROM hunter2", "UndefinedTable, SQLSTATE 42P01", id="no such table"),
        pytest.param("hunter2", "SyntaxError, SQLSTATE 42601", id="no SQL"),
        pytest.param("SELECT 1 AS y", "the result has no column x", id="another column"),
        pytest.param("SELECT 1 AS x FROM pg_sleep(9)", "QueryCanceled, SQLSTATE 57014", id="too slow"),
        pytest.param("SELECT nextval('hunter2') AS x", "UndefinedTable, SQLSTATE 42P01", id="a sequence"),
    ],
)
def test_a_failing_query_takes_nothing_else_away(
    ask: Any, sql: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    collector = ask(query(sql, name="bad", timeout_seconds=0.2), query("SELECT 1 AS x", name="good"))

    collector.collect()
    page = page_of(collector.collect())

    assert (success(page, "bad"), success(page, "good")) == (0, 1)
    assert page.value("perfloop_query_good_x", component="db") == 1
    assert "perfloop_query_bad_x" not in page.names()
    [record] = caplog.records
    assert (record.getMessage(), vars(record)["reason"]) == ("query failed", reason)
    assert "hunter2" not in str(vars(record))


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("SELECT spoil() AS x", id="a function"),
        pytest.param("INSERT INTO kept VALUES (1) RETURNING x", id="a statement that writes"),
        pytest.param("SELECT 1 AS x; COMMIT; INSERT INTO kept VALUES (1)", id="behind the end of our transaction"),
    ],
)
def test_nothing_can_be_written(ask: Any, postgresql: Child, sql: str) -> None:
    with closing(connect(postgresql, "postgres")) as admin, admin.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE kept (x int); CREATE FUNCTION spoil() RETURNS int LANGUAGE sql AS "
            "'INSERT INTO kept VALUES (1) RETURNING x'"
        )
        page = page_of(ask(query(sql)).collect())
        cursor.execute("SELECT count(*) FROM kept")
        found = cursor.fetchone()
        cursor.execute("DROP FUNCTION spoil; DROP TABLE kept")

    assert success(page) == 0
    assert found == (0,)


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        pytest.param("SELECT 5 % 3 AS x;", 2, id="percent and semicolon"),
        pytest.param("SELECT 1 AS x -- the one", 1, id="comment"),
        pytest.param("WITH a AS (SELECT 4 AS x) SELECT * FROM a", 4, id="with"),
        pytest.param("SELECT '}{'::text = '}{' AS x", 1, id="braces, and a truth"),
    ],
)
def test_sql_is_taken_as_it_stands(ask: Any, sql: str, value: float) -> None:
    assert page_of(ask(query(sql)).collect()).value("perfloop_query_q_x", component="db") == value


def test_a_result_is_kept_for_its_interval(ask: Any) -> None:
    sql = "SELECT extract(epoch FROM clock_timestamp()) AS x"
    collector = ask(query(sql, name="kept", min_interval_seconds=3600), query(sql, name="fresh"))

    first, second = page_of(collector.collect()), page_of(collector.collect())

    assert first.values("perfloop_query_kept_x") == second.values("perfloop_query_kept_x")
    assert first.values("perfloop_query_fresh_x") < second.values("perfloop_query_fresh_x")
    assert "Asked at most every 3600 s." in first.text


def test_a_restart_of_the_server_costs_one_page_at_most(ask: Any, postgresql: Child) -> None:
    collector = ask(query("SELECT 1 AS x", min_interval_seconds=3600), query("SELECT 1 AS x", name="other"))
    page_of(collector.collect())
    with closing(connect(postgresql, "postgres")) as admin, admin.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'perfloop exporter'"
        )

    with pytest.raises(Unavailable):
        collector.collect()
    between, after = page_of(collector.down()), page_of(collector.collect())

    assert (success(between), success(between, "other")) == (1, 0), "what is good for an hour is good"
    assert (success(after), success(after, "other")) == (1, 1)


def test_a_dead_server_is_said_of_each_query(ask: Any, dead_address: str) -> None:
    collector = ask(query("SELECT 1 AS x"), query("SELECT 1 AS x", name="other"), address=dead_address)

    with pytest.raises(Unavailable, match="refused"):
        collector.collect()

    page = page_of(collector.down())
    assert (success(page), success(page, "other")) == (0, 0)


def test_a_slow_query_delays_the_others_by_nothing(ask: Any) -> None:
    collector = ask(query("SELECT 1 AS x FROM pg_sleep(0.4)", name="slow"), query("SELECT 1 AS x", name="fast"))
    scraper = Scraper(collector, budget_seconds=0.15)

    # The first asking is in no order yet; from then on the slow one is last.
    eventually(lambda: scraper.scrape().values("perfloop_query_fast_x") == [1.0])
    pages = [scraper.scrape() for _ in range(5)]
    scraper.guard.close()

    assert all(page.values("perfloop_query_fast_x") == [1.0] for page in pages)
    assert all(success(page, "fast") == 1 for page in pages)


@given(
    st.lists(st.tuples(st.text() | st.none() | st.binary(), st.none() | st.integers() | st.floats() | st.decimals()))
)
@settings(max_examples=50, deadline=None)
def test_whatever_the_rows_hold_the_page_can_be_read(rows: list[tuple[object, object]]) -> None:
    asked = query("SELECT …", labels=("k",), max_rows=10)
    block = Block(asked.families, fixed=("db",))

    shown = show(asked, Result(("x", "k"), [(x, k) for k, x in rows]), block=block, before=Shown())

    page_of(shown.samples)


@pytest.mark.parametrize(
    ("value", "token"),
    [
        pytest.param(True, b"1", id="yes"),
        pytest.param(10**30, b"1" + b"0" * 30, id="a long one"),
        pytest.param(Decimal("1E+5"), b"1E+5", id="with an exponent"),
        pytest.param(Decimal("-0.10"), b"-0.10", id="decimal"),
        pytest.param(Decimal("NaN"), b"", id="decimal NaN"),
        pytest.param(float("inf"), b"", id="infinity"),
        pytest.param("1", None, id="text"),
        pytest.param(b"1", None, id="bytes"),
    ],
)
def test_values_are_shown_as_they_are(value: object, token: bytes | None) -> None:
    assert token_of(value) == token


def test_labels_of_any_type_are_text() -> None:
    assert [label_of(v) for v in (None, b"\xff", memoryview(b"x"), 1)] == ["", "\ufffd", "x", "1"]


def test_a_result_that_lacks_columns_names_them() -> None:
    asked = query("SELECT …", "x", "y", labels=("k",))

    with pytest.raises(Rejected, match="no column k, y"):
        show(asked, Result(("x",), []), block=Block(asked.families, fixed=("db",)), before=Shown())


def test_queries_are_asked_as_perfloop_yml_says(postgresql: Child, tmp_path: Path) -> None:
    text = f"""
components:
  db:
    driver: postgresql
    address: {postgresql.address}
    user: postgres
    settings: false
    queries:
      - name: numbers
        sql: SELECT 'odd' AS kind, 3 AS largest, 2 AS seen
        labels: [kind]
        values:
          largest: {{type: gauge, help: The largest one}}
          seen: {{type: counter}}
"""
    recipes = build_collectors(parse(text), base=tmp_path, environ={})
    made = [recipe.make() for recipe in recipes]

    pages = {collector.name: page_of(collector.collect()) for collector in made if collector.component == "db"}
    for collector in made:
        collector.close()

    assert pages["queries"].value("perfloop_query_numbers_largest", component="db", kind="odd") == 3
    assert pages["queries"].value("perfloop_query_numbers_seen_total", component="db", kind="odd") == 2
    assert "# HELP perfloop_query_numbers_largest The largest one, query numbers of" in pages["queries"].text
    assert not any("_setting_" in name for name in pages["postgresql"].names())
    assert recipes == build_collectors(parse(text), base=tmp_path, environ={}), "a reload keeps what has not changed"
