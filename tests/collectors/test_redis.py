"""A real Redis: what was done there is what the page shows."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from redis import Redis

from perfloop.collectors.keyvalue.redis_page import RedisPage
from perfloop.collectors.keyvalue.redis_reply import parse
from perfloop.collectors.redis import RedisCollector
from perfloop.errors import PerfloopError, Rejected, Unavailable
from perfloop.exposition.page import render_page
from perfloop.model import Component, Encryption
from perfloop.stack import servers
from perfloop.stack.process import Child, find_binary, free_port
from tests.collectors.certificates import Certificate, certificate
from tests.collectors.doubles import Conversation, answering, dripping, flooding, talking
from tests.collectors.pages import Page, lint, page_of
from tests.support import eventually, freeze


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


def component(address: str, *, user: str = "", password: str = "", encryption: Encryption | None = None) -> Component:
    return Component(name="cache", driver="redis", address=address, user=user, password=password, encryption=encryption)


@contextmanager
def running(child: Child) -> Iterator[Child]:
    child.start()
    try:
        child.wait_ready()
        yield child
    finally:
        child.stop()


def measured(made: RedisCollector) -> Page:
    try:
        return page_of(made.collect())
    finally:
        made.close()


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
    assert list(read_openmetrics(render_page(collector.collect(), openmetrics=True).decode()))


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

    # Answers take memory, too: even reading the count may evict.
    assert 80 <= value(page, "evicted_keys_total") <= client.info("stats")["evicted_keys"]
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


def test_failures_rejections_and_kinds_of_errors_are_counted(client: Redis, collector: RedisCollector) -> None:
    client.set("text", "no list")
    for command in (("LPUSH", "text", "1"), ("LPUSH", "text"), ("NO SUCH COMMAND",)):
        with pytest.raises(Exception, match=r"wrong|unknown"):
            client.execute_command(*command)

    page = page_of(collector.collect())

    assert value(page, "commands_failed_total", command="lpush") == 1
    assert value(page, "commands_rejected_total", command="lpush") == 1
    assert value(page, "errors_total", error="WRONGTYPE") == 1
    assert value(page, "errors_total", error="ERR") >= 2
    assert value(page, "error_replies_total") >= 3
    assert value(page, "command_latency_seconds", command="set", percentile="99.9") < 0.1


def test_slow_commands_and_spikes_are_shown(client: Redis, collector: RedisCollector) -> None:
    client.config_set("slowlog-log-slower-than", 5000)
    client.config_set("latency-monitor-threshold", 5)
    before = value(page_of(collector.collect()), "slowlog_entries")

    client.eval("for i = 1, 5000000 do end", 0)

    page = page_of(collector.collect())
    assert value(page, "slowlog_entries") == before + 1
    assert value(page, "slowlog_logged_total") >= 1
    assert 0.005 < value(page, "slowlog_last_duration_seconds") < 1
    assert value(page, "latency_event_last_seconds", event="command") >= 0.005
    assert value(page, "latency_event_timestamp_seconds", event="command") == pytest.approx(time.time(), abs=5)
    assert lint(page.text) == ""
    client.config_set("slowlog-log-slower-than", 10000)
    client.config_set("latency-monitor-threshold", 0)


def test_keys_with_a_time_to_live_are_told_apart(client: Redis, collector: RedisCollector) -> None:
    client.set("forever", "1")
    client.set("brief", "1", ex=100)

    page = page_of(collector.collect())

    assert value(page, "keys", db="3") == 2
    assert value(page, "keys_expiring", db="3") == 1
    assert 0 <= value(page, "keys_average_ttl_seconds", db="3") <= 100
    assert page.labels("perfloop_redis_keys", "db") == {"3"}, "a database without keys has no sample"


def test_never_is_no_sample(redis: Child, tmp_path: Path) -> None:
    with running(servers.redis(tmp_path, port=free_port())) as fresh:
        page = measured(RedisCollector(component(fresh.address)))

    for name in ("rdb_last_save_duration_seconds", "aof_last_rewrite_duration_seconds", "slowlog_logged_total"):
        assert f"perfloop_redis_{name}" not in page.names()
    assert "-1" not in page.text


def test_a_replica_and_its_primary_tell_of_one_another(client: Redis, redis: Child, tmp_path: Path) -> None:
    host, _, port = redis.address.rpartition(":")
    client.config_set("repl-diskless-sync-delay", 0)
    above = RedisCollector(component(redis.address))
    with running(servers.redis(tmp_path, port=free_port(), settings={"replicaof": f"{host} {port}"})) as replica:
        below = RedisCollector(component(replica.address))
        eventually(lambda: value(page_of(below.collect()), "primary_link_up") == 1, what="the link")
        eventually(lambda: value(page_of(above.collect()), "replica_online", replica=replica.address) == 1)

        page, primary = measured(below), measured(above)

    assert value(page, "primary_info", host=host, port=port) == 1
    assert value(page, "primary_last_io_timestamp_seconds") == pytest.approx(time.time(), abs=15)
    assert value(page, "replica_read_only") == 1
    assert value(primary, "connected_replicas") == 1
    assert value(primary, "replica_online", replica=replica.address) == 1
    assert value(primary, "replica_offset_bytes", replica=replica.address) >= 0
    assert value(primary, "replica_lag_seconds", replica=replica.address) < 5


def test_a_member_of_a_cluster_tells_of_its_slots(tmp_path: Path) -> None:
    options = {"cluster-enabled": "yes", "cluster-port": str(free_port())}
    with running(servers.redis(tmp_path, port=free_port(), settings=options)) as node:
        host, _, port = node.address.rpartition(":")
        with Redis(host=host, port=int(port)) as connected:
            connected.execute_command("CLUSTER", "ADDSLOTS", 0, 1, 2)
        page = measured(RedisCollector(component(node.address)))

    assert value(page, "cluster_enabled") == 1
    assert value(page, "cluster_ok") == 0, "16381 slots are nobody's"
    assert value(page, "cluster_slots_assigned") == 3
    assert value(page, "cluster_nodes") == 1
    assert lint(page.text) == ""


def test_a_sentinel_tells_of_the_primaries_it_watches(redis: Child, tmp_path: Path) -> None:
    host, _, port = redis.address.rpartition(":")
    own, config = free_port(), tmp_path / "sentinel.conf"
    config.write_text(f"port {own}\nbind {host}\ndir {tmp_path}\nsentinel monitor sessions {host} {port} 1\n")
    argv = [find_binary("redis-server"), str(config), "--sentinel"]
    child = Child("sentinel", argv, log=tmp_path / "log", ready=lambda: servers.tcp_ready(own), address=f"{host}:{own}")
    with running(child):
        page = measured(RedisCollector(component(child.address)))

    assert value(page, "sentinel_primaries") == 1
    assert value(page, "sentinel_primary_ok", primary="sessions") == 1
    assert value(page, "sentinel_primary_replicas", primary="sessions") == 0
    assert value(page, "sentinel_primary_sentinels", primary="sessions") == 1
    assert lint(page.text) == ""


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Child, Path, Certificate]]:
    """A Redis that speaks TLS only, and listens on a UNIX socket."""
    folder = tmp_path_factory.mktemp("secured")
    port, made, path = free_port(), certificate(folder), folder / "redis.sock"
    options = {
        "tls-port": str(port),
        "tls-cert-file": str(made.file),
        "tls-key-file": str(made.key),
        "tls-ca-cert-file": str(made.file),
        "tls-auth-clients": "optional",
        "unixsocket": str(path),
    }
    child = servers.redis(folder, port=0, settings=options)
    child.address = f"127.0.0.1:{port}"
    child.start()
    eventually(lambda: servers.tcp_ready(port) and path.exists(), what="Redis")
    yield child, path, made
    child.stop()


def test_tls_is_checked_against_the_authority(secured: tuple[Child, Path, Certificate]) -> None:
    server, _, made = secured
    trusting = Encryption(ca_file=str(made.file), certificate_file=str(made.file), key_file=str(made.key))

    assert value(measured(RedisCollector(component(server.address, encryption=trusting))), "up") == 1
    assert value(measured(RedisCollector(component(server.address, encryption=Encryption(verify=False)))), "up") == 1
    with pytest.raises(Unavailable, match="self-signed"):
        RedisCollector(component(server.address, encryption=Encryption())).collect()
    elsewhere = Encryption(ca_file=str(made.file), server_name="elsewhere")
    with pytest.raises(Unavailable, match="certificate is not valid for 'elsewhere'"):
        RedisCollector(component(server.address, encryption=elsewhere)).collect()
    with pytest.raises(Unavailable, match=r"missing\.pem"):
        RedisCollector(component(server.address, encryption=Encryption(ca_file="/missing.pem"))).collect()


def test_a_unix_socket_is_an_address_too(secured: tuple[Child, Path, Certificate]) -> None:
    _, path, _ = secured

    assert value(measured(RedisCollector(component(str(path)))), "up") == 1


def test_what_the_user_may_not_do_costs_its_own_samples_and_is_not_tried_again(client: Redis, redis: Child) -> None:
    client.execute_command("ACL", "SETUSER", "blind", "on", ">secret", "+info", "+slowlog|len")
    client.acl_log_reset()
    collector = RedisCollector(component(redis.address, user="blind", password="secret"))

    first = page_of(collector.collect())
    denied = [entry["count"] for entry in client.acl_log()]
    page_of(collector.collect())

    assert [entry["count"] for entry in client.acl_log()] == denied
    assert value(first, "up") == 1
    assert value(first, "slowlog_entries") >= 0
    assert {"perfloop_redis_databases", "perfloop_redis_slowlog_logged_total"}.isdisjoint(first.names())
    assert lint(first.text) == ""
    collector.close()
    client.execute_command("ACL", "DELUSER", "blind")


def test_the_rights_in_the_documents_are_enough(client: Redis, redis: Child) -> None:
    text = (Path(__file__).parents[2] / "docs" / "collectors" / "redis.md").read_text(encoding="utf-8")
    (rules,) = re.findall(r"ACL SETUSER perfloop (.*)", text)
    client.execute_command("ACL", "SETUSER", "perfloop", *rules.replace("PASSWORD", "secret").split())
    client.acl_log_reset()

    page = measured(RedisCollector(component(redis.address, user="perfloop", password="secret")))

    assert value(page, "databases") == 16
    assert client.acl_log() == []
    client.execute_command("ACL", "DELUSER", "perfloop")


def test_a_refused_login_says_nothing_of_the_password() -> None:
    echo = b"-ERR unknown command 'AUTH', with args beginning with: 'watcher' 'geheim'\r\n"
    with talking(answering(echo)) as address, pytest.raises(Rejected) as caught:
        RedisCollector(component(address, user="watcher", password="geheim")).collect()

    assert "geheim" not in str(caught.value)


def test_only_so_many_kinds_of_errors_have_a_series_and_stay_the_same() -> None:
    page = RedisPage("cache", aliases={})
    many = b"".join(b"errorstat_E%03d:count=2\r\n" % i for i in range(1, 300))

    first = page_of(page.samples(parse(many)))
    second = page_of(page.samples(parse(b"errorstat_A:count=5\r\n" + many)))

    kinds = first.labels("perfloop_redis_errors_total", "error")
    assert len(kinds) == 101
    assert second.labels("perfloop_redis_errors_total", "error") == kinds
    assert value(second, "errors_total", error="other") == 199 * 2 + 5


# -- what is no Redis, or a sick one -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "conversation",
    [
        pytest.param(answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"), id="another protocol"),
        pytest.param(answering(b"\xff\x00" * 1000), id="noise"),
        pytest.param(answering(b"*-5\r\n$99999\r\n"), id="nonsense"),
        pytest.param(answering(b"$-1\r\n" * 6), id="nothing"),
        pytest.param(answering(b":1\r\n" * 6), id="a number"),
        pytest.param(answering(b"-LOADING Redis is loading\r\n" * 6), id="an error"),
        pytest.param(answering(b"#f\r\n" * 6), id="a later protocol"),
        pytest.param(answering(b""), id="it hangs up"),
        pytest.param(flooding(b"$1000000000\r\n" + bytes(1 << 20)), id="it never ends"),
    ],
)
def test_a_strange_answer_is_an_error_and_no_more(conversation: Conversation) -> None:
    with talking(conversation) as address:
        collector = RedisCollector(component(address), timeout_seconds=5)
        for _ in range(2):
            with pytest.raises((Unavailable, Rejected)):
                collector.collect()
        assert page_of(collector.down()).value("perfloop_redis_up", component="cache") == 0
        collector.close()


def test_an_answer_that_drips_is_given_up_in_time() -> None:
    stop, started_at = threading.Event(), time.monotonic()
    with talking(dripping(stop)) as address, pytest.raises(Unavailable, match="timed out"):
        RedisCollector(component(address), timeout_seconds=0.3).collect()

    assert time.monotonic() - started_at < 1
    stop.set()


def test_nobody_there_is_said_with_the_address(dead_address: str) -> None:
    with pytest.raises(Unavailable, match=f"{dead_address}: .*refused"):
        RedisCollector(component(dead_address)).collect()


def test_a_stopped_server_is_given_up_and_found_again(tmp_path: Path) -> None:
    with running(servers.redis(tmp_path, port=free_port())) as server:
        collector = RedisCollector(component(server.address), timeout_seconds=0.3)
        page_of(collector.collect())
        freeze(server.pid)
        try:
            with pytest.raises(Unavailable, match="timed out"):
                collector.collect()
        finally:
            os.kill(server.pid, signal.SIGCONT)

        assert value(page_of(collector.collect()), "up") == 1
        collector.close()


def test_a_restarted_server_is_found_again(tmp_path: Path) -> None:
    port = free_port()
    with running(servers.redis(tmp_path, port=port)) as server:
        collector = RedisCollector(component(server.address))
        page_of(collector.collect())
    with pytest.raises(Unavailable):
        collector.collect()
    with running(servers.redis(tmp_path, port=port)):
        assert value(page_of(collector.collect()), "up") == 1
        collector.close()


KEY = st.sampled_from([b"used_memory", b"db0", b"cmdstat_get", b"errorstat_ERR", b"slave0", b"master0", b"role", b"os"])
VALUE = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([b"keys=1,expires=2,avg_ttl=3", b"calls=1,usec=2,usec_per_call=3", b"p50=1,p99.9=2.5,p50=1"]),
    st.sampled_from([b"name=a,status=ok,address=b,slaves=1,sentinels=2", b"ip=::1,port=1,state=online,offset=3"]),
)
LINES = st.lists(st.one_of(st.binary(max_size=40), st.tuples(KEY, VALUE).map(b":".join)), max_size=30)


@settings(max_examples=80, deadline=None)
@given(
    lines=LINES, others=st.lists(st.one_of(st.none(), st.integers(), st.binary(), st.lists(st.integers())), max_size=6)
)
def test_whatever_info_says_the_page_is_valid(lines: list[bytes], others: list[object]) -> None:
    page = page_of(RedisPage("cache", aliases={}).samples(parse(b"\r\n".join(lines), *others)))

    assert value(page, "up") == 1


RESP = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from(
            [b"*2\r\n", b"$3\r\nfoo\r\n", b"$-1\r\n", b":5\r\n", b"-ERR no\r\n", b"+OK\r\n", b"*-1\r\n", b"%1\r\n"]
        ),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(words=RESP)
def test_whatever_is_answered_it_is_a_page_or_an_error(words: list[bytes]) -> None:
    with talking(answering(b"".join(words) or b"\r\n")) as address:
        collector = RedisCollector(component(address), timeout_seconds=2)
        try:
            assert value(page_of(collector.collect()), "up") == 1
        except PerfloopError:
            assert value(page_of(collector.down()), "up") == 0
        collector.close()
