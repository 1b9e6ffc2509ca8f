"""The loop, tick by tick: every way an execution can go, over a real store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from perfloop.errors import ActionRefused, NotNow, Unavailable
from perfloop.model import Baseline, Keep, Limits, Mode, Outcome, Phase, Policy, RuleState, State, Step, Verdict
from perfloop.optimizer.policy import Budget
from perfloop.testing import Fault
from tests.optimizer.loop import POLICY, POOL, Loop, ScriptedEvaluator, firing, judged, resolved


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Loop]:
    def loop(*policies: object, **options: object) -> Loop:
        return Loop(tmp_path, *policies, **options)  # type: ignore[arg-type]

    return loop


def test_an_effective_change_is_kept(make: Callable[..., Loop]) -> None:
    loop = make()

    loop.deliver(firing())
    loop.run()

    done = loop.only()
    assert (done.state, loop.pool_size()) == (State.COMPLETED, "4")
    assert [entry.phase for entry in loop.store.log(done.id)] == [
        Phase.PLANNED,
        Phase.SNAPSHOTTED,
        Phase.EXECUTING,
        Phase.EXECUTED,
        Phase.SETTLING,
        Phase.VERIFYING,
        Phase.DONE,
    ]


@pytest.mark.parametrize("verdict", [Verdict.INEFFECTIVE, Verdict.HARMFUL, Verdict.INCONCLUSIVE])
def test_what_did_not_help_is_undone(make: Callable[..., Loop], verdict: Verdict) -> None:
    loop = make(evaluator=ScriptedEvaluator(judged(verdict)))

    loop.deliver(firing())
    loop.run()

    done = loop.only()
    assert (done.state, loop.pool_size()) == (State.ROLLED_BACK, "2")
    assert str(verdict) in done.reason


@pytest.mark.parametrize(
    ("verdict", "option"), [(Verdict.INCONCLUSIVE, "on_inconclusive"), (Verdict.UNVERIFIABLE, "on_unverifiable")]
)
@pytest.mark.parametrize(
    ("choice", "state", "size"), [(Keep.KEEP, State.COMPLETED, "4"), (Keep.ROLLBACK, State.ROLLED_BACK, "2")]
)
def test_the_policy_says_what_becomes_of_an_unknown_effect(
    make: Callable[..., Loop], verdict: Verdict, option: str, choice: Keep, state: State, size: str
) -> None:
    loop = make(replace(POLICY, **{option: choice}), evaluator=ScriptedEvaluator(judged(verdict)))

    loop.deliver(firing())
    loop.run()

    assert (loop.only().state, loop.pool_size()) == (state, size)


def test_verification_waits_for_more_samples(make: Callable[..., Loop]) -> None:
    waiting = judged(Verdict.INCONCLUSIVE, final=False)
    loop = make(evaluator=ScriptedEvaluator(waiting, waiting, judged(Verdict.EFFECTIVE)))

    loop.deliver(firing())
    loop.run(14)
    phase_meanwhile = loop.only().phase
    loop.run(60)

    assert phase_meanwhile is Phase.VERIFYING
    assert loop.only().state is State.COMPLETED


# -- deliveries --------------------------------------------------------------------------------------------------------


def test_a_second_delivery_does_not_act_twice(make: Callable[..., Loop]) -> None:
    loop = make()

    for _ in range(3):
        loop.deliver(firing(), firing(severity="critical"))
        loop.run(200)

    assert loop.only().state is State.COMPLETED
    assert loop.driver.writes == 1


def test_a_firing_delivery_that_comes_after_its_resolution_is_late(make: Callable[..., Loop]) -> None:
    loop = make()
    alert = firing(starts_at=100.0)

    loop.deliver(resolved(alert, ends_at=130.0))
    loop.deliver(alert)
    loop.run(100)

    assert loop.store.executions() == []


def test_a_new_firing_after_a_resolution_is_a_new_episode(make: Callable[..., Loop]) -> None:
    loop = make()
    alert = firing(starts_at=100.0)

    loop.deliver(alert)
    loop.deliver(resolved(alert, ends_at=130.0))
    loop.run(2000)
    loop.deliver(firing(starts_at=2100.0))
    loop.run(200)

    assert len(loop.store.executions()) == 2


def test_the_change_is_still_judged_when_the_alert_resolves_during_the_action(make: Callable[..., Loop]) -> None:
    loop = make(evaluator=ScriptedEvaluator(judged(Verdict.INEFFECTIVE)))
    alert = firing()

    loop.deliver(alert)
    loop.run(3)
    loop.deliver(resolved(alert, ends_at=200.0))
    loop.run()

    assert (loop.only().state, loop.pool_size()) == (State.ROLLED_BACK, "2")


def test_one_of_two_severities_resolving_leaves_the_episode_open(make: Callable[..., Loop]) -> None:
    loop = make(replace(POLICY, mode=Mode.OBSERVE))
    warning, critical = firing(), firing(severity="critical")

    loop.deliver(warning, critical)
    loop.deliver(resolved(critical, ends_at=150.0))
    open_then = loop.store.episode(1).closed_at
    loop.deliver(resolved(warning, ends_at=160.0))

    assert open_then is None
    assert loop.store.episode(1).closed_at is not None


def test_an_episode_whose_resolution_was_never_delivered_is_closed_by_asking_prometheus(
    make: Callable[..., Loop],
) -> None:
    loop = make(replace(POLICY, mode=Mode.OBSERVE))
    loop.deliver(firing(), firing(component="billing-pool"), firing(rule="foreign"))

    def fires(*components: str) -> Callable[[], dict[str, RuleState]]:
        return lambda: {"pool_wait": RuleState(evaluated_at=loop.clock(), components=frozenset(components))}

    loop.alerts.states = fires("billing-pool")
    loop.run(70)
    after_one_look = loop.store.episode(1).closed_at
    loop.run(130)
    closed = [loop.store.episode(i).closed_at is not None for i in (1, 2, 3)]
    loop.deliver(firing(starts_at=500.0))

    assert after_one_look is None
    assert closed == [True, False, False], "the other one fires, and of the foreign rule Prometheus cannot know"
    assert loop.store.episode(4).component == POOL


def test_no_episode_is_closed_while_prometheus_does_not_answer(make: Callable[..., Loop]) -> None:
    loop = make(replace(POLICY, mode=Mode.OBSERVE))
    loop.deliver(firing())

    loop.run(200)

    assert loop.store.episode(1).closed_at is None


# -- modes and people --------------------------------------------------------------------------------------------------


def test_suggest_says_what_it_would_do_and_does_nothing(make: Callable[..., Loop]) -> None:
    loop = make(replace(POLICY, mode=Mode.SUGGEST))

    loop.deliver(firing())
    loop.run(100)

    (entry,) = loop.store.decisions(limit=10)
    assert entry.decision.outcome is Outcome.SUGGEST
    assert f"{POOL} default_pool_size 2 -> 4" in entry.decision.reason
    assert (loop.store.executions(), loop.pool_size()) == ([], "2")


def test_approve_waits_for_a_person(make: Callable[..., Loop]) -> None:
    loop = make(replace(POLICY, mode=Mode.APPROVE))
    loop.deliver(firing())
    loop.run(100)
    waiting = loop.only()

    loop.controller.approve(waiting.id[:6])
    loop.run(100)

    assert waiting.phase is Phase.AWAITING_APPROVAL
    assert (loop.only().state, loop.pool_size()) == (State.COMPLETED, "4")


def test_approving_twice_acts_once(make: Callable[..., Loop]) -> None:
    loop = make(replace(POLICY, mode=Mode.APPROVE))
    loop.deliver(firing())
    loop.controller.approve(loop.only().id)

    with pytest.raises(NotNow, match="cannot approve it"):
        loop.controller.approve(loop.only().id)

    loop.run(100)
    assert loop.driver.writes == 1


def test_an_approval_that_nobody_gives_expires(make: Callable[..., Loop]) -> None:
    loop = make(replace(POLICY, mode=Mode.APPROVE, approval_seconds=60.0))

    loop.deliver(firing())
    loop.run(100)

    assert (loop.only().state, loop.pool_size()) == (State.CANCELLED, "2")


def test_a_rejected_action_never_starts(make: Callable[..., Loop]) -> None:
    loop = make(replace(POLICY, mode=Mode.APPROVE))
    loop.deliver(firing())

    loop.controller.reject(loop.only().id)
    loop.run(100)

    assert (loop.only().state, loop.pool_size()) == (State.CANCELLED, "2")


def test_a_kept_change_can_be_rolled_back_by_hand(make: Callable[..., Loop]) -> None:
    loop = make()
    loop.deliver(firing())
    loop.run(100)

    loop.controller.rollback(loop.only().id)
    loop.run(5)

    assert (loop.only().state, loop.pool_size()) == (State.ROLLED_BACK, "2")
    assert loop.only().reason == "rolled back by hand"


def test_a_pause_holds_new_actions_until_it_ends(make: Callable[..., Loop]) -> None:
    loop = make()
    loop.store.pause("migration")

    loop.deliver(firing())
    loop.run(60)
    while_paused = (loop.store.executions(), loop.reasons())
    loop.store.pause(None)
    loop.run(100)

    assert while_paused == ([], ["acting is paused: migration"])
    assert loop.only().state is State.COMPLETED


# -- limits ------------------------------------------------------------------------------------------------------------


def test_an_action_rests_for_the_cooldown_after_its_verdict(make: Callable[..., Loop]) -> None:
    loop = make(replace(POLICY, parameters={"connection_pool_size": POLICY.parameters["connection_pool_size"]}))
    first = firing(starts_at=1.0)
    loop.deliver(first)
    loop.run(60)
    loop.deliver(resolved(first, ends_at=2.0))

    loop.deliver(firing(starts_at=3.0))
    loop.run(60)
    in_cooldown = (len(loop.store.executions()), loop.reasons()[0])
    loop.run(900)

    assert in_cooldown[0] == 1
    assert "limits.cooldown_seconds is 900" in in_cooldown[1]
    assert (len(loop.store.executions()), loop.pool_size()) == (2, "8")


def test_what_did_not_help_is_not_tried_again_the_same_day(make: Callable[..., Loop]) -> None:
    loop = make(evaluator=ScriptedEvaluator(judged(Verdict.INEFFECTIVE)))
    first = firing(starts_at=1.0)
    loop.deliver(first)
    loop.run(60)
    loop.deliver(resolved(first, ends_at=2.0))

    loop.deliver(firing(starts_at=3.0))
    loop.run(3600, step_seconds=60)

    assert loop.only().state is State.ROLLED_BACK
    assert "was undone" in loop.reasons()[0]


def test_no_more_actions_run_at_once_than_configured(make: Callable[..., Loop]) -> None:
    loop = make()
    loop.controller.reconfigure(loop.parts(budget=Budget(max_concurrent=1)))

    loop.deliver(firing(), firing(component="billing-pool"))
    during = len(loop.store.executions())
    loop.run(200)

    assert during == 1
    assert [e.state for e in loop.store.executions()] == [State.COMPLETED, State.COMPLETED]


def test_one_component_has_one_action_at_a_time(make: Callable[..., Loop]) -> None:
    other = replace(POLICY, name="pool-waiting", matchers=('rule="pool_waiting"',))
    loop = make(POLICY, other)

    loop.deliver(firing(), firing(rule="pool_waiting"))

    assert loop.only().policy.name == "pool-too-small"
    assert any("is at work on orders-pool" in reason for reason in loop.reasons())


def test_the_hourly_budget_holds_over_all_policies(make: Callable[..., Loop]) -> None:
    loop = make()
    loop.controller.reconfigure(loop.parts(budget=Budget(actions_per_hour=1)))

    loop.deliver(firing())
    loop.run(60)
    loop.deliver(firing(component="billing-pool"))

    assert "optimization.actions_per_hour is 1" in loop.reasons()[0]
    assert loop.pool_size("billing-pool") == "2"


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_an_alert_without_a_policy_is_refused_with_the_reason(make: Callable[..., Loop]) -> None:
    loop = make()

    loop.deliver(firing(rule="disk_usage"))

    assert loop.reasons() == ["no policy matches the alert's labels"]


@pytest.mark.parametrize(
    ("component", "reason"),
    [
        pytest.param("", "the alert has no label component, and the policy names none", id="no label"),
        pytest.param("$(reboot)", "there is no component '$(reboot)' under components", id="a label full of shell"),
    ],
)
def test_an_alert_about_nothing_we_know_is_refused(make: Callable[..., Loop], component: str, reason: str) -> None:
    loop = make()

    loop.deliver(firing(component=component))

    assert reason in loop.reasons()[0]
    assert loop.store.executions() == []


@pytest.mark.parametrize("error", [ActionRefused("pool_wait has no samples"), Unavailable("connection refused")])
def test_nothing_acts_while_the_effect_could_not_be_measured(make: Callable[..., Loop], error: Exception) -> None:
    loop = make(evaluator=ScriptedEvaluator(baseline=error))  # type: ignore[arg-type]

    loop.deliver(firing())
    loop.run(100)
    while_blind = (loop.store.executions(), len(loop.reasons()))
    loop.evaluator.baseline_error = None
    loop.run(100)

    assert while_blind == ([], 1), "the refusal is recorded once, however often it is repeated"
    assert loop.only().state is State.COMPLETED


def test_a_reload_decides_refused_episodes_again(make: Callable[..., Loop]) -> None:
    loop = make(replace(POLICY, matchers=('rule="nothing"',)))
    loop.deliver(firing())

    loop.policies = (POLICY,)
    loop.controller.reconfigure(loop.parts())
    loop.run(100)

    assert loop.only().state is State.COMPLETED


# -- what a review found -----------------------------------------------------------------------------------------------


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
