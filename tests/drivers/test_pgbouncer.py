"""The driver of PgBouncer on a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from perfloop.drivers.pgbouncer import Pgbouncer
from perfloop.errors import OutcomeUnknown, Rejected
from perfloop.model import Component, Setting
from perfloop.stack import servers
from perfloop.stack.process import Child, free_port
from tests.drivers.proxy import Proxy


def component(address: str, **more: str) -> Component:
    return Component(**{"name": "pool", "driver": "pgbouncer", "address": address, "user": "postgres", **more})


@pytest.fixture
def driver(pgbouncer: Child) -> Iterator[Pgbouncer]:
    driver = Pgbouncer(component(pgbouncer.address))
    yield driver
    driver.set("default_pool_size", "20")


@pytest.fixture(scope="module")
def own_pools(server_folder: Path, postgresql: Child) -> Iterator[Child]:
    """A PgBouncer whose database `reports` has its own pool size and `shop` a limit; `eye` may only look."""
    folder = server_folder / "own-pools"
    folder.mkdir()
    port = postgresql.address.rpartition(":")[2]
    child = servers.pgbouncer(
        folder, port=free_port(), database_port=int(port), settings={"stats_users": "eye", "auth_type": "any"}
    )
    config = folder / "pgbouncer.ini"
    databases = (
        f"[databases]\nreports = host=127.0.0.1 port={port} pool_size=3\n"
        f"shop = host=127.0.0.1 port={port} max_db_connections=20\nfree = host=127.0.0.1 port={port}\n"
    )
    config.write_text(config.read_text(encoding="utf-8").replace("[databases]\n", databases), encoding="utf-8")
    child.start()
    child.wait_ready()
    yield child
    child.stop()


def test_a_write_is_in_force_until_the_next_reload(driver: Pgbouncer, pgbouncer: Child):
    driver.set("default_pool_size", "25")
    written = driver.get("default_pool_size")

    host, _, port = pgbouncer.address.rpartition(":")
    console = psycopg2.connect(host=host, port=port, user="postgres", dbname="pgbouncer")
    console.autocommit = True
    console.cursor().execute("RELOAD")
    console.close()

    assert written == Setting(value="25")
    assert driver.get("default_pool_size") == Setting(value="20")


def test_reset_goes_back_to_what_pgbouncer_has_without_a_file(driver: Pgbouncer):
    driver.set("default_pool_size", "25")

    driver.reset("default_pool_size")

    assert driver.get("default_pool_size") == Setting(value="20")


def test_what_pgbouncer_would_answer_and_not_do_is_rejected(driver: Pgbouncer):
    before = driver.get("listen_port")

    with pytest.raises(Rejected, match="pool: PgBouncer changes listen_port only by a restart"):
        driver.set("listen_port", "1")

    assert driver.obstacle("listen_port") == "PgBouncer changes listen_port only by a restart"
    assert driver.get("listen_port") == before


@pytest.mark.parametrize("value", ["many", "1; SHUTDOWN", "1'; SHUTDOWN; --"])
def test_a_value_that_is_no_number_is_rejected_and_nothing_else_happens(driver: Pgbouncer, value: str):
    with pytest.raises(Rejected, match="pool: "):
        driver.set("default_pool_size", value)

    assert driver.get("default_pool_size").value == "20"


def test_an_unknown_setting_is_rejected_by_name(driver: Pgbouncer):
    with pytest.raises(Rejected, match="this PgBouncer has no setting warp_factor"):
        driver.set("warp_factor", "9")


@pytest.mark.parametrize(
    ("database", "reason"),
    [
        pytest.param("", "database reports has a pool_size of its own, 3", id="any"),
        pytest.param("reports", "database reports has a pool_size of its own, 3", id="own pool_size"),
        pytest.param("shop", "database shop is held at max_connections 20", id="own limit"),
        pytest.param("free", None, id="free"),
    ],
)
def test_a_database_that_the_pool_size_does_not_reach_is_said_before(
    own_pools: Child, database: str, reason: str | None
):
    driver = Pgbouncer(component(own_pools.address, database=database))

    assert driver.obstacle("default_pool_size") == reason


def test_a_user_who_may_only_look_is_told_so(own_pools: Child):
    driver = Pgbouncer(component(own_pools.address, user="eye"))

    with pytest.raises(Rejected, match="pool: admin access needed"):
        driver.set("default_pool_size", "25")

    assert driver.get("default_pool_size").value == "20"


def test_a_lost_answer_to_a_write_is_an_unknown_outcome(
    driver: Pgbouncer, pgbouncer: Child, losing: Callable[..., Proxy]
):
    through = Pgbouncer(component(losing(pgbouncer.address, after=b"SET default").address), timeout_seconds=0.3)

    with pytest.raises(OutcomeUnknown, match="pool: no answer"):
        through.set("default_pool_size", "25")

    assert driver.get("default_pool_size").value == "25"
