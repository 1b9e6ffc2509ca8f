"""The loop, tick by tick: every way an execution can go, over a real store."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from perfloop.errors import ActionRefused, NotNow, Unavailable
from perfloop.model import Keep, Mode, Outcome, Phase, RuleState, State, Verdict
from perfloop.optimizer.policy import Budget
from tests.optimizer.loop import POLICY, POOL, Loop, ScriptedEvaluator, firing, judged, resolved, silence


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
    loop.alerts.states = silence
    loop.deliver(firing())

    loop.run(200)

    assert loop.store.episode(1).closed_at is None


def test_nothing_is_done_about_what_prometheus_only_keeps_for_its_cooldown(make: Callable[..., Loop]) -> None:
    loop = make()
    here = frozenset({POOL})
    loop.alerts.states = lambda: {"pool_wait": RuleState(evaluated_at=loop.clock(), components=here, kept=here)}

    loop.deliver(firing())
    loop.run(100)
    refused = loop.reasons()
    loop.alerts.states = lambda: {"pool_wait": RuleState(evaluated_at=loop.clock(), components=here)}
    loop.run(100)

    assert refused == ["its condition has ended; Prometheus only keeps the alert"]
    assert (loop.only().state, loop.pool_size()) == (State.COMPLETED, "4"), "the condition came back"


def test_nothing_is_done_while_nobody_knows_whether_the_condition_holds(make: Callable[..., Loop]) -> None:
    loop = make()
    loop.alerts.states = silence

    loop.deliver(firing())
    loop.run(100)

    assert loop.store.executions() == []
    assert loop.reasons() == ["whether its condition still holds is not known: the test has no Prometheus"]


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
