"""From an open episode to a decision: the pure policy, then a look at the target and at Prometheus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perfloop.errors import ActionRefused, Rejected, Temporary
from perfloop.model import Action, Change, Decision, Episode, Mode, Outcome, Policy
from perfloop.optimizer.policy import Budget, Choice, History, choose, objection
from perfloop.protocols import AlertSource, Evaluator, Executor

_OUTCOMES = {Mode.SUGGEST: Outcome.SUGGEST, Mode.APPROVE: Outcome.ASK, Mode.AUTO: Outcome.ACT}


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the configuration says; swapped as a whole when it is reloaded.

    `own_rules` are those that `alert_source` evaluates; of others it cannot know whether they fire.
    """

    policies: Sequence[Policy]
    own_rules: frozenset[str]
    alert_source: AlertSource
    components: frozenset[str]
    executors: Mapping[str, Executor]
    evaluator: Evaluator
    budget: Budget
    action_timeout_seconds: float
    decide_again_seconds: float


def decide(episode: Episode, history: History, parts: Parts, *, action_id: str, now: float) -> Decision:
    """Decide what to do about an episode. Reads the target and Prometheus; writes nothing."""
    choice = choose(episode, parts.policies, parts.components)
    if isinstance(choice, Decision):
        return choice
    refusal = objection(choice, history, parts.budget, now=now)
    if refusal is not None:
        return refusal
    action = _action(choice, action_id)
    try:
        changes = parts.executors[action.executor].plan(action)
    except Temporary as error:
        return _refuse(choice, f"{action.component} cannot be read: {error}", retry=True)
    except (ActionRefused, Rejected) as error:
        return _refuse(choice, str(error), retry=False)
    try:
        parts.evaluator.baseline(choice.policy, action.component, now=now)
    except (ActionRefused, Temporary, Rejected) as error:
        return _refuse(choice, f"the effect could not be measured: {error}", retry=True)
    try:
        if _has_ended(episode, parts):
            return _refuse(choice, "its condition has ended; Prometheus only keeps the alert", retry=True)
    except (Temporary, Rejected) as error:
        return _refuse(choice, f"whether its condition still holds is not known: {error}", retry=True)
    outcome = _OUTCOMES[choice.policy.mode]
    reason = f"mode is {choice.policy.mode}: {describe(changes)}"
    return Decision(outcome=outcome, policy=choice.policy.name, action=action, reason=reason)


def describe(changes: Sequence[Change]) -> str:
    """Say what changes, in one line."""
    return ", ".join(str(change) for change in changes)


def _has_ended(episode: Episode, parts: Parts) -> bool:
    """Say whether the alert goes on without its reason. Raises Unavailable: then nobody knows."""
    if episode.rule not in parts.own_rules:
        return False
    state = parts.alert_source.rule_states().get(episode.rule)
    return state is not None and episode.component in state.kept


def _action(choice: Choice, action_id: str) -> Action:
    return Action(
        id=action_id,
        policy=choice.policy.name,
        executor=choice.policy.executor,
        component=choice.component,
        parameters=choice.policy.parameters,
        priority=choice.policy.priority,
    )


def _refuse(choice: Choice, reason: str, *, retry: bool) -> Decision:
    return Decision(outcome=Outcome.REFUSE, policy=choice.policy.name, reason=reason, retry=retry)
