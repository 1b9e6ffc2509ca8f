"""Moves the memory limit of Redis and how it evicts."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar

from perfloop.errors import ActionRefused
from perfloop.executors.parameter import BYTES, COUNT, Parameter, Quantity, Words, switch
from perfloop.executors.setting import SettingExecutor
from perfloop.model import Change, Reversibility
from perfloop.protocols import Driver

HOST_MEMORY_RATIO = 0.75
EVICTION_POLICIES = (
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
)


class Cache(SettingExecutor):
    """Gives a cache more memory or another eviction policy; never takes memory away except to undo.

    Going back to a smaller limit evicts keys. That is refused, unless the owner had chosen, before we came, that any
    key may be lost (allkeys-*): then it is what the cache does all day, and the raise is reversible `approximate`ly.
    """

    name: ClassVar[str] = "cache"
    # The policy first: a limit takes effect under the policy that stands when it is written.
    parameters: ClassVar[Mapping[str, Mapping[str, Parameter]]] = {
        "redis": {
            "eviction_policy": Parameter(
                key="maxmemory-policy", values=Words(spellings={word: word for word in EVICTION_POLICIES})
            ),
            "maxmemory_samples": Parameter(key="maxmemory-samples", values=COUNT),
            "lazyfree_lazy_eviction": Parameter(key="lazyfree-lazy-eviction", values=switch("yes", "no")),
            "cache_size": Parameter(
                key="maxmemory", values=Quantity(units=BYTES, bare=Decimal(1), zero_is_unlimited=True)
            ),
        }
    }
    elsewhere: ClassVar[Mapping[str, str]] = {
        "ttl": "the time to live of a key is chosen by the application that writes it",
    }

    def reversibility(self, driver: Driver, change: Change) -> Reversibility:
        """Refuse to lower the limit or to pass three quarters of the host; else say what an undo would cost."""
        if change.key == "maxmemory-policy":
            starts_losing = any_key_may_go(change.after.value) and not any_key_may_go(change.before.value)
            return Reversibility.APPROXIMATE if starts_losing else Reversibility.FULL
        if change.key != "maxmemory":
            return Reversibility.FULL
        before, after = int(change.before.value), int(change.after.value)
        if after < before or before == 0:
            present = "unlimited" if before == 0 else before
            raise ActionRefused(f"would go from {present} down to {after} bytes, which evicts keys for good")
        host_bytes = int(driver.get("total_system_memory").value)
        if after == 0 or (host_bytes and after > host_bytes * HOST_MEMORY_RATIO):
            raise ActionRefused(
                f"would be {after or 'unlimited'}, above {HOST_MEMORY_RATIO:.0%} of the host's {host_bytes} bytes"
            )
        lossy = any_key_may_go(driver.get("maxmemory-policy").value)
        return Reversibility.APPROXIMATE if lossy else Reversibility.FULL

    def check_rollback(self, driver: Driver, change: Change) -> None:
        """Refuse a smaller limit below what is in use, unless losing keys was the owner's choice and still is."""
        if change.key != "maxmemory":
            return
        used, before = int(driver.get("used_memory").value), int(change.before.value)
        policy = driver.get("maxmemory-policy").value
        if used <= before or (change.reversibility is Reversibility.APPROXIMATE and any_key_may_go(policy)):
            return
        raise ActionRefused(
            f"{change.target}: {used} bytes are in use under {policy}; "
            f"going back to maxmemory {before} would lose keys or refuse writes"
        )


def any_key_may_go(policy: str) -> bool:
    """Say whether Redis may evict every key under this policy."""
    return policy.startswith("allkeys-")
