"""A real MariaDB: what was done there is what the page shows."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from perfloop.collectors.mariadb.answers import former, tables_of, token_of
from perfloop.collectors.mariadb.session import MysqlSession
from perfloop.collectors.mariadb.statements import MysqlStatements
from perfloop.collectors.mysql import MysqlCollector
from perfloop.errors import PerfloopError, Rejected, Unavailable
from perfloop.exposition.page import render_page
from perfloop.model import Component, Encryption
from perfloop.stack import servers
from perfloop.stack.process import Child, free_port
from tests.collectors.certificates import Certificate, certificate
from tests.collectors.doubles import answering, flooding, greeting, talking
from tests.collectors.pages import Page, lint, page_of
from tests.support import eventually, freeze

Cursor = Any


def component(
    address: str, *, user: str = "root", password: str = "", database: str = "", encryption: Encryption | None = None
) -> Component:
    return Component(
        name="shop",
        driver="mysql",
        address=address,
        user=user,
        password=password,
        database=database,
        encryption=encryption,
    )


def value(page: Page, name: str, **labels: str) -> float:
    return page.value(f"perfloop_mysql_{name}", component="shop", **labels)


def measured(made: MysqlCollector) -> Page:
    try:
        return page_of(made.collect())
    finally:
        made.close()


def port_of(server: Child) -> int:
    return int(server.address.rpartition(":")[2])


@contextmanager
def logged_in(server: Child, *, autocommit: bool = True) -> Iterator[Cursor]:
    with pymysql.connect(host="127.0.0.1", port=port_of(server), user="root", autocommit=autocommit) as connection:
        yield connection.cursor()


@pytest.fixture
def root(mariadb: Child) -> Iterator[Cursor]:
    with logged_in(mariadb) as cursor:
        cursor.execute("CREATE DATABASE IF NOT EXISTS shop")
        cursor.execute("CREATE OR REPLACE TABLE shop.orders (id INT PRIMARY KEY, state VARCHAR(9)) ENGINE=InnoDB")
        yield cursor


@pytest.fixture
def collector(mariadb: Child) -> Iterator[MysqlCollector]:
    made = MysqlCollector(component(mariadb.address))
    yield made
    made.close()


@pytest.fixture(scope="module")
def replica(mariadb: Child, server_folder: Path) -> Iterator[tuple[Child, Certificate]]:
    """A MariaDB that asks for TLS, and replicates from the other over a channel of the name `main`."""
    folder = server_folder / "replica"
    folder.mkdir()
    folder.chmod(0o755)
    made = certificate(folder)
    options = {"server-id": "2", "ssl-cert": str(made.file), "ssl-key": str(made.key), "ssl-ca": str(made.file)}
    child = servers.mariadb(folder, port=free_port(), settings=options)
    child.start()
    child.wait_ready()
    with logged_in(child) as cursor:
        cursor.execute(
            f"CHANGE MASTER 'main' TO MASTER_HOST='127.0.0.1', MASTER_PORT={port_of(mariadb)}, MASTER_USER='root',"
            " MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=slave_pos"
        )
        cursor.execute("START SLAVE 'main'")
        cursor.execute("CHANGE MASTER 'spare' TO MASTER_HOST='127.0.0.1', MASTER_PORT=1, MASTER_USER='root'")
    yield child, made
    child.stop()


def test_statements_and_rows_are_counted(root: Cursor, collector: MysqlCollector) -> None:
    before = page_of(collector.collect())
    for i in range(5):
        root.execute("INSERT INTO shop.orders VALUES (%s, 'new')", (i,))
    root.execute("SELECT * FROM shop.orders")

    page = page_of(collector.collect())

    def grown(name: str, **labels: str) -> float:
        return value(page, name, **labels) - value(before, name, **labels)

    assert grown("commands_total", command="insert") == 5
    assert grown("commands_total", command="select") >= 1
    assert grown("handlers_total", handler="write") >= 5
    assert grown("questions_total") >= 6
    assert grown("binlog_written_bytes_total") > 100
    assert value(page, "binlog_size_bytes") > value(before, "binlog_size_bytes")
    assert value(page, "binlog_files") >= 1
    assert value(page, "threads_connected") >= 2
    assert value(page, "max_connections") == 151
    assert value(page, "innodb_buffer_pool_max_bytes") == 16 * 1024 * 1024
    states = {"data", "free", "misc"}
    assert page.labels("perfloop_mysql_innodb_buffer_pool_pages", "state") == states
    assert sum(value(page, "innodb_buffer_pool_pages", state=state) for state in states) > 500
    assert value(page, "innodb_compressions_total", page_size="16384") == 0
    assert value(page, "read_only") == 0
    assert value(page, "binlog_enabled") == 1
    assert not [name for name in page.names() if "galera" in name]
    assert lint(page.text) == ""
    assert list(read_openmetrics(render_page(collector.collect(), openmetrics=True).decode()))


def test_the_start_is_a_time_that_stands_still(collector: MysqlCollector) -> None:
    starts = {value(page_of(collector.collect()), "start_timestamp_seconds") for _ in range(5)}

    assert len(starts) == 1
    assert starts.pop() == pytest.approx(time.time(), abs=3600)


def test_the_oldest_open_transaction_is_shown(root: Cursor, mariadb: Child, collector: MysqlCollector) -> None:
    assert "perfloop_mysql_oldest_transaction_timestamp_seconds" not in page_of(collector.collect()).names()

    with logged_in(mariadb, autocommit=False) as other:
        other.execute("INSERT INTO shop.orders VALUES (99, 'open')")

        page = eventually(lambda: _with_transactions(collector), what="the transaction")

    assert value(page, "oldest_transaction_timestamp_seconds") == pytest.approx(time.time(), abs=10)


def _with_transactions(collector: MysqlCollector) -> Page | None:
    # InnoDB shows its last list again to whom asks more often than ten times a second.
    time.sleep(0.15)
    page = page_of(collector.collect())
    return page if value(page, "transactions") >= 1 else None


def test_a_lock_that_is_waited_for_is_seen(root: Cursor, mariadb: Child, collector: MysqlCollector) -> None:
    root.execute("INSERT INTO shop.orders VALUES (1, 'new')")
    before = value(page_of(collector.collect()), "innodb_row_lock_waits_total")
    with logged_in(mariadb, autocommit=False) as other:
        other.execute("UPDATE shop.orders SET state = 'held' WHERE id = 1")
        root.execute("SET SESSION innodb_lock_wait_timeout = 1")
        with pytest.raises(pymysql.err.OperationalError, match="Lock wait timeout"):
            root.execute("UPDATE shop.orders SET state = 'wanted' WHERE id = 1")

    page = page_of(collector.collect())

    assert value(page, "innodb_row_lock_waits_total") == before + 1
    assert 0.5 < value(page, "innodb_row_lock_seconds_total") < 60


def test_each_channel_of_replication_is_shown(root: Cursor, replica: tuple[Child, Certificate], mariadb: Child) -> None:
    below = MysqlCollector(component(replica[0].address))
    eventually(lambda: _lag(below) == 0, what="the replica")

    page = measured(below)

    assert value(page, "replica_receiver_running", channel="main") == 1
    assert value(page, "replica_applier_running", channel="main") == 1
    assert value(page, "replica_applier_error_code", channel="main") == 0
    assert value(page, "replica_receiver_running", channel="spare") == 0
    assert page.labels("perfloop_mysql_replica_lag_seconds", "channel") == {"main"}, "unknown lag is not 0"
    assert value(page, "replica_primary_info", channel="main", host="127.0.0.1", port=str(port_of(mariadb))) == 1
    assert value(measured(MysqlCollector(component(mariadb.address))), "replicas_connected") == 1
    assert "perfloop_mysql_binlog_files" not in page.names()
    assert lint(page.text) == ""


def _lag(collector: MysqlCollector) -> float:
    lags = page_of(collector.collect()).values("perfloop_mysql_replica_lag_seconds", channel="main")
    return lags[0] if lags else -1


def test_the_rights_in_the_documents_are_enough_and_no_more(root: Cursor, mariadb: Child) -> None:
    text = (Path(__file__).parents[2] / "docs" / "collectors" / "mysql.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    for statement in block.replace("localhost", "'127.0.0.1'").replace("PASSWORD", "secret").strip().split("\n"):
        root.execute(statement)
    watcher = component(mariadb.address, user="perfloop", password="secret")
    full = measured(MysqlCollector(component(mariadb.address)))

    page = measured(MysqlCollector(watcher))

    assert page.names() == full.names()
    statements = MysqlStatements(watcher)
    with pytest.raises(Rejected, match="1142"):
        statements.run("SELECT * FROM shop.orders", max_rows=1, timeout_seconds=1)
    statements.close()
    root.execute("DROP USER perfloop@'127.0.0.1'")


def test_what_is_refused_costs_its_own_samples_and_is_not_asked_again(root: Cursor, mariadb: Child) -> None:
    root.execute("CREATE OR REPLACE USER nobody IDENTIFIED BY 'secret'")
    collector = MysqlCollector(component(mariadb.address, user="nobody", password="secret"))

    first = page_of(collector.collect())
    denied = value(first, "access_denied_total")
    again = [value(page_of(collector.collect()), "access_denied_total") for _ in range(2)]

    assert value(first, "questions_total") > 0
    assert {"perfloop_mysql_transactions", "perfloop_mysql_binlog_files"}.isdisjoint(first.names())
    assert again[0] == again[1]
    assert denied <= again[0]
    assert lint(first.text) == ""
    collector.close()
    root.execute("DROP USER nobody")


def test_a_refused_login_says_nothing_of_the_password(mariadb: Child) -> None:
    with pytest.raises(Unavailable, match="Access denied") as caught:
        MysqlCollector(component(mariadb.address, user="perfloop", password="geheim")).collect()

    assert "geheim" not in str(caught.value)


def test_tls_is_checked_against_the_authority(replica: tuple[Child, Certificate]) -> None:
    server, made = replica
    for trusting in (
        Encryption(ca_file=str(made.file)),
        Encryption(ca_file=str(made.file), server_name="localhost"),
        Encryption(ca_file=str(made.file), certificate_file=str(made.file), key_file=str(made.key)),
        Encryption(verify=False),
    ):
        page = measured(MysqlCollector(component(server.address, encryption=trusting)))
        assert value(page, "tls_handshakes_total") >= 1
    for mistaken, said in ((Encryption(), "self-signed"), (Encryption(ca_file=str(made.file), server_name="b"), "'b'")):
        with pytest.raises(Unavailable, match=said):
            MysqlCollector(component(server.address, encryption=mistaken)).collect()


def test_a_server_without_tls_is_no_substitute_for_one_with(mariadb: Child) -> None:
    with pytest.raises(Unavailable, match="SSL"):
        MysqlCollector(component(mariadb.address, encryption=Encryption(verify=False))).collect()


def test_a_unix_socket_is_an_address_too(mariadb: Child, server_folder: Path) -> None:
    path = server_folder / "mariadb" / "mariadb.sock"

    assert value(measured(MysqlCollector(component(str(path)))), "up") == 1


def test_what_is_asked_of_mysql_says_the_same_here(mariadb: Child) -> None:
    session = MysqlSession(component(mariadb.address), timeout_seconds=5)
    status, variables, started_at = tables_of(session)
    session.mariadb = False

    status_shown, variables_shown, not_known = tables_of(session)

    assert status_shown.keys() == status.keys()
    assert variables_shown == variables
    assert (started_at.isdigit(), not_known) == (True, b""), "performance_schema has no such table in MariaDB"
    session.close()


def test_replication_has_the_same_names_in_every_version() -> None:
    said = {"replica_io_running": "Yes", "source_host": "db", "seconds_behind_source": "3", "channel_name": "main"}

    assert former(said) == {
        "slave_io_running": "Yes",
        "master_host": "db",
        "seconds_behind_master": "3",
        "channel_name": "main",
    }


# -- statements of the user's own --------------------------------------------------------------------------------------


@pytest.fixture
def statements(root: Cursor, mariadb: Child) -> Iterator[MysqlStatements]:
    root.executemany("INSERT INTO shop.orders VALUES (%s, %s)", [(i, "new" if i % 2 else "sent") for i in range(10)])
    made = MysqlStatements(component(mariadb.address, database="shop"))
    yield made
    made.close()


def test_rows_come_with_the_names_of_their_columns_and_at_most_as_many_as_asked_for(
    statements: MysqlStatements,
) -> None:
    result = statements.run(
        "SELECT state, COUNT(*) AS number, AVG(id) AS mean FROM orders GROUP BY state ORDER BY state",
        max_rows=5,
        timeout_seconds=2,
    )
    cut = statements.run("SELECT id FROM orders", max_rows=3, timeout_seconds=2)

    assert list(result.columns) == ["state", "number", "mean"]
    assert [tuple(map(str, row)) for row in result.rows] == [("new", "5", "5.0000"), ("sent", "5", "4.0000")]
    assert len(cut.rows) == 3


def test_a_statement_neither_writes_nor_lasts_nor_is_repeated_in_errors(
    statements: MysqlStatements, root: Cursor
) -> None:
    started_at = time.monotonic()
    with pytest.raises(Rejected, match="1969"):
        statements.run("SELECT SLEEP(20)", max_rows=1, timeout_seconds=0.2)
    assert time.monotonic() - started_at < 2
    with pytest.raises(Rejected, match="1792"):
        statements.run("DELETE FROM orders", max_rows=1, timeout_seconds=1)
    with pytest.raises(Rejected) as caught:
        statements.run("SELEC geheim", max_rows=1, timeout_seconds=1)
    assert "geheim" not in str(caught.value)
    root.execute("SELECT COUNT(*) FROM shop.orders")
    assert root.fetchone() == (10,)
    assert statements.run("SELECT 1 AS one", max_rows=1, timeout_seconds=1).rows == [(1,)]


# -- what is no MySQL, or a sick one -----------------------------------------------------------------------------------


def test_silence_and_refusal_are_said_with_the_address(black_hole: str, dead_address: str) -> None:
    with pytest.raises(Unavailable, match=f"{black_hole}: .*timed out"):
        MysqlCollector(component(black_hole), timeout_seconds=0.1).collect()
    with pytest.raises(Unavailable, match=f"{dead_address}: .*refused"):
        MysqlCollector(component(dead_address)).collect()


def test_a_cut_connection_is_made_anew(root: Cursor, collector: MysqlCollector) -> None:
    page_of(collector.collect())
    root.execute("SELECT id FROM information_schema.PROCESSLIST WHERE id <> CONNECTION_ID() AND user = 'root'"
                 " AND command = 'Sleep'")  # fmt: skip
    for (number,) in root.fetchall():
        root.execute(f"KILL {number}")

    with pytest.raises(Unavailable):
        collector.collect()

    assert value(page_of(collector.collect()), "up") == 1


def test_a_stopped_server_is_given_up_and_found_again(replica: tuple[Child, Certificate]) -> None:
    server, _ = replica
    collector = MysqlCollector(component(server.address), timeout_seconds=0.2)
    page_of(collector.collect())
    freeze(server.pid)
    try:
        with pytest.raises(Unavailable, match="timed out"):
            collector.collect()
        assert value(page_of(collector.down()), "up") == 0
    finally:
        os.kill(server.pid, signal.SIGCONT)

    assert value(page_of(collector.collect()), "up") == 1
    collector.close()


def test_too_many_connections_are_no_refusal(replica: tuple[Child, Certificate]) -> None:
    server, _ = replica
    with logged_in(server) as root, ExitStack() as held:
        root.execute("CREATE OR REPLACE USER plain")
        root.execute("SET GLOBAL max_connections = 10")
        with suppress(pymysql.err.OperationalError):
            for _ in range(11):
                held.enter_context(pymysql.connect(host="127.0.0.1", port=port_of(server), user="plain"))

        with pytest.raises(Unavailable, match="Too many connections"):
            MysqlCollector(component(server.address, user="plain")).collect()

        root.execute("SET GLOBAL max_connections = 151")


@pytest.mark.parametrize(
    "conversation",
    [
        pytest.param(greeting(b"HTTP/1.1 400 Bad Request\r\n\r\n"), id="another protocol"),
        pytest.param(greeting(b"\x05\x00\x00\x00\xff\x10\x04no"), id="an error"),
        pytest.param(greeting(bytes(1000)), id="zeros"),
        pytest.param(greeting(b"\xff" * 1000), id="noise"),
        pytest.param(flooding(b"\x00\x00\x10\x00" + bytes(1 << 20)), id="it never ends"),
        pytest.param(answering(b""), id="it hangs up"),
    ],
)
def test_a_strange_answer_is_an_error_and_no_more(conversation: Any) -> None:
    with talking(conversation) as address:
        collector = MysqlCollector(component(address), timeout_seconds=0.3)
        with pytest.raises(PerfloopError):
            collector.collect()
        collector.close()


GREETING = b"\x0a10.11.19-MariaDB\x00\x01\x00\x00\x00abcdefgh\x00\xff\xf7\x08\x02\x00\xff\x81\x15" + bytes(10)
GREETING += b"abcdefghijkl\x00mysql_native_password\x00"
PACKET = st.builds(
    lambda data, i: len(data).to_bytes(3, "little") + bytes([i]) + data, st.binary(max_size=30), st.integers(0, 4)
)


@settings(max_examples=25, deadline=None)
@given(answers=st.lists(st.one_of(PACKET, st.binary(max_size=40)), min_size=1, max_size=4))
def test_whatever_is_answered_nothing_breaks(answers: list[bytes]) -> None:
    hello = len(GREETING).to_bytes(3, "little") + b"\x00" + GREETING
    with talking(greeting(hello, *answers)) as address:
        collector = MysqlCollector(component(address), timeout_seconds=0.2)
        with pytest.raises(PerfloopError):
            collector.collect()
        collector.close()


@pytest.mark.parametrize(
    ("said", "token"),
    [
        pytest.param("12", b"12", id="a number"),
        pytest.param("-1.50", b"-1.50", id="negative, with places"),
        pytest.param("ON", b"1", id="on"),
        pytest.param("No", b"0", id="no"),
        pytest.param("Connecting", b"0", id="not running yet"),
        pytest.param("", b"", id="nothing"),
        pytest.param(None, b"", id="NULL"),
        pytest.param("1e5", b"", id="no plain number"),
        pytest.param("٣", b"", id="digits of another script"),
        pytest.param("1\n2", b"", id="two lines"),
    ],
)
def test_values_become_numbers_or_nothing(said: str | None, token: bytes) -> None:
    assert token_of(said) == token
