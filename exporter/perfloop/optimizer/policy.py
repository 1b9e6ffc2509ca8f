"""Decide: which policy answers an episode, and what stands against acting. Pure; reads nothing, writes nothing."""

from __future__ import annotations

from collections.abc import Container, Sequence

from msgspec import Struct

from perfloop.model import Decision, Episode, Execution, Mode, Outcome, Phase, Policy, State, Verdict
from perfloop.model.matchers import match_all

_HOUR_SECONDS, _DAY_SECONDS = 3600.0, 86400.0


class History(Struct, frozen=True, kw_only=True):
    """What the decision needs to know of the past: executions of the last day and all unfinished or locked ones."""

    executions: Sequence[Execution]
    paused: str | None = None


class Budget(Struct, frozen=True, kw_only=True):
    """Limits over all policies together."""

    max_concurrent: int = 3
    actions_per_hour: int = 20


class Choice(Struct, frozen=True, kw_only=True):
    """A policy that answers the episode, and the component that it would act on."""

    policy: Policy
    component: str


def choose(episode: Episode, policies: Sequence[Policy], components: Container[str]) -> Choice | Decision:
    """Find the first policy that matches the episode; a refusal says what is missing."""
    policy = next((p for p in policies if match_all(p.matchers, episode.labels)), None)
    if policy is None:
        return Decision(outcome=Outcome.REFUSE, reason="no policy matches the alert's labels")
    component = policy.component or episode.component
    if not component:
        reason = "the alert has no label component, and the policy names none"
        return Decision(outcome=Outcome.REFUSE, policy=policy.name, reason=reason)
    if component not in components:
        reason = f"there is no component {component!r} under components in the configuration"
        return Decision(outcome=Outcome.REFUSE, policy=policy.name, reason=reason)
    if policy.mode is Mode.OBSERVE:
        reason = f"mode is observe: {policy.executor} on {component} is only noted"
        return Decision(outcome=Outcome.OBSERVE, policy=policy.name, reason=reason)
    return Choice(policy=policy, component=component)


def objection(choice: Choice, history: History, budget: Budget, *, now: float) -> Decision | None:
    """Return the refusal if something stands against acting now, else None. All of its reasons may pass."""
    reason = _lock(choice, history) or _present_objection(choice, history, budget, now)
    if reason is None:
        return None
    return Decision(outcome=Outcome.REFUSE, policy=choice.policy.name, reason=reason, retry=True)


def _lock(choice: Choice, history: History) -> str | None:
    for execution in history.executions:
        if execution.locked and execution.action.component == choice.component:
            return (
                f"{choice.component} is locked since action {execution.id} ended in {execution.state} "
                f"({execution.reason}); look at it, then: perfloop actions release {execution.id}"
            )
    return None


def _present_objection(choice: Choice, history: History, budget: Budget, now: float) -> str | None:
    if history.paused is not None:
        return f"acting is paused: {history.paused}"
    active = [e for e in history.executions if not e.state.final]
    for execution in active:
        if execution.action.component == choice.component:
            return f"action {execution.id} is at work on {choice.component}"
    at_work = [e for e in active if e.phase is not Phase.AWAITING_APPROVAL]
    if len(at_work) >= budget.max_concurrent:
        return f"{len(at_work)} actions are at work, max_concurrent_optimizations is {budget.max_concurrent}"
    # Also what failed, and what has only just begun: the budget is for tries.
    acted = [e for e in history.executions if e in at_work or e.state not in {State.PENDING, State.CANCELLED}]
    return _cooldown(choice, acted, now) or _spent(choice, acted, budget, now)


def _cooldown(choice: Choice, acted: Sequence[Execution], now: float) -> str | None:
    limits = choice.policy.limits
    for execution in acted:
        if execution.ended_at is None or execution.action.component != choice.component:
            continue
        since = now - execution.ended_at
        same_policy = execution.policy.name == choice.policy.name
        if same_policy and _was_no_use(execution) and since < limits.retry_seconds:
            return (
                f"action {execution.id} of this policy was undone {_ago(since)} ago; "
                f"limits.retry_seconds is {limits.retry_seconds:g}"
            )
        if since < limits.cooldown_seconds:
            return (
                f"action {execution.id} on {choice.component} ended {_ago(since)} ago; "
                f"limits.cooldown_seconds is {limits.cooldown_seconds:g}"
            )
    return None


def _spent(choice: Choice, acted: Sequence[Execution], budget: Budget, now: float) -> str | None:
    limits = choice.policy.limits
    mine = [e for e in acted if (e.policy.name, e.action.component) == (choice.policy.name, choice.component)]
    for executions, seconds, key, allowed in (
        (acted, _HOUR_SECONDS, "optimization.actions_per_hour", budget.actions_per_hour),
        (mine, _HOUR_SECONDS, "limits.actions_per_hour", limits.actions_per_hour),
        (mine, _DAY_SECONDS, "limits.actions_per_day", limits.actions_per_day),
    ):
        count = sum(now - execution.created_at < seconds for execution in executions)
        if count >= allowed:
            return f"the budget is spent: {count} actions, {key} is {allowed}"
    return None


def _was_no_use(execution: Execution) -> bool:
    """Say whether it was undone because it did not help, or by hand; what could not be judged is neither."""
    verdict = execution.evaluation.verdict if execution.evaluation is not None else None
    return execution.state is State.ROLLED_BACK and verdict not in {Verdict.INCONCLUSIVE, Verdict.UNVERIFIABLE}


def _ago(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
