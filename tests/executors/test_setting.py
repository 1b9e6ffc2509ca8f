"""What executors of settings do alike, where only failure can show it: over a component in memory."""

from __future__ import annotations

import pytest

from perfloop.errors import ActionRefused, Conflict, OutcomeUnknown, Rejected
from perfloop.executors.cache import Cache
from perfloop.executors.database import Database
from perfloop.model import Action, Change, Component, Probe, Setting, Step
from perfloop.testing import Fault, FaultyDriver, MemoryDriver


def database(driver: MemoryDriver | FaultyDriver, *, kind: str = "postgresql") -> Database:
    return Database({"db": Component(name="db", driver=kind, address="127.0.0.1:1")}, connect=lambda _: driver)


def action(component: str = "db", **parameters: Step) -> Action:
    return Action(id="a1", policy="p1", executor="database", component=component, parameters=parameters)


def change(before: Setting, after: str) -> Change:
    return Change(target="db", key="work_mem", before=before, after=Setting(value=after))


class DeafDriver(MemoryDriver):
    """Answers every write and puts nothing in force, like SET of an unchangeable setting; a reset is noted."""

    was_reset = False

    def set(self, key: str, value: str) -> None:
        pass

    def reset(self, key: str) -> None:
        self.was_reset = True


def test_an_answered_write_that_is_not_in_force_is_taken_back_and_reported():
    driver = DeafDriver(defaults={"work_mem": "4MB"})

    with pytest.raises(Rejected, match=r"the write was answered, but 4MB \(default\) is still in force"):
        database(driver).apply(change(Setting(value="4MB", explicit=False), "8MB"))

    assert driver.was_reset


def test_a_write_that_cannot_be_read_back_is_an_unknown_outcome():
    driver = FaultyDriver(MemoryDriver({"work_mem": "4MB"}))
    driver.fail_reads(None, Fault.UNAVAILABLE)
    planned = change(Setting(value="4MB"), "8MB")

    with pytest.raises(OutcomeUnknown, match="db work_mem was written but cannot be read back"):
        database(driver).apply(planned)

    assert database(driver).probe(planned) is Probe.AFTER


def test_a_rejected_write_changes_nothing():
    driver = FaultyDriver(MemoryDriver({"work_mem": "4MB"}))
    driver.fail_writes(Fault.REJECTED)

    with pytest.raises(Rejected):
        database(driver).apply(change(Setting(value="4MB"), "8MB"))

    assert driver.get("work_mem") == Setting(value="4MB")


def test_our_number_by_someone_elses_hand_is_not_ours():
    driver = MemoryDriver(defaults={"work_mem": "8MB"})

    with pytest.raises(Conflict, match=r"is 8MB \(default\), expected 8MB"):
        database(driver).rollback(change(Setting(value="4MB", explicit=False), "8MB"))


def test_parameters_change_in_the_tables_order_and_what_stands_right_is_left_out():
    driver = MemoryDriver(
        {
            "maxmemory": "67108864",
            "maxmemory-policy": "noeviction",
            "maxmemory-samples": "5",
            "total_system_memory": "25276510208",
        }
    )
    cache = Cache({"db": Component(name="db", driver="redis", address="127.0.0.1:1")}, connect=lambda _: driver)

    changes = cache.plan(
        action(cache_size=Step(set="128MB"), maxmemory_samples=Step(set="5"), eviction_policy=Step(set="allkeys-lfu"))
    )

    assert [str(change) for change in changes] == [
        "db maxmemory-policy noeviction -> allkeys-lfu",
        "db maxmemory 67108864 -> 134217728",
    ]


def test_an_obstacle_is_a_refusal_in_the_drivers_words():
    driver = MemoryDriver({"work_mem": "4MB"}, obstacles={"work_mem": "work_mem is set for role app"})

    with pytest.raises(ActionRefused, match="db: work_mem cannot be set: work_mem is set for role app"):
        database(driver).plan(action(work_mem=Step(set="8MB")))


@pytest.mark.parametrize(
    ("planned", "kind", "reason"),
    [
        pytest.param(action("shop"), "postgresql", "there is no component 'shop'", id="component"),
        pytest.param(action(), "postgresql", "no parameters are given", id="nothing"),
        pytest.param(
            action(work_mem=Step(set="8MB")),
            "redis",
            "database works on pgbouncer and postgresql, not on redis",
            id="driver",
        ),
        pytest.param(
            action(shared_buffers=Step(set="8GB")), "postgresql", "it needs a restart of PostgreSQL", id="restart"
        ),
        pytest.param(
            action(work_mem=Step(set="8MB")),
            "pgbouncer",
            "database on pgbouncer has connection_pool_size, query_timeout",
            id="parameter",
        ),
        pytest.param(action(jit=Step(set="off")), "postgresql", "there is no setting jit", id="another version"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_with_its_reason(planned: Action, kind: str, reason: str):
    with pytest.raises(ActionRefused) as caught:
        database(MemoryDriver({"work_mem": "4MB"}), kind=kind).plan(planned)

    assert reason in str(caught.value)
