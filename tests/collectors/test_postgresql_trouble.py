"""PostgreSQL servers that hang, restart, refuse, encrypt, or only follow another one."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from perfloop.collectors.postgresql import PostgresqlCollector
from perfloop.errors import Unavailable
from perfloop.model import Component, Encryption
from perfloop.stack import servers
from perfloop.stack.process import Child, as_user, find_binary, free_port
from tests.collectors.certificates import certificate
from tests.collectors.pages import page_of
from tests.collectors.test_guard import Scraper
from tests.collectors.test_postgresql import component, connect
from tests.support import eventually, freeze

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def guarded(server_folder: Path) -> Iterator[Child]:
    """A server with TLS, and with a password for everybody but its superuser; it may be restarted."""
    folder = server_folder / "guarded"
    folder.mkdir(mode=0o755)
    child = servers.postgresql(folder, port=free_port(), settings={"fsync": "off"})
    own = certificate(folder)
    data = folder / "postgresql"
    for file, name in ((own.file, "server.crt"), (own.key, "server.key")):
        shutil.copy(file, data / name)
        shutil.chown(data / name, servers.database_user())
        (data / name).chmod(0o600)
    rules = data / "pg_hba.conf"
    rules.write_text("host all postgres 127.0.0.1/32 trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
    with (data / "postgresql.conf").open("a") as settings:
        settings.write("ssl = on\n")
    child.start()
    child.wait_ready()
    with closing(connect(child, "postgres")) as admin, admin.cursor() as cursor:
        cursor.execute(f"CREATE ROLE watcher LOGIN PASSWORD '{PASSWORD}'; GRANT pg_monitor TO watcher")
    yield child
    child.stop()


def watcher(server: Child, *, password: str = PASSWORD, **encryption: Any) -> PostgresqlCollector:
    return PostgresqlCollector(
        Component(
            name="db",
            driver="postgresql",
            address=server.address,
            user="watcher",
            password=password,
            encryption=Encryption(**encryption) if encryption else None,
        )
    )


def up(collector: PostgresqlCollector) -> float:
    with closing(collector):
        return page_of(collector.collect()).value("perfloop_postgresql_up", component="db")


def test_a_wrong_password_is_said_without_it(guarded: Child, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(Unavailable, match="password authentication failed") as caught:
        up(watcher(guarded, password="battery staple"))

    assert "battery" not in str(caught.value)
    assert "battery" not in caplog.text


def test_pg_monitor_is_enough_for_everything(guarded: Child) -> None:
    with closing(watcher(guarded)) as least, closing(PostgresqlCollector(component(guarded.address))) as superuser:
        assert page_of(least.collect()).names() == page_of(superuser.collect()).names()


def test_certificates_are_checked_as_configured(guarded: Child, tmp_path: Path) -> None:
    right = str(Path(guarded.log).parent / "certificate.pem")
    wrong = str(certificate(tmp_path).file)

    assert up(watcher(guarded)) == 1
    assert up(watcher(guarded, ca_file=right)) == 1
    assert up(watcher(guarded, ca_file=right, server_name="localhost")) == 1
    assert up(watcher(guarded, verify=False)) == 1
    with pytest.raises(Unavailable, match="certificate verify failed"):
        up(watcher(guarded, ca_file=wrong))
    with pytest.raises(Unavailable, match="does not match host name"):
        up(watcher(guarded, ca_file=right, server_name="elsewhere"))
    with pytest.raises(Unavailable, match="certificate verify failed"):
        up(watcher(guarded, verify=True))


def test_a_restart_costs_one_page_at_most(guarded: Child) -> None:
    collector = PostgresqlCollector(component(guarded.address))
    started = "perfloop_postgresql_start_timestamp_seconds"
    before = page_of(collector.collect()).value(started, component="db")
    guarded.stop()
    guarded.start()
    guarded.wait_ready()

    with pytest.raises(Unavailable):
        collector.collect()
    after = page_of(collector.collect()).value(started, component="db")
    collector.close()

    assert after > before


def test_a_stopped_server_costs_a_scrape_its_own_samples_only(guarded: Child, postgresql: Child) -> None:
    healthy = PostgresqlCollector(component(postgresql.address))
    hung = PostgresqlCollector(Component(name="hung", driver="postgresql", address=guarded.address, user="postgres"))
    scraper = Scraper(healthy, hung, budget_seconds=0.3)
    scraper.scrape()
    with closing(connect(guarded, "postgres")) as admin, admin.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'perfloop exporter'")
        pids = [pid for (pid,) in cursor.fetchall()]

    freeze(*pids)
    pages = [scraper.scrape() for _ in range(3)]
    waited_seconds = scraper.waited_seconds
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: scraper.scrape().value("perfloop_postgresql_up", component="hung") == 1)
    scraper.guard.close()

    assert [page.value("perfloop_postgresql_up", component="hung") for page in pages] == [0, 0, 0]
    assert [page.value("perfloop_postgresql_up", component="db") for page in pages] == [1, 1, 1]
    assert waited_seconds < 0.25, "only the first scrape after the hang waits"


def test_a_server_that_never_answers_is_given_up(black_hole: str) -> None:
    with pytest.raises(Unavailable, match="timeout expired"):
        PostgresqlCollector(component(black_hole)).collect()


def test_without_psycopg2_one_is_told_what_to_type(monkeypatch: pytest.MonkeyPatch, dead_address: str) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)

    with pytest.raises(Unavailable, match=r"pip install 'perfloop\[postgresql\]'"):
        PostgresqlCollector(component(dead_address)).collect()


@pytest.fixture
def standby(postgresql: Child, server_folder: Path) -> Iterator[Child]:
    """A standby of the session's server, which streams."""
    folder = server_folder / "standby"
    folder.mkdir(mode=0o755)
    data = folder / "postgresql"
    data.mkdir(mode=0o700)
    shutil.chown(data, servers.database_user())
    host, _, port = postgresql.address.rpartition(":")
    argv = [find_binary("pg_basebackup"), "-h", host, "-p", port, "-U", "postgres", "-D", str(data), "-R"]
    subprocess.run(
        [find_binary("setpriv"), *as_user(servers.database_user()), *argv, "--checkpoint=fast", "--no-sync"],
        check=True,
        cwd="/",
    )
    child = servers.postgresql(folder, port=free_port(), settings={"cluster_name": "second", "fsync": "off"})
    child.start()
    child.wait_ready()
    yield child
    child.stop()


def test_a_standby_and_its_primary_say_how_far_it_is(postgresql: Child, standby: Child) -> None:
    primary, second = (PostgresqlCollector(component(s.address), compat=True) for s in (postgresql, standby))
    with closing(primary), closing(second):

        def streaming() -> bool:
            values = page_of(primary.collect()).values("perfloop_postgresql_replication_connections", state="streaming")
            return values == [1]

        eventually(streaming)
        ahead, behind = page_of(primary.collect()), page_of(second.collect())
        eventually(
            lambda: (
                page_of(second.collect()).value("perfloop_postgresql_wal_replay_position_bytes_total", component="db")
                >= ahead.value("perfloop_postgresql_wal_position_bytes_total", component="db")
            )
        )

    assert ahead.value("perfloop_postgresql_in_recovery", component="db") == 0
    assert behind.value("perfloop_postgresql_in_recovery", component="db") == 1
    assert ahead.labels("perfloop_postgresql_replication_connections", "application") == {"second"}
    [lag_bytes] = ahead.values("perfloop_postgresql_replication_sent_lag_bytes")
    assert 0 <= lag_bytes < 1e9
    assert behind.value("perfloop_postgresql_replication_lag_seconds", component="db") >= 0
    assert "perfloop_postgresql_replication_lag_seconds" not in ahead.names()
    assert ahead.names() - behind.names() >= {"perfloop_postgresql_replication_connections"}


def test_slots_say_how_much_they_keep(postgresql: Child) -> None:
    with closing(connect(postgresql, "postgres")) as admin, admin.cursor() as cursor:
        cursor.execute("SELECT pg_create_physical_replication_slot('kept', true)")
        with closing(PostgresqlCollector(component(postgresql.address))) as collector:
            page = page_of(collector.collect())
        cursor.execute("SELECT pg_drop_replication_slot('kept')")

    labels = {"component": "db", "slot": "kept", "kind": "physical", "database": ""}
    assert page.value("perfloop_postgresql_replication_slot_active", **labels) == 0
    assert page.value("perfloop_postgresql_replication_slot_retained_bytes", **labels) >= 0
