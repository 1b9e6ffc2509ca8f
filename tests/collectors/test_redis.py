"""A real Redis: what was done there is what the page shows."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from redis import Redis

from perfloop.collectors.redis import RedisCollector
from perfloop.errors import Rejected, Unavailable
from perfloop.model import Component
from perfloop.stack.process import Child
from tests.collectors.pages import Page, lint, page_of


@pytest.fixture
def client(redis: Child) -> Iterator[Redis]:
    host, _, port = redis.address.rpartition(":")
    with Redis(host=host, port=int(port), db=3) as connected:
        yield connected
        connected.flushdb()
        connected.config_set("maxmemory", 0)


@pytest.fixture
def collector(redis: Child) -> Iterator[RedisCollector]:
    made = RedisCollector(component(redis.address))
    yield made
    made.close()


def component(address: str, *, user: str = "", password: str = "") -> Component:
    return Component(name="cache", driver="redis", address=address, user=user, password=password)


def value(page: Page, name: str, **labels: str) -> float:
    return page.value(f"perfloop_redis_{name}", component="cache", **labels)


def test_counters_follow_what_is_done(client: Redis, collector: RedisCollector) -> None:
    before = page_of(collector.collect())
    client.set("present", "1")
    for _ in range(10):
        client.get("present")
    for _ in range(5):
        client.get("absent")

    page = page_of(collector.collect())

    assert value(page, "keyspace_hits_total") - value(before, "keyspace_hits_total") == 10
    assert value(page, "keyspace_misses_total") - value(before, "keyspace_misses_total") == 5
    assert value(page, "commands_total", command="get") >= 15
    assert 0 < value(page, "command_seconds_total", command="get") < 1
    assert value(page, "keys", db="3") == 1
    assert value(page, "clients") >= 2
    assert value(page, "blocked_clients") == 0
    assert value(page, "memory_used_bytes") > 100_000
    assert value(page, "connections_received_total") >= 2
    assert value(page, "up") == 1
    assert lint(page.text) == ""


def test_the_start_is_a_time_that_stands_still(client: Redis, collector: RedisCollector) -> None:
    expected = time.time() - client.info("server")["uptime_in_seconds"]

    started_at = value(page_of(collector.collect()), "start_timestamp_seconds")

    assert started_at == pytest.approx(expected, abs=2)


def test_no_limit_has_no_sample_and_a_limit_has_one(client: Redis, collector: RedisCollector) -> None:
    assert "perfloop_redis_memory_max_bytes" not in page_of(collector.collect()).names()

    client.config_set("maxmemory", 100_000_000)

    assert value(page_of(collector.collect()), "memory_max_bytes") == 100_000_000


def test_evicted_keys_are_counted(client: Redis, collector: RedisCollector) -> None:
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 200_000)
    for i in range(100):
        client.set(f"key-{i}", bytes(10_000))

    page = page_of(collector.collect())

    assert value(page, "evicted_keys_total") == client.info("stats")["evicted_keys"] > 0
    client.config_set("maxmemory-policy", "noeviction")


def test_user_and_password_log_in(client: Redis, redis: Child) -> None:
    client.execute_command("ACL", "SETUSER", "watcher", "on", ">se cret", "+info")

    right = RedisCollector(component(redis.address, user="watcher", password="se cret"))
    wrong = RedisCollector(component(redis.address, user="watcher", password="guess"))

    assert value(page_of(right.collect()), "up") == 1
    with pytest.raises(Rejected, match="WRONGPASS") as caught:
        wrong.collect()
    assert "guess" not in str(caught.value)
    right.close()
    client.execute_command("ACL", "DELUSER", "watcher")


def test_a_cut_connection_is_made_anew(client: Redis, collector: RedisCollector) -> None:
    page_of(collector.collect())
    client.client_kill_filter(_type="normal", skipme=True)

    with pytest.raises(Unavailable):
        collector.collect()

    assert value(page_of(collector.collect()), "up") == 1


def test_a_silent_server_is_given_up(black_hole: str) -> None:
    collector = RedisCollector(component(black_hole), timeout_seconds=0.1)

    with pytest.raises(Unavailable, match="timed out"):
        collector.collect()
