"""The driver of Redis on a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import redis as client_library

from perfloop.drivers.redis import Redis
from perfloop.errors import OutcomeUnknown, Rejected, Unavailable
from perfloop.model import Component, Encryption
from perfloop.stack import servers
from perfloop.stack.process import Child, free_port
from tests.collectors.certificates import certificate
from tests.drivers.proxy import Proxy
from tests.support import eventually

DOCUMENTED = (Path(__file__).parents[2] / "docs" / "executors.md").read_text(encoding="utf-8")


def component(address: str, **more: str) -> Component:
    return Component(**{"name": "cache", "driver": "redis", "address": address, **more})


@pytest.fixture
def admin(redis: Child) -> Iterator[client_library.Redis]:
    host, _, port = redis.address.rpartition(":")
    with client_library.Redis(host=host, port=int(port), decode_responses=True) as admin:
        yield admin
        admin.config_set("maxmemory", "0")


def test_what_is_written_is_read(redis: Child, admin: client_library.Redis):
    driver = Redis(component(redis.address))

    driver.set("maxmemory", "67108864")

    assert driver.get("maxmemory").value == "67108864"
    assert admin.config_get("maxmemory") == {"maxmemory": "67108864"}


def test_the_facts_that_bound_a_cache_are_numbers_of_bytes(redis: Child):
    driver = Redis(component(redis.address))

    assert int(driver.get("used_memory").value) > 100_000
    assert int(driver.get("total_system_memory").value) > 100_000_000


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        pytest.param("maxmemory", "much", "argument must be a memory value", id="bad value"),
        pytest.param("databases", "3", "can't set immutable config", id="immutable"),
        pytest.param("warp_factor", "9", "Unknown option", id="unknown"),
    ],
)
def test_a_no_of_redis_is_rejected_in_its_words(redis: Child, key: str, value: str, message: str):
    with pytest.raises(Rejected, match=f"cache: .*{message}"):
        Redis(component(redis.address)).set(key, value)


def test_an_unknown_setting_is_rejected_by_name(redis: Child):
    with pytest.raises(Rejected, match="this Redis has no setting warp_factor"):
        Redis(component(redis.address)).get("warp_factor")


def test_there_is_no_default_to_go_back_to(redis: Child):
    with pytest.raises(Rejected, match="no default of maxmemory"):
        Redis(component(redis.address)).reset("maxmemory")


def test_the_documented_rights_are_enough_and_no_more(redis: Child, admin: client_library.Redis):
    rule = next(line for line in DOCUMENTED.splitlines() if line.startswith("ACL SETUSER perfloop "))
    admin.execute_command(rule)
    admin.acl_log_reset()
    driver = Redis(component(redis.address, user="perfloop", password="CHANGE-ME"))

    driver.set("maxmemory", "67108864")

    assert driver.get("maxmemory").value == "67108864"
    assert int(driver.get("used_memory").value) > 0
    assert driver.obstacle("maxmemory") is None
    host, _, port = redis.address.rpartition(":")
    assert admin.acl_log() == []
    own = client_library.Redis(host=host, port=int(port), username="perfloop", password="CHANGE-ME", protocol=2)
    with own, pytest.raises(client_library.exceptions.NoPermissionError):
        own.flushall()


def test_a_wrong_password_is_rejected_and_not_shown(redis: Child):
    driver = Redis(component(redis.address, user="nobody", password="hunter2"))

    with pytest.raises(Rejected, match=r"cache: .*invalid username-password pair") as caught:
        driver.get("maxmemory")

    assert "hunter2" not in f"{caught.value} {caught.value.__cause__}"


def test_a_replica_is_said_before(redis: Child, admin: client_library.Redis):
    admin.replicaof("127.0.0.1", "1")

    try:
        obstacle = Redis(component(redis.address)).obstacle("maxmemory")
    finally:
        admin.replicaof("no", "one")

    assert obstacle == "this Redis is a replica, which ignores maxmemory"


def test_a_lost_answer_to_a_write_is_an_unknown_outcome_and_is_not_sent_again(
    redis: Child, admin: client_library.Redis, losing: Callable[..., Proxy]
):
    through = Redis(component(losing(redis.address, after=b"maxmemory").address), timeout_seconds=0.3)
    admin.config_resetstat()

    with pytest.raises(OutcomeUnknown, match="cache: "):
        through.set("maxmemory", "67108864")

    assert admin.config_get("maxmemory") == {"maxmemory": "67108864"}
    assert admin.info("commandstats")["cmdstat_config|set"]["calls"] == 1


def test_a_lost_answer_to_a_read_is_unavailable(redis: Child, losing: Callable[..., Proxy]):
    through = Redis(component(losing(redis.address, after=b"GET").address), timeout_seconds=0.3)

    with pytest.raises(Unavailable, match="cache: "):
        through.get("maxmemory")


def test_a_redis_that_is_busy_with_a_script_may_be_asked_later(redis: Child, admin: client_library.Redis):
    host, _, port = redis.address.rpartition(":")
    admin.config_set("busy-reply-threshold", 1)
    runner = client_library.Redis(host=host, port=int(port), socket_timeout=0.2, retry=None)

    with pytest.raises(client_library.TimeoutError):
        runner.eval("while true do end", 0)

    try:
        with pytest.raises(Unavailable, match=r"(?i)busy"):
            Redis(component(redis.address)).set("maxmemory", "67108864")
    finally:
        admin.script_kill()
        eventually(lambda: is_free(admin), what="Redis after the script")
        admin.config_set("busy-reply-threshold", 5000)


def is_free(admin: client_library.Redis) -> bool:
    try:
        return bool(admin.ping())
    except client_library.exceptions.ResponseError:
        return False


def test_tls_and_unix_sockets_lead_to_the_same_server(tmp_path: Path):
    port, made, path = free_port(), certificate(tmp_path), tmp_path / "redis.sock"
    options = {"tls-port": str(port), "tls-cert-file": str(made.file), "tls-key-file": str(made.key)}
    options |= {"tls-ca-cert-file": str(made.file), "unixsocket": str(path)}
    server = servers.redis(tmp_path, port=0, settings=options)
    server.start()
    try:
        eventually(lambda: servers.tcp_ready(port) and path.exists(), what="Redis")
        known = Encryption(ca_file=str(made.file), certificate_file=str(made.file), key_file=str(made.key))
        encrypted = Component(name="cache", driver="redis", address=f"127.0.0.1:{port}", encryption=known)

        Redis(component(str(path))).set("maxmemory", "12345678")

        assert Redis(encrypted).get("maxmemory").value == "12345678"
        with pytest.raises(Unavailable, match="certificate"):
            Redis(msgspec.structs.replace(encrypted, encryption=Encryption())).get("maxmemory")
    finally:
        server.stop()
