"""`--compat redis`, side by side with Debian's redis_exporter: the same names, labels and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from redis.exceptions import ResponseError

from perfloop.collectors.redis import RedisCollector
from perfloop.exposition.page import render_page
from perfloop.model import Component
from perfloop.stack import servers
from perfloop.stack.process import Child, find_binary, free_port
from tests.bench.peers import redis_exporter
from tests.support import eventually

Series = tuple[str, frozenset[tuple[str, str]]]

# What speaks of that exporter, and not of Redis.
LEFT_OUT = ("go_", "process_", "promhttp_", "redis_exporter_")
LEFT_OUT_ALONE = frozenset(
    {"redis_last_key_groups_scrape_duration_milliseconds", "redis_target_scrape_request_errors_total"}
)
# What takes SENTINEL commands besides INFO.
LEFT_OUT_OF_SENTINELS = (
    "redis_sentinel_master_ok_",
    "redis_sentinel_master_setting_",
    "redis_sentinel_master_ckquorum",
)
# What the scrapes of the two change themselves, or time does between them.
MOVING = (
    "redis_allocator_",
    "redis_client_recent_max_",
    "redis_commands_processed_total",
    "redis_connected_clients",
    "redis_connections_received_total",
    "redis_cpu_",
    "redis_db_avg_ttl_seconds",
    "redis_mem_",
    "redis_memory_used_",
    "redis_net_",
    "redis_start_time_seconds",
    "redis_total_error_replies",  # a Sentinel refuses commands of either
    "redis_total_reads_processed",
    "redis_total_writes_processed",
    "redis_uptime_in_seconds",
    "redis_connected_slave_lag_seconds",
    "redis_connected_slave_offset_bytes",
    "redis_master_last_io_seconds_ago",
    "redis_master_repl_offset",
    "redis_repl_backlog_",
    "redis_slave_repl_offset",
    "redis_tracking_",
)
THEIR_COMMANDS = frozenset({"client|setname", "config|get", "info", "latency|latest", "ping", "slowlog|get"})
THEIR_COMMANDS |= {"slowlog|len", "replconf", "cluster|info", "psync", "latency|histogram"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compat")


@pytest.fixture(scope="module")
def primary(folder: Path) -> Iterator[Child]:
    """A Redis with something to tell: keys, errors, slow commands, a replica."""
    settings = {"slowlog-log-slower-than": "1000", "latency-monitor-threshold": "1", "repl-diskless-sync-delay": "0"}
    child = servers.redis(folder, port=free_port(), settings=settings)
    child.start()
    child.wait_ready()
    with connected(child) as client:
        client.set("a", "1")
        client.set("b", "1", ex=1000)
        client.get("a")
        client.eval("for i = 1, 5000000 do end", 0)
        with pytest.raises(ResponseError):
            client.lpush("a", "1")
        client.save()
    yield child
    child.stop()


@pytest.fixture(scope="module")
def replica(folder: Path, primary: Child) -> Iterator[Child]:
    host, _, port = primary.address.rpartition(":")
    child = servers.redis(folder / "replica", port=free_port(), settings={"replicaof": f"{host} {port}"})
    child.start()
    child.wait_ready()
    with connected(primary) as client:
        eventually(lambda: client.info("replication").get("slave0", {}).get("state") == "online", what="the replica")
    yield child
    child.stop()


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[Child]:
    options = {"cluster-enabled": "yes", "cluster-port": str(free_port())}
    child = servers.redis(folder / "cluster", port=free_port(), settings=options)
    child.start()
    child.wait_ready()
    yield child
    child.stop()


@pytest.fixture(scope="module")
def sentinel(folder: Path, primary: Child) -> Iterator[Child]:
    host, _, port = primary.address.rpartition(":")
    own, config = free_port(), folder / "sentinel.conf"
    config.write_text(f"port {own}\nbind {host}\ndir {folder}\nsentinel monitor sessions {host} {port} 1\n")
    argv = [find_binary("redis-server"), str(config), "--sentinel"]
    child = Child(
        "sentinel", argv, log=folder / "sentinel.log", ready=lambda: servers.tcp_ready(own), address=f"{host}:{own}"
    )
    child.start()
    child.wait_ready()
    yield child
    child.stop()


def connected(server: Child) -> Redis:
    host, _, port = server.address.rpartition(":")
    return Redis(host=host, port=int(port))


def series(page: str) -> dict[Series, float]:
    """Return the samples of their names, without the label that says whose they are."""
    return {
        (sample.name, frozenset((k, v) for k, v in sample.labels.items() if k != "component")): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if not sample.name.startswith("perfloop_")
    }


def ours(server: Child) -> dict[Series, float]:
    component = Component(name="cache", driver="redis", address=server.address)
    collector = RedisCollector(component, compat=True)
    page = render_page(collector.collect()).decode()
    collector.close()
    return series(page)


def theirs(server: Child, folder: Path) -> dict[Series, float]:
    exporter = redis_exporter(folder, server.address)
    exporter.start()
    try:
        exporter.wait_ready()
        page = requests.get(f"http://{exporter.address}/metrics", timeout=10).text
    finally:
        exporter.stop()
    return series(page)


def comparable(page: Mapping[Series, float]) -> dict[Series, float]:
    """Leave out what is left out on purpose, and the commands that only one of the two sends."""
    return {
        (name, labels): value
        for (name, labels), value in page.items()
        if not name.startswith((*LEFT_OUT, *LEFT_OUT_OF_SENTINELS))
        and name not in LEFT_OUT_ALONE
        and dict(labels).get("cmd") not in THEIR_COMMANDS
    }


@pytest.mark.parametrize("which", ["primary", "replica", "cluster", "sentinel"])
def test_every_sample_of_theirs_is_there_with_the_same_value(
    which: str, replica: Child, folder: Path, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(which)

    expected, found = comparable(theirs(server, folder)), comparable(ours(server))

    assert found.keys() == expected.keys()
    assert len(found) > 80
    different = {
        key: (found[key], expected[key])
        for key in expected
        if not key[0].startswith(MOVING) and found[key] != pytest.approx(expected[key])
    }
    assert different == {}
    started_at = ("redis_start_time_seconds", frozenset[tuple[str, str]]())
    assert found[started_at] == pytest.approx(expected[started_at], abs=2)


def test_what_moves_between_two_scrapes_is_near(primary: Child, replica: Child, folder: Path) -> None:
    expected, found = comparable(theirs(primary, folder)), comparable(ours(primary))

    for key, value in expected.items():
        if key[0].startswith(("redis_memory_used_", "redis_cpu_user", "redis_mem_fragmentation_ratio")):
            assert found[key] == pytest.approx(value, rel=0.5, abs=0.05)


def test_our_own_names_are_there_too(primary: Child) -> None:
    collector = RedisCollector(Component(name="cache", driver="redis", address=primary.address), compat=True)

    page = render_page(collector.collect())
    collector.close()

    assert b'perfloop_redis_up{component="cache"} 1\n' in page
    assert b'redis_up{component="cache"} 1\n' in page
    assert b'\nredis_up{component="cache"} 0\n' in render_page(collector.down())
