"""The controller: decides open episodes, advances executions, and does what people ask. Thin; judges nothing."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from msgspec.structs import replace

from perfloop.errors import ActionRefused, NotNow, Paused, PerfloopError, Stale
from perfloop.model import Decision, Episode, Execution, Outcome, Phase, State
from perfloop.optimizer.decider import Parts, decide
from perfloop.optimizer.machine import Machine, cancel, undo_by_hand
from perfloop.optimizer.policy import History
from perfloop.protocols import Clock, Store

logger = logging.getLogger(__name__)

_DAY_SECONDS = 86400.0
_RECONCILE_SECONDS = 60.0
_DECIDING_SECONDS = 5.0
_KEEP_SECONDS = 90 * _DAY_SECONDS


class Controller:
    """Drives every episode and execution that is due. One at a time per store."""

    def __init__(self, store: Store, parts: Parts, *, clock: Clock = time.time) -> None:
        self._store, self._clock = store, clock
        self._parts = parts
        self._wake = threading.Event()
        self._pruned_at = self._reconciled_at = 0.0
        self._missing: dict[int, float] = {}
        self.last_tick_at = 0.0

    # -- running -------------------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event, *, idle_seconds: float = 0.5) -> None:
        """Tick until told to stop; a delivery wakes it at once."""
        while not stop.is_set():
            try:
                self.tick()
            except Exception:  # the loop must outlive a full disk and its own mistakes
                logger.exception("tick failed")
            self._wake.wait(idle_seconds)
            self._wake.clear()

    def wake(self) -> None:
        """Tell it that there is something new."""
        self._wake.set()

    def reconfigure(self, parts: Parts) -> None:
        """Swap in a new configuration; open episodes that were refused are decided again."""
        self._parts = parts
        self._store.reopen_decisions(now=self._clock())
        self.wake()

    def tick(self) -> None:
        """Advance what is due, then decide what is to be decided."""
        parts, now = self._parts, self._clock()
        due = [e for e in self._store.executions(active=True) if _is_due(e, now)]
        if due:
            with ThreadPoolExecutor(max_workers=len(due), thread_name_prefix="execution") as pool:
                list(pool.map(lambda execution: self._advance(execution, parts), due))
        if abs(now - self._reconciled_at) > _RECONCILE_SECONDS:
            self._reconcile(parts, now)
        began = time.monotonic()
        for episode in self._store.episodes_due(now=now):
            self._decide(episode, parts)
            if time.monotonic() - began > _DECIDING_SECONDS:
                break  # targets that hang must not keep verdicts waiting; the rest is decided in the next round
        if abs(now - self._pruned_at) > _DAY_SECONDS:
            self._store.prune(before=now - _KEEP_SECONDS)
            self._pruned_at = now
        self.last_tick_at = now

    def _reconcile(self, parts: Parts, now: float) -> None:
        """Close episodes that no longer fire though nobody said so.

        Alertmanager does not deliver the resolution of an alert that was inhibited when it ended, nor what it had to
        give up; without this, such an episode would stay open, and the next firing would pass for a repetition. An
        episode is closed when Prometheus has twice evaluated its rule since the last delivery and not found it.
        """
        self._reconciled_at = now
        try:
            rules = parts.alert_source.rule_states()
        except PerfloopError as error:
            logger.info("open episodes cannot be compared with Prometheus", extra={"reason": str(error)})
            return
        missing: dict[int, float] = {}
        for episode, delivered_at in self._store.open_episodes():
            state = rules.get(episode.rule) if episode.rule in parts.own_rules else None
            if state is None or episode.component in state.components or state.evaluated_at <= delivered_at:
                continue
            missed_before = self._missing.get(episode.id)
            if missed_before is None or state.evaluated_at <= missed_before:
                missing[episode.id] = missed_before or state.evaluated_at
                continue
            self._store.close_episode(episode.id, unless_after=delivered_at, now=now)
            fields = {"episode": episode.id, "rule": episode.rule, "component": episode.component}
            logger.info("episode closed: prometheus has no such alert", extra=fields)
        self._missing = missing

    # -- deciding ------------------------------------------------------------------------------------------------------

    def _decide(self, episode: Episode, parts: Parts) -> None:
        now = self._clock()
        action_id = uuid.uuid4().hex[:12]
        try:
            decision = decide(episode, self._history(parts, now), parts, action_id=action_id, now=now)
            if decision.outcome in {Outcome.ACT, Outcome.ASK}:
                decision = self._begin(episode, decision, parts, now)
        except PerfloopError as error:
            decision = Decision(outcome=Outcome.REFUSE, reason=f"cannot decide: {error}", retry=True)
        except Exception as error:
            logger.exception("deciding failed", extra={"episode": episode.id})
            decision = Decision(outcome=Outcome.REFUSE, reason=f"cannot decide: {error!r}", retry=True)
        again_at = self._clock() + parts.decide_again_seconds if decision.retry else None
        if self._store.record_decision(episode, decision, now=now, again_at=again_at):
            fields = {"episode": episode.id, "rule": episode.rule, "component": episode.component}
            logger.info("decided", extra={**fields, "outcome": decision.outcome, "reason": decision.reason})

    def _begin(self, episode: Episode, decision: Decision, parts: Parts, now: float) -> Decision:
        policy = next(p for p in parts.policies if p.name == decision.policy)
        asks = decision.outcome is Outcome.ASK
        if decision.action is None:
            raise PerfloopError(f"the decision on episode {episode.id} has no action")
        execution = Execution(
            id=decision.action.id,
            episode_id=episode.id,
            action=decision.action,
            policy=policy,
            state=State.PENDING,
            phase=Phase.AWAITING_APPROVAL if asks else Phase.PLANNED,
            created_at=now,
            updated_at=now,
            due_at=now + policy.approval_seconds if asks else now,
            reason=decision.reason,
        )
        if parts is not self._parts:
            return _refused(decision, "the configuration was reloaded meanwhile")
        try:
            self._store.begin(execution)
        except (ActionRefused, Paused) as error:
            return _refused(decision, str(error))
        return decision

    def _history(self, parts: Parts, now: float) -> History:
        limits = [policy.limits for policy in parts.policies]
        spans = [max(limit.retry_seconds, limit.cooldown_seconds) for limit in limits]
        return History(
            executions=self._store.executions(since=now - max(spans, default=0.0) - _DAY_SECONDS, or_open=True),
            paused=self._store.paused(),
        )

    # -- advancing -----------------------------------------------------------------------------------------------------

    def _advance(self, execution: Execution, parts: Parts) -> None:
        """Step until the execution has to wait; each step is stored before the next begins."""
        machine = Machine(parts)
        try:
            while not execution.state.final and _is_due(execution, self._clock()):
                execution = self._step(machine, execution)
        except Stale:
            logger.info("execution was changed meanwhile", extra={"id": execution.id})
        except Exception as error:
            logger.exception("step failed", extra={"id": execution.id, "phase": execution.phase})
            self._postpone(machine, execution, f"step failed: {error!r}")

    def _step(self, machine: Machine, execution: Execution) -> Execution:
        stepped, note = machine.step(execution, now=self._clock())
        acts = stepped.phase is Phase.EXECUTING and execution.state is State.PENDING
        try:
            return self._store.save(stepped, note=note, only_while_wanted=acts)
        except Paused as error:
            stepped, note = machine.retry(execution, str(error), now=self._clock())
        except ActionRefused as error:
            stepped, note = cancel(execution, str(error), now=self._clock())
        return self._store.save(stepped, note=note)

    def _postpone(self, machine: Machine, execution: Execution, problem: str) -> None:
        later, note = machine.retry(execution, problem, now=self._clock())
        try:
            self._store.save(later, note=note if execution.attempts == 0 or later.attempts == 0 else "")
        except PerfloopError:
            logger.exception("step could not be postponed", extra={"id": execution.id})

    # -- what people ask -----------------------------------------------------------------------------------------------

    def approve(self, execution_id: str) -> Execution:
        """Let an action that waits for approval begin. Raises NotFound and NotNow."""
        return self._ask(execution_id, "approve", _approve)

    def reject(self, execution_id: str) -> Execution:
        """Cancel an action that waits for approval. Raises NotFound and NotNow."""
        return self._ask(execution_id, "reject", _reject)

    def rollback(self, execution_id: str) -> Execution:
        """Undo an action that changed something. Raises NotFound and NotNow."""
        return self._ask(execution_id, "rollback", _rollback)

    def release(self, execution_id: str) -> Execution:
        """Accept what stands at a locked component and let policies act on it again. Raises NotFound and NotNow."""
        released = self._ask(execution_id, "release", _release)
        self._store.reopen_decisions(now=self._clock())
        return released

    def _ask(
        self, execution_id: str, verb: str, change: Callable[[Execution, float], tuple[Execution, str] | None]
    ) -> Execution:
        while True:
            execution = self._store.execution(execution_id)
            changed = change(execution, self._clock())
            if changed is None:
                raise NotNow(f"action {execution.id} is {execution.state} ({execution.phase}): cannot {verb} it")
            try:
                saved = self._store.save(changed[0], note=changed[1])
            except Stale:
                continue
            self.wake()
            return saved


def _refused(decision: Decision, reason: str) -> Decision:
    return replace(decision, outcome=Outcome.REFUSE, action=None, reason=reason, retry=True)


def _is_due(execution: Execution, now: float) -> bool:
    # A clock that was set back must not put work off: then the last write lies in the future.
    return execution.due_at <= now or execution.updated_at > now + 1.0


def _approve(execution: Execution, now: float) -> tuple[Execution, str] | None:
    if execution.phase is not Phase.AWAITING_APPROVAL or execution.state.final:
        return None
    return replace(execution, phase=Phase.PLANNED, due_at=now, updated_at=now, created_at=now), "approved by hand"


def _reject(execution: Execution, now: float) -> tuple[Execution, str] | None:
    if execution.phase is not Phase.AWAITING_APPROVAL or execution.state.final:
        return None
    return cancel(execution, "rejected by hand", now=now)


def _rollback(execution: Execution, now: float) -> tuple[Execution, str] | None:
    waits_for_verdict = execution.phase in {Phase.SETTLING, Phase.VERIFYING}
    if execution.changes and (execution.state is State.COMPLETED or execution.locked or waits_for_verdict):
        return undo_by_hand(execution, now=now)
    return None


def _release(execution: Execution, now: float) -> tuple[Execution, str] | None:
    if not execution.locked:
        return None
    return replace(execution, locked=False, updated_at=now), "released by hand; what stands there is accepted"
