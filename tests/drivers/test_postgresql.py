"""The driver of PostgreSQL on a real server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from perfloop.drivers.postgresql import Postgresql
from perfloop.errors import OutcomeUnknown, Rejected, Unavailable
from perfloop.executors.database import Database
from perfloop.model import Change, Component, Setting
from perfloop.stack.process import Child
from tests.drivers.proxy import Proxy

Run = Callable[[str], str]
GRANTS = (Path(__file__).parents[2] / "docs" / "executors.md").read_text(encoding="utf-8")


def component(address: str, **more: str) -> Component:
    return Component(**{"name": "db", "driver": "postgresql", "address": address, "user": "postgres", **more})


@pytest.fixture
def run(postgresql: Child) -> Iterator[Run]:
    """Run SQL as superuser; the text of the first value comes back."""
    host, _, port = postgresql.address.rpartition(":")
    connection = psycopg2.connect(host=host, port=port, user="postgres", dbname="postgres")
    connection.autocommit = True

    def run(statement: str) -> str:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return str(cursor.fetchone()[0]) if cursor.description else ""

    yield run
    run("ALTER SYSTEM RESET ALL")
    run("SELECT pg_reload_conf()")
    connection.close()


@pytest.fixture
def driver(postgresql: Child, run: Run) -> Postgresql:
    return Postgresql(component(postgresql.address))


def lines_of_auto_conf(run: Run) -> list[str]:
    path = Path(run("SHOW data_directory")) / "postgresql.auto.conf"
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def test_a_write_is_in_force_when_it_returns_and_leaves_no_trace_after_reset(driver: Postgresql, run: Run):
    driver.set("work_mem", "65536kB")
    written, lines = driver.get("work_mem"), lines_of_auto_conf(run)

    driver.reset("work_mem")

    assert written == Setting(value="64MB", explicit=True)
    assert lines == ["work_mem = '65536kB'"]
    assert driver.get("work_mem") == Setting(value="4MB", explicit=False)
    assert lines_of_auto_conf(run) == []


def test_a_value_with_quotes_stays_a_value(driver: Postgresql):
    with pytest.raises(Rejected, match="invalid value"):
        driver.set("work_mem", "1MB'; DROP TABLE users; --")


def test_an_unknown_setting_is_rejected_by_name(driver: Postgresql):
    with pytest.raises(Rejected, match="db: this PostgreSQL has no setting warp_factor"):
        driver.get("warp_factor")


@pytest.mark.parametrize(
    ("override", "key", "reason"),
    [
        pytest.param("", "shared_buffers", "shared_buffers needs a restart of PostgreSQL", id="restart"),
        pytest.param("", "fsync", "fsync comes from the command line, which outranks ALTER SYSTEM", id="command line"),
        pytest.param(
            "ROLE postgres", "work_mem", "work_mem is set for role postgres, which outranks ALTER SYSTEM", id="role"
        ),
        pytest.param(
            "DATABASE postgres",
            "work_mem",
            "work_mem is set for database postgres, which outranks ALTER SYSTEM",
            id="database",
        ),
        pytest.param("DATABASE template1", "work_mem", None, id="another database"),
        pytest.param("ROLE postgres", "jit", None, id="another setting"),
    ],
)
def test_what_would_make_a_write_vain_is_said_before(
    driver: Postgresql, run: Run, override: str, key: str, reason: str | None
):
    if override:
        run(f"ALTER {override} SET work_mem = '1MB'")

    obstacle = driver.obstacle(key)

    if override:
        run(f"ALTER {override} RESET ALL")
    assert obstacle == reason


def test_a_broken_file_that_would_stop_the_reload_is_said_before(driver: Postgresql, run: Run):
    path = Path(run("SHOW config_file"))
    whole = path.read_text(encoding="utf-8")
    path.write_text(f"{whole}\nwork_mem == 1MB\n", encoding="utf-8")

    try:
        obstacle = driver.obstacle("work_mem")
    finally:
        path.write_text(whole, encoding="utf-8")

    assert "a reload would apply nothing" in obstacle
    assert "postgresql.conf line" in obstacle


def test_a_reload_that_never_comes_ends_in_bounded_time_with_the_old_value(postgresql: Child, run: Run):
    driver = Postgresql(component(postgresql.address), timeout_seconds=0.3)
    path = Path(run("SHOW config_file"))
    whole = path.read_text(encoding="utf-8")
    path.write_text(f"{whole}\nwork_mem == 1MB\n", encoding="utf-8")
    began_at = time.monotonic()

    try:
        driver.set("work_mem", "8MB")
        seen = driver.get("work_mem")
    finally:
        path.write_text(whole, encoding="utf-8")

    assert seen.value == "4MB"
    assert time.monotonic() - began_at < 2


def test_the_documented_rights_are_enough_and_missing_ones_are_named(postgresql: Child, run: Run):
    driver = Postgresql(component(postgresql.address, user="perfloop"))
    run("CREATE ROLE perfloop LOGIN")
    try:
        missing = driver.obstacle("work_mem")
        with pytest.raises(Rejected, match="permission denied"):
            driver.set("work_mem", "8MB")
        for line in documented_grants():
            run(line)

        granted = driver.obstacle("work_mem")
        driver.set("work_mem", "8MB")

        assert "GRANT pg_read_all_settings" in missing
        assert granted is None
        assert driver.get("work_mem") == Setting(value="8MB")
        assert "GRANT ALTER SYSTEM ON PARAMETER jit" in driver.obstacle("jit")
    finally:
        run("DROP OWNED BY perfloop")
        run("DROP ROLE perfloop")


def documented_grants() -> list[str]:
    return [line for line in GRANTS.splitlines() if line.startswith("GRANT ") and line.endswith(" TO perfloop;")]


@pytest.mark.parametrize("marker", [b"ALTER SYSTEM", b"pg_reload_conf"])
def test_a_lost_answer_to_a_write_is_an_unknown_outcome(
    postgresql: Child, run: Run, losing: Callable[..., Proxy], marker: bytes
):
    driver = Postgresql(component(losing(postgresql.address, after=marker).address), timeout_seconds=0.3)

    with pytest.raises(OutcomeUnknown, match=r"db: no answer within 0.3 s"):
        driver.set("work_mem", "8MB")

    assert lines_of_auto_conf(run) == ["work_mem = '8MB'"]


def test_a_lost_answer_to_a_read_is_unavailable(postgresql: Child, losing: Callable[..., Proxy]):
    driver = Postgresql(component(losing(postgresql.address, after=b"pg_settings").address), timeout_seconds=0.3)

    with pytest.raises(Unavailable, match="db: no answer"):
        driver.get("work_mem")


def test_a_password_is_in_no_message():
    broken = component("127.0.0.1:1", password="hunter2")

    with pytest.raises(Unavailable) as caught:
        Postgresql(broken).get("work_mem")

    assert "hunter2" not in f"{caught.value} {caught.value.__cause__} {broken!r}"


def test_a_rollback_takes_back_what_still_waits_for_a_reload(postgresql: Child, driver: Postgresql, run: Run):
    # As a connection that was lost between ALTER SYSTEM and the reload leaves it.
    executor = Database({"orders-db": component(postgresql.address)}, connect=Postgresql)
    change = Change(
        target="orders-db",
        key="work_mem",
        before=Setting(value="4MB", explicit=False),
        after=Setting(value="64MB"),
    )
    run("ALTER SYSTEM SET work_mem = '64MB'")

    executor.rollback(change)
    run("SELECT pg_reload_conf()")

    assert driver.get("work_mem") == change.before
    assert not any("work_mem" in line for line in lines_of_auto_conf(run))
