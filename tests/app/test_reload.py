"""Reloads: by signal and by HTTP, good and broken, and what goes on across them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perfloop.config.apart import Reading, read
from perfloop.stack.process import Child
from tests.app.conftest import NOTHING, Running
from tests.support import eventually


def test_a_reload_changes_what_is_measured(exporter: Callable[[str], Running], redis: Child) -> None:
    running = exporter(NOTHING)
    assert running.scrape().values("perfloop_redis_up") == []

    running.file.write_text(NOTHING + f"components: {{cache: {{driver: redis, address: '{redis.address}'}}}}\n")
    running.exporter.reload()

    eventually(lambda: running.scrape().values("perfloop_redis_up") == [1.0])
    assert running.scrape().value("perfloop_exporter_config_last_reload_successful") == 1


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param("collectors: {sistem: {}}", id="a slip"),
        pytest.param("components: {c: {driver: redis, address: 'h:1', password: {file: gone}}}", id="no secret"),
        pytest.param(
            "collectors: {network: {targets: [{component: a, address: 'h:1'}, {component: a, address: 'h:2'}]}}",
            id="one component twice",
        ),
        pytest.param("collectors: {push: 2026-13-99}", id="a day that there is not"),
        pytest.param("collectors: {push: {max_jobs: !!int many}}", id="a number that is none"),
        pytest.param('collectors: {push: {token: {file: "a\\0b"}}}', id="a NUL in a path"),
        pytest.param("a: " + "[" * 2000, id="nested without an end"),
    ],
)
def test_a_broken_reload_keeps_the_old_configuration(
    exporter: Callable[[str], Running], redis: Child, broken: str
) -> None:
    running = exporter(NOTHING + f"components: {{cache: {{driver: redis, address: '{redis.address}'}}}}\n")
    before = running.scrape()

    running.file.write_text(broken)
    running.exporter.reload()

    eventually(lambda: running.scrape().value("perfloop_exporter_config_last_reload_successful") == 0)
    after = running.scrape()
    name = "perfloop_exporter_config_last_reload_success_timestamp_seconds"
    assert after.value(name) == before.value(name)
    assert after.value("perfloop_redis_up", component="cache") == 1


class Starved:
    """Reads the file, after which no thread can be started until it is fed."""

    def __init__(self) -> None:
        self.hungry = False

    def __call__(self, file: Path, *, may_be_missing: bool) -> Reading:
        reading = read(file, may_be_missing=may_be_missing)
        if self.hungry:
            # No machine has so much memory.
            threading.stack_size(1 << 46)
        return reading


@pytest.fixture
def starved() -> Iterator[Starved]:
    yield Starved()
    threading.stack_size(0)


def test_a_reload_that_gets_no_thread_keeps_the_old_configuration(
    tmp_path: Path, redis: Child, starved: Starved
) -> None:
    target = f"{{driver: redis, address: '{redis.address}'}}"
    running = Running(tmp_path, NOTHING + f"components: {{cache: {target}}}\n", read_file=starved)
    modules = "probe: {modules: {fresh: {prober: tcp}}}"

    starved.hungry = True
    sections = NOTHING.replace("}\n", f", {modules}}}\n")
    running.file.write_text(f"{sections}components: {{fresh: {target}}}\n")
    reloaded, _ = running.ask("/-/reload", "POST")
    threading.stack_size(0)
    page = running.scrape()
    probed, _ = running.ask(f"/probe?module=fresh&target={redis.address}")

    assert reloaded.status == 500
    assert page.labels("perfloop_redis_up", "component") == {"cache"}
    assert page.value("perfloop_exporter_config_last_reload_successful") == 0
    assert probed.status == 400, "the module is not known"
    running.stop()


def test_a_reload_that_fails_late_leaves_no_thread_behind(
    exporter: Callable[[str], Running], redis: Child, tmp_path: Path
) -> None:
    running = exporter(NOTHING)
    target = f"{{driver: redis, address: '{redis.address}'}}"
    (tmp_path / "token").mkdir()

    token = NOTHING.replace("}\n", ", push: {token: {file: token}}}\n")
    running.file.write_text(f"{token}components: {{abandoned: {target}}}\n")
    reloaded, _ = running.ask("/-/reload", "POST")

    assert reloaded.status == 500
    eventually(lambda: "redis abandoned" not in {thread.name for thread in threading.enumerate()})


def test_a_reload_by_http_says_how_it_went(exporter: Callable[[str], Running]) -> None:
    running = exporter(NOTHING)
    first = running.scrape().value("perfloop_exporter_config_hash")

    running.file.write_text(NOTHING + "# changed\n")
    good, _ = running.ask("/-/reload", "POST")
    second = running.scrape().value("perfloop_exporter_config_hash")
    running.file.write_text("collectors: {sistem: {}}")
    bad, body = running.ask("/-/reload", "POST")
    page = running.scrape()

    assert (good.status, bad.status) == (200, 500)
    assert b"sistem" not in body
    assert first != second == page.value("perfloop_exporter_config_hash")
    assert page.value("perfloop_exporter_config_last_reload_successful") == 0


def test_what_did_not_change_goes_on_counting(exporter: Callable[[str], Running], redis: Child) -> None:
    kept = f"{{component: kept, address: '{redis.address}'}}"
    config = "collectors: {{system: {{enabled: false}}, network: {{targets: [{}]}}}}\n"
    running = exporter(config.format(kept))
    before = running.scrape().value("perfloop_network_connects_total", component="kept")

    other = f"{{component: other, address: '{redis.address}'}}"
    running.file.write_text(config.format(f"{kept}, {other}"))
    running.ask("/-/reload", "POST")
    page = running.scrape()

    assert page.value("perfloop_network_connects_total", component="kept") == before + 1
    assert page.value("perfloop_network_connects_total", component="other") == 1


def test_a_storm_of_signals_stops_no_scrape(exporter: Callable[[str], Running]) -> None:
    running = exporter(NOTHING)
    over = threading.Event()

    def storm() -> None:
        while not over.wait(0.0005):
            for _ in range(20):
                running.exporter.reload()

    sender = threading.Thread(target=storm)
    sender.start()
    pages = [running.timed_scrape() for _ in range(5)]
    over.set()
    sender.join()

    assert max(seconds for _, seconds in pages) < 1
