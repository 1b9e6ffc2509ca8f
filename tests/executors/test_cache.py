"""What it costs to give a cache more memory and take it back, on a real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis as client_library

from perfloop.drivers import connect
from perfloop.errors import ActionRefused
from perfloop.executors.cache import Cache
from perfloop.model import Action, Change, Component, Reversibility, Step
from perfloop.stack.process import Child
from perfloop.testing import MemoryDriver

MB = 1024**2
Plan = Callable[..., tuple[Change, ...]]


@pytest.fixture
def admin(redis: Child) -> Iterator[client_library.Redis]:
    """A full cache: a limit of 8 MB, reached under allkeys-lru; emptied and unlimited again afterwards."""
    host, _, port = redis.address.rpartition(":")
    with client_library.Redis(host=host, port=int(port), decode_responses=True) as admin:
        before = admin.config_get("maxmemory*")
        admin.config_set("maxmemory", 8 * MB, "maxmemory-policy", "allkeys-lru")
        fill(admin, megabytes=12)
        yield admin
        admin.flushall()
        for key in ("maxmemory", "maxmemory-policy", "maxmemory-samples"):
            admin.config_set(key, before[key])


def fill(admin: client_library.Redis, *, megabytes: int) -> None:
    with admin.pipeline(transaction=False) as pipeline:
        for number in range(megabytes * 100):
            pipeline.set(f"key-{megabytes}-{number}", "x" * 10_000)
        pipeline.execute()


@pytest.fixture
def cache(redis: Child) -> Cache:
    return Cache({"cache": Component(name="cache", driver="redis", address=redis.address)}, connect=connect)


@pytest.fixture
def plan(cache: Cache) -> Plan:
    def plan(**parameters: Step) -> tuple[Change, ...]:
        return cache.plan(Action(id="a1", policy="p1", executor="cache", component="cache", parameters=parameters))

    return plan


def test_a_raise_that_did_not_help_is_undone_where_any_key_may_go(
    admin: client_library.Redis, cache: Cache, plan: Plan
):
    (change,) = plan(cache_size=Step(increase_ratio=1.0, max="16MB"))
    cache.apply(change)
    fill(admin, megabytes=14)
    assert admin.info("memory")["used_memory"] > 8 * MB

    cache.rollback(change)

    assert change.reversibility is Reversibility.APPROXIMATE
    assert admin.config_get("maxmemory")["maxmemory"] == str(8 * MB)


@pytest.mark.parametrize("policy", ["noeviction", "volatile-lru"])
def test_a_raise_is_not_undone_over_keys_that_must_stay(
    admin: client_library.Redis, cache: Cache, plan: Plan, policy: str
):
    admin.config_set("maxmemory-policy", policy)
    (change,) = plan(cache_size=Step(increase_ratio=1.0, max="16MB"))
    cache.apply(change)
    fill(admin, megabytes=3)
    keys = admin.dbsize()

    with pytest.raises(ActionRefused, match=f"bytes are in use under {policy}; going back to maxmemory {8 * MB} would"):
        cache.rollback(change)

    assert change.reversibility is Reversibility.FULL
    assert admin.dbsize() == keys


def test_a_raise_is_undone_under_every_policy_while_nothing_would_be_lost(
    admin: client_library.Redis, cache: Cache, plan: Plan
):
    admin.config_set("maxmemory-policy", "noeviction")
    (change,) = plan(cache_size=Step(increase_ratio=1.0, max="16MB"))
    cache.apply(change)
    admin.flushall()
    fill(admin, megabytes=1)

    cache.rollback(change)

    assert admin.config_get("maxmemory")["maxmemory"] == str(8 * MB)
    assert admin.dbsize() == 100


def test_a_policy_that_we_made_lossy_is_not_the_owners_choice(admin: client_library.Redis, cache: Cache, plan: Plan):
    admin.config_set("maxmemory-policy", "noeviction")
    changes = plan(cache_size=Step(set="16MB"), eviction_policy=Step(set="allkeys-lfu"))
    for change in changes:
        cache.apply(change)
    fill(admin, megabytes=14)

    with pytest.raises(ActionRefused, match="under allkeys-lfu"):
        cache.rollback(changes[1])

    assert [change.reversibility for change in changes] == [Reversibility.APPROXIMATE, Reversibility.FULL]


def test_a_policy_that_became_strict_since_stops_the_undo(admin: client_library.Redis, cache: Cache, plan: Plan):
    (change,) = plan(cache_size=Step(increase_ratio=1.0, max="16MB"))
    cache.apply(change)
    fill(admin, megabytes=14)
    admin.config_set("maxmemory-policy", "noeviction")

    with pytest.raises(ActionRefused, match="under noeviction"):
        cache.rollback(change)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        pytest.param({"cache_size": Step(set="4MB")}, "which evicts keys for good", id="lower"),
        pytest.param({"cache_size": Step(set="0")}, "which evicts keys for good", id="0 is no lower limit"),
        pytest.param({"cache_size": Step(set="100TB")}, "above 75% of the host's", id="more than the host has"),
        pytest.param({"cache_size": Step(increase_ratio=0.5)}, "increase_ratio needs max", id="no max"),
        pytest.param({"ttl": Step(set="1h")}, "is chosen by the application", id="ttl"),
    ],
)
def test_a_size_that_must_not_be_is_refused(
    admin: client_library.Redis, plan: Plan, parameters: dict[str, Step], reason: str
):
    with pytest.raises(ActionRefused) as caught:
        plan(**parameters)

    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        pytest.param(Step(increase_ratio=0.5, max="1GB"), "is 0, which means no limit", id="raise"),
        pytest.param(Step(set="1GB"), "from unlimited down to 1073741824 bytes, which evicts", id="set"),
    ],
)
def test_an_unlimited_cache_gets_no_limit(admin: client_library.Redis, plan: Plan, step: Step, reason: str):
    admin.config_set("maxmemory", 0)

    with pytest.raises(ActionRefused) as caught:
        plan(cache_size=step)

    assert reason in str(caught.value)


def test_a_host_that_does_not_say_its_memory_bounds_nothing():
    settings = {"maxmemory": str(8 * MB), "maxmemory-policy": "allkeys-lru", "total_system_memory": "0"}
    cache = Cache(
        {"cache": Component(name="cache", driver="redis", address="h:1")}, connect=lambda _: MemoryDriver(settings)
    )

    (change,) = cache.plan(
        Action(id="a1", policy="p1", executor="cache", component="cache", parameters={"cache_size": Step(set="9GB")})
    )

    assert change.after.value == str(9 * 1024 * MB)
