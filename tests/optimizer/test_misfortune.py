"""The loop when things go wrong: pauses, lost answers, meddling people, broken configurations, clocks that jump."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from perfloop.errors import NotNow
from perfloop.model import Baseline, Limits, Mode, Policy, State, Step, Verdict
from perfloop.optimizer.policy import Budget
from perfloop.testing import Fault
from tests.optimizer.loop import POLICY, POOL, Loop, ScriptedEvaluator, firing, judged, resolved

# -- what holds an action back ----------------------------------------------------------------------------------------


def test_a_pause_holds_back_what_has_been_decided_but_not_begun(make: Callable[..., Loop]) -> None:
    loop = make(replace(POLICY, mode=Mode.APPROVE))
    loop.deliver(firing())
    loop.store.pause("migration")

    loop.controller.approve(loop.only().id)
    loop.run(60)
    while_paused = (loop.only().state, loop.pool_size())
    loop.store.pause(None)
    loop.run(120)

    assert while_paused == (State.PENDING, "2")
    assert (loop.only().state, loop.pool_size()) == (State.COMPLETED, "4")


def test_an_approval_after_the_alert_has_resolved_changes_nothing(make: Callable[..., Loop]) -> None:
    loop = make(replace(POLICY, mode=Mode.APPROVE))
    alert = firing()
    loop.deliver(alert)
    loop.deliver(resolved(alert, ends_at=200.0))

    loop.controller.approve(loop.only().id)
    loop.run(60)

    assert (loop.only().state, loop.pool_size()) == (State.CANCELLED, "2")
    assert "resolved before the action began" in loop.only().reason


def test_an_action_that_could_not_begin_in_time_is_cancelled_after_a_long_outage(make: Callable[..., Loop]) -> None:
    loop = make()
    loop.driver.fail_reads(None, *[Fault.UNAVAILABLE] * 3)
    loop.store.receive([firing()], now=loop.clock())
    loop.controller.tick()

    loop.clock.advance(2 * 86400.0)
    loop.run(30)

    assert all(e.state is State.CANCELLED for e in loop.store.executions())
    assert loop.pool_size() == "2"


def test_an_error_in_deciding_one_episode_does_not_keep_others_from_their_verdict(make: Callable[..., Loop]) -> None:
    loop = make(evaluator=ScriptedEvaluator(judged(Verdict.HARMFUL)))
    loop.deliver(firing())
    loop.run(5)

    class Broken:
        def get(self, key: str) -> object:
            raise ValueError("nobody foresaw this")

    loop.drivers["billing-pool"] = Broken()  # type: ignore[assignment]
    loop.deliver(firing(component="billing-pool"))
    loop.run(100)

    assert (loop.store.executions(component=POOL)[0].state, loop.pool_size()) == (State.ROLLED_BACK, "2")
    assert any("nobody foresaw this" in reason for reason in loop.reasons())


def test_a_component_that_left_the_configuration_locks_and_frees_its_place(make: Callable[..., Loop]) -> None:
    loop = make()
    loop.deliver(firing())
    loop.run(5)
    gone = loop.drivers.pop(POOL)
    loop.controller.reconfigure(loop.parts())

    loop.run(4000, step_seconds=10)
    locked = loop.only()
    loop.drivers[POOL] = gone
    loop.controller.reconfigure(loop.parts())
    loop.controller.rollback(locked.id)
    loop.run(10)

    assert (locked.state, locked.locked) == (State.FAILED, True)
    assert "there is no component 'orders-pool'" in locked.reason
    assert (loop.only().state, loop.pool_size()) == (State.ROLLED_BACK, "2")


def test_our_other_changes_are_undone_when_somebody_else_changed_one(make: Callable[..., Loop]) -> None:
    both = {**POLICY.parameters, "query_timeout": Step(set="30s")}
    loop = make(replace(POLICY, parameters=both), evaluator=ScriptedEvaluator(judged(Verdict.EFFECTIVE)))
    loop.deliver(firing())
    loop.run(5)
    loop.values[POOL].set("query_timeout", "99")

    loop.run(100)

    assert (loop.pool_size(), loop.values[POOL].get("query_timeout").value) == ("2", "99")
    assert (loop.only().state, loop.only().locked) == (State.FAILED, True)


def test_rolling_back_by_hand_while_the_component_is_busy_says_so(make: Callable[..., Loop]) -> None:
    other = replace(POLICY, name="pool-waiting", matchers=('rule="pool_waiting"',))
    loop = make(POLICY, other)
    loop.deliver(firing())
    loop.run(60)
    kept = loop.only()
    loop.run(900, step_seconds=30)
    loop.deliver(firing(rule="pool_waiting"))

    with pytest.raises(NotNow, match="busy with another action"):
        loop.controller.rollback(kept.id)


def test_what_a_person_undid_is_not_done_again_the_same_day(make: Callable[..., Loop]) -> None:
    loop = make()
    first = firing(starts_at=1.0)
    loop.deliver(first)
    loop.run(60)
    loop.deliver(resolved(first, ends_at=2.0))
    loop.clock.advance(3 * 86400.0)
    loop.controller.rollback(loop.only().id)
    loop.run(5)

    loop.deliver(firing(starts_at=3 * 86400.0))
    loop.run(3600, step_seconds=60)

    assert loop.pool_size() == "2"
    assert "was undone" in loop.reasons()[0]


def test_actions_that_fail_count_against_the_budget(make: Callable[..., Loop]) -> None:
    loop = make(replace(POLICY, limits=Limits(actions_per_hour=3, cooldown_seconds=0.0)))
    loop.driver.fail_writes(*[Fault.REJECTED] * 100)

    for i in range(10):
        alert = firing(starts_at=float(i))
        loop.deliver(alert)
        loop.run(60, step_seconds=5)
        loop.deliver(resolved(alert, ends_at=i + 0.5))

    assert len(loop.store.executions()) == 3


def test_a_question_that_nobody_answers_keeps_no_other_component_waiting(make: Callable[..., Loop]) -> None:
    asks = replace(POLICY, mode=Mode.APPROVE, matchers=('component="billing-pool"',))
    loop = make(asks, POLICY)
    loop.controller.reconfigure(loop.parts(budget=Budget(max_concurrent=1)))

    loop.deliver(firing(component="billing-pool"), firing())
    loop.run(60)

    assert loop.store.executions(component=POOL)[0].state is State.COMPLETED


def test_a_write_before_ours_fails_the_action_without_a_lock(make: Callable[..., Loop]) -> None:
    loop = make()

    class Meddling(ScriptedEvaluator):
        def baseline(self, policy: Policy, component: str, *, now: float) -> Baseline:
            if loop.store.executions():
                loop.values[POOL].set("default_pool_size", "7")
            return super().baseline(policy, component, now=now)

    loop.evaluator = Meddling()
    loop.controller.reconfigure(loop.parts())
    loop.deliver(firing())
    loop.run(30)

    assert (loop.only().state, loop.only().locked, loop.driver.writes) == (State.FAILED, False, 0)
    assert loop.pool_size() == "7"


def test_an_episode_from_the_future_is_decided_when_the_clock_was_set_back(make: Callable[..., Loop]) -> None:
    loop = make()
    loop.store.receive([firing()], now=loop.clock() + 3600.0)

    loop.run(60)

    assert loop.only().state is State.COMPLETED


def test_a_change_dated_by_a_clock_that_was_ahead_settles_anew(make: Callable[..., Loop]) -> None:
    loop = make()
    loop.deliver(firing())
    loop.run(5)
    waiting = loop.only()
    loop.store.save(replace(waiting, executed_at=loop.clock() + 3.0e8), note="a clock that was ten years ahead")

    loop.run(60)

    assert (loop.only().executed_at or 0.0) < loop.clock()
    assert loop.only().state is State.COMPLETED


# -- failures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.LOST_BEFORE, Fault.LOST_AFTER, Fault.UNAVAILABLE])
def test_a_lost_answer_is_resolved_by_a_probe(make: Callable[..., Loop], fault: Fault) -> None:
    loop = make()
    loop.driver.fail_writes(fault)

    loop.deliver(firing())
    loop.run(100)

    assert (loop.only().state, loop.pool_size(), loop.driver.writes) == (State.COMPLETED, "4", 1)


def test_a_component_that_says_no_fails_the_action_and_nothing_stays_changed(make: Callable[..., Loop]) -> None:
    loop = make()
    loop.driver.fail_writes(Fault.REJECTED)

    loop.deliver(firing())
    loop.run(100)

    assert (loop.only().state, loop.pool_size()) == (State.FAILED, "2")
    assert "the test asked for a no" in loop.only().reason


def test_a_component_that_never_answers_fails_the_action_after_its_timeout(make: Callable[..., Loop]) -> None:
    loop = make()
    loop.driver.fail_writes(*[Fault.UNAVAILABLE] * 15)

    loop.deliver(firing())
    loop.run(1500, step_seconds=5)

    assert (loop.only().state, loop.pool_size()) == (State.FAILED, "2")
    assert "optimization_timeout" in loop.only().reason


def test_a_rollback_is_tried_until_the_component_is_back(make: Callable[..., Loop]) -> None:
    loop = make(evaluator=ScriptedEvaluator(judged(Verdict.INEFFECTIVE)))
    loop.deliver(firing())
    loop.run(5)
    loop.driver.fail_writes(*[Fault.UNAVAILABLE] * 5)

    loop.run(200)

    assert (loop.only().state, loop.pool_size()) == (State.ROLLED_BACK, "2")


def test_someone_elses_change_is_left_alone(make: Callable[..., Loop]) -> None:
    loop = make(evaluator=ScriptedEvaluator(judged(Verdict.INEFFECTIVE)))
    loop.deliver(firing())
    loop.run(5)
    loop.values[POOL].set("default_pool_size", "7")

    loop.run(100)

    assert (loop.only().state, loop.only().locked, loop.pool_size()) == (State.FAILED, True, "7")
    assert "default_pool_size to 7, expected 4" in loop.only().reason


def test_a_component_that_could_not_be_restored_is_locked_until_released(make: Callable[..., Loop]) -> None:
    loop = make()
    loop.deliver(firing(starts_at=1.0))
    loop.run(60)
    loop.values[POOL].set("default_pool_size", "7")
    loop.controller.rollback(loop.only().id)
    loop.run(1200, step_seconds=10)
    locked = loop.only()

    loop.deliver(resolved(firing(starts_at=1.0), ends_at=2.0))
    loop.deliver(firing(starts_at=3.0))
    refusal = loop.reasons()[0]
    loop.controller.release(locked.id)
    loop.controller.reconfigure(loop.parts())
    loop.run(1200, step_seconds=10)

    assert (locked.state, locked.locked) == (State.FAILED, True)
    assert f"perfloop actions release {locked.id}" in refusal
    assert loop.pool_size() == "14"


def test_an_unexpected_error_in_one_execution_does_not_stop_the_others(make: Callable[..., Loop]) -> None:
    loop = make()
    loop.deliver(firing(), firing(component="billing-pool"))

    class Broken(ScriptedEvaluator):
        def evaluate(self, policy: object, component: str, *rest: object, **more: object) -> object:  # type: ignore[override]
            if component == POOL:
                raise ZeroDivisionError
            return judged(Verdict.EFFECTIVE)

    loop.evaluator = Broken()
    loop.controller.reconfigure(loop.parts())
    loop.run(60)

    states = {e.action.component: e.state for e in loop.store.executions()}
    assert states == {POOL: State.RUNNING, "billing-pool": State.COMPLETED}


def test_a_clock_that_is_set_back_does_not_put_work_off(make: Callable[..., Loop]) -> None:
    loop = make()
    loop.deliver(firing())
    loop.clock.advance(-3600.0)

    loop.run(60)

    assert loop.only().state is State.COMPLETED
