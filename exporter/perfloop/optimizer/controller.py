"""The controller: decides open episodes, advances executions, and does what people ask. Thin; judges nothing."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from msgspec.structs import replace

from perfloop.errors import ActionRefused, NotNow, PerfloopError, Stale
from perfloop.model import Decision, Episode, Execution, Outcome, Phase, State
from perfloop.optimizer.decider import Parts, decide
from perfloop.optimizer.machine import Machine, undo_by_hand
from perfloop.optimizer.policy import History
from perfloop.protocols import Clock, Store

logger = logging.getLogger(__name__)

_DAY_SECONDS = 86400.0
_ERROR_WAIT_SECONDS = 10.0
_RECONCILE_SECONDS = 60.0
_KEEP_ALERTS_SECONDS = 7 * _DAY_SECONDS


class Controller:
    """Drives every episode and execution that is due. One at a time per store."""

    def __init__(self, store: Store, parts: Parts, *, clock: Clock = time.time) -> None:
        self._store, self._clock = store, clock
        self._parts = parts
        self._wake = threading.Event()
        self._pruned_at = self._reconciled_at = 0.0
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
        """Decide what is to be decided and advance what is due."""
        now = self._clock()
        if abs(now - self._reconciled_at) > _RECONCILE_SECONDS:
            self._reconcile(now)
        for episode in self._store.episodes_due(now=now):
            self._decide(episode)
        due = [e for e in self._store.executions(active=True) if _is_due(e, now)]
        if due:
            with ThreadPoolExecutor(max_workers=len(due), thread_name_prefix="execution") as pool:
                list(pool.map(self._advance, due))
        if now - self._pruned_at > _DAY_SECONDS:
            self._store.prune(before=now - _KEEP_ALERTS_SECONDS)
            self._pruned_at = now
        self.last_tick_at = now

    def _reconcile(self, now: float) -> None:
        """Close episodes that no longer fire though nobody said so.

        Alertmanager does not deliver the resolution of an alert that was inhibited when it ended, nor what it had to
        give up; without this, such an episode would stay open, and the next firing would pass for a repetition.
        """
        self._reconciled_at = now
        parts = self._parts
        try:
            labels = parts.alert_source.alert_labels()
        except PerfloopError as error:
            logger.info("open episodes cannot be compared with Prometheus", extra={"reason": str(error)})
            return
        firing = {(found.get("rule", ""), found.get("component", "")) for found in labels}
        closed = self._store.close_silent(
            firing=firing, rules=parts.own_rules, opened_before=now - _RECONCILE_SECONDS, now=now
        )
        for episode in closed:
            fields = {"episode": episode.id, "rule": episode.rule, "component": episode.component}
            logger.info("episode closed: prometheus has no such alert", extra=fields)

    # -- deciding ------------------------------------------------------------------------------------------------------

    def _decide(self, episode: Episode) -> None:
        now = self._clock()
        parts = self._parts
        action_id = uuid.uuid4().hex[:12]
        decision = decide(episode, self._history(parts, now), parts, action_id=action_id, now=now)
        if decision.outcome in {Outcome.ACT, Outcome.ASK}:
            decision = self._begin(episode, decision, now)
        again_at = now + parts.decide_again_seconds if decision.retry else None
        if self._store.record_decision(episode, decision, now=now, again_at=again_at):
            fields = {"episode": episode.id, "rule": episode.rule, "component": episode.component}
            logger.info("decided", extra={**fields, "outcome": decision.outcome, "reason": decision.reason})

    def _begin(self, episode: Episode, decision: Decision, now: float) -> Decision:
        policy = next(p for p in self._parts.policies if p.name == decision.policy)
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
        try:
            self._store.begin(execution)
        except ActionRefused as error:
            return replace(decision, outcome=Outcome.REFUSE, action=None, reason=str(error))
        return decision

    def _history(self, parts: Parts, now: float) -> History:
        limits = [policy.limits for policy in parts.policies]
        spans = [max(limit.retry_seconds, limit.cooldown_seconds) for limit in limits]
        return History(
            executions=self._store.executions(since=now - _DAY_SECONDS - max(spans, default=0.0), or_open=True),
            paused=self._store.paused(),
        )

    # -- advancing -----------------------------------------------------------------------------------------------------

    def _advance(self, execution: Execution) -> None:
        """Step until the execution has to wait; each step is stored before the next begins."""
        machine = Machine(self._parts)
        try:
            while not execution.state.final and _is_due(execution, self._clock()):
                stepped, note = machine.step(execution, now=self._clock())
                execution = self._store.save(stepped, note=note)
        except Stale:
            logger.info("execution was changed meanwhile", extra={"id": execution.id})
        except Exception as error:  # one broken execution must not stop the others
            logger.exception("step failed", extra={"id": execution.id, "phase": execution.phase})
            self._postpone(execution, f"step failed: {error!r}")

    def _postpone(self, execution: Execution, note: str) -> None:
        now = self._clock()
        later = replace(execution, due_at=now + _ERROR_WAIT_SECONDS, updated_at=now)
        try:
            self._store.save(later, note=note)
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
        return self._ask(execution_id, "release", _release)

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
    reason = "rejected by hand"
    ended = {"state": State.CANCELLED, "phase": Phase.DONE, "reason": reason, "ended_at": now, "updated_at": now}
    return replace(execution, **ended), reason


def _rollback(execution: Execution, now: float) -> tuple[Execution, str] | None:
    waits_for_verdict = execution.phase in {Phase.SETTLING, Phase.VERIFYING}
    if execution.changes and (execution.state is State.COMPLETED or execution.locked or waits_for_verdict):
        return undo_by_hand(execution, now=now)
    return None


def _release(execution: Execution, now: float) -> tuple[Execution, str] | None:
    if not execution.locked:
        return None
    return replace(execution, locked=False, updated_at=now), "released by hand; what stands there is accepted"
