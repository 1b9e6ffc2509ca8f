"""Targets of every kind that hang, refuse, swallow or drip, all at once: what a scrape loses, and what it waits for."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager

import psutil
import pytest

from perfloop.stack.process import Child, free_port
from tests.app.conftest import Running
from tests.app.everything import Everyone
from tests.collectors.doubles import dripping, talking
from tests.collectors.pages import Page, lint
from tests.support import eventually, freeze

DRIVERS = ("postgresql", "pgbouncer", "mysql", "redis", "memcached")
USERS = {"postgresql": "postgres", "pgbouncer": "postgres", "mysql": "root"}
KINDS = {*DRIVERS, "application"}
BUDGET_SECONDS = 0.5
# What a page of everything may take on a busy machine, over what it waits for.
SLACK_SECONDS = 0.35


@contextmanager
def stopped(*children: Child) -> Iterator[Callable[[], None]]:
    """Stop servers with all their processes, as if their disks hung; yield what lets them go on."""
    mains = [psutil.Process(child.pid) for child in children]
    processes = [process for main in mains for process in (main, *main.children(recursive=True))]

    def resume() -> None:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    freeze(*(process.pid for process in processes))
    try:
        yield resume
    finally:
        resume()


def components(addresses: Mapping[str, str]) -> str:
    """Return lines of `components`, one for each driver; their names end in -hung."""
    return "".join(
        f"  {driver}-hung: {{driver: {driver}, address: '{address}', user: '{USERS.get(driver, '')}'}}\n"
        for driver, address in addresses.items()
    )


def of_others(page: Page) -> set[str]:
    """Return the series that do not depend on a target whose component ends in -hung."""
    lines = (line.rpartition(" ")[0] for line in page.text.splitlines() if not line.startswith("#"))
    return {line for line in lines if '-hung"' not in line}


def up(page: Page) -> set[str]:
    """Return the kinds of those targets that are up."""
    return {kind for kind in KINDS if page.value(f"perfloop_{kind}_up", component=f"{kind}-hung") == 1}


def test_stopped_servers_cost_one_scrape_half_a_second_and_come_back(
    exporter: Callable[[str], Running], everyone: Everyone, redis: Child
) -> None:
    servers = {driver: getattr(everyone, {"mysql": "mariadb"}.get(driver, driver)) for driver in DRIVERS}
    running = exporter(f"""
collectors:
  application: {{probes: [{{component: application-hung, url: "http://{everyone.web.http}/"}}]}}
components:
  healthy: {{driver: redis, address: "{redis.address}"}}
{components({driver: server.address for driver, server in servers.items()})}
""")
    eventually(lambda: up(running.scrape()) == KINDS)
    before = of_others(running.scrape())

    with stopped(*servers.values(), everyone.web.child) as resume:
        scrapes = [running.timed_scrape() for _ in range(6)]
        resume()
        resumed_at = time.monotonic()
        first = running.scrape()
        eventually(lambda: time.monotonic() > resumed_at + 1, what="the time of Prometheus' next scrape")
        second = running.scrape()

    waits = [seconds for _, seconds in scrapes]
    assert [up(page) for page, _ in scrapes] == [set()] * 6
    assert [before - of_others(page) for page, _ in scrapes] == [set()] * 6
    assert waits[0] < BUDGET_SECONDS + SLACK_SECONDS
    assert max(waits[1:]) < SLACK_SECONDS
    assert up(second) == KINDS, f"the first scrape had {up(first)}"
    assert before <= of_others(second)


@contextmanager
def black_holes() -> Iterator[dict[str, str]]:
    """Connections are accepted by the kernel, and nobody ever answers."""
    with ExitStack() as opened:
        listeners = {kind: opened.enter_context(socket.create_server(("127.0.0.1", 0))) for kind in KINDS}
        yield {kind: f"127.0.0.1:{listener.getsockname()[1]}" for kind, listener in listeners.items()}


@contextmanager
def full_backlogs() -> Iterator[dict[str, str]]:
    """Connections are not even accepted by the kernel."""
    with ExitStack() as opened:
        addresses = {}
        for kind in KINDS:
            listener = opened.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            for _ in range(4):
                client = opened.enter_context(socket.socket())
                client.settimeout(0)
                with contextlib.suppress(BlockingIOError):
                    client.connect(listener.getsockname())
            addresses[kind] = f"127.0.0.1:{listener.getsockname()[1]}"
        yield addresses


@contextmanager
def refused() -> Iterator[dict[str, str]]:
    """Nobody listens."""
    yield {kind: f"127.0.0.1:{free_port()}" for kind in KINDS}


@contextmanager
def drips() -> Iterator[dict[str, str]]:
    """A byte comes every now and then."""
    stop = threading.Event()
    with ExitStack() as opened:
        yield {kind: opened.enter_context(talking(dripping(stop))) for kind in KINDS}
        stop.set()


@pytest.mark.parametrize("trouble", [black_holes, full_backlogs, refused, drips], ids=lambda each: each.__name__)
def test_targets_of_every_kind_in_trouble_cost_their_own_samples_only(
    exporter: Callable[[str], Running], redis: Child, trouble: Callable[[], AbstractContextManager[dict[str, str]]]
) -> None:
    with trouble() as addresses:
        running = exporter(f"""
collectors:
  application: {{probes: [{{component: application-hung, url: "http://{addresses["application"]}/"}}]}}
components:
  healthy: {{driver: redis, address: "{redis.address}"}}
{components({driver: addresses[driver] for driver in DRIVERS})}
""")

        scrapes = [running.timed_scrape() for _ in range(5)]

    waits = [seconds for _, seconds in scrapes]
    assert [up(page) for page, _ in scrapes] == [set()] * 5
    assert [page.value("perfloop_redis_up", component="healthy") for page, _ in scrapes] == [1] * 5
    assert len({frozenset(of_others(page)) for page, _ in scrapes}) == 1
    assert waits[0] < BUDGET_SECONDS + SLACK_SECONDS
    assert max(waits[1:]) < SLACK_SECONDS
    assert lint(scrapes[-1][0].text) == ""


def test_a_slow_statement_is_late_and_its_server_is_not(
    exporter: Callable[[str], Running], postgresql: Child, mariadb: Child
) -> None:
    query = "queries: [{name: slow, sql: '%s', values: {one: {type: gauge}}}]"
    running = exporter(f"""
components:
  db: {{driver: postgresql, address: "{postgresql.address}", user: postgres,
       {query % "select 1 as one from pg_sleep(2)"}}}
  sql: {{driver: mysql, address: "{mariadb.address}", user: root,
        {query % "select 1 as one from (select sleep(2)) s"}}}
""")

    scrapes = [running.timed_scrape() for _ in range(4)]

    name = "perfloop_exporter_collector_success"
    assert [page.values(name, collector="queries") for page, _ in scrapes] == [[0, 0]] * 4
    assert [page.value("perfloop_postgresql_up", component="db") for page, _ in scrapes[1:]] == [1] * 3
    assert [page.value("perfloop_mysql_up", component="sql") for page, _ in scrapes[1:]] == [1] * 3
    assert max(seconds for _, seconds in scrapes) < BUDGET_SECONDS + SLACK_SECONDS
    assert max(seconds for _, seconds in scrapes[1:]) < SLACK_SECONDS
