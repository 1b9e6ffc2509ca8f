"""The state machine of one execution: what each phase does, and which phase follows. The caller stores every step.

planned → snapshotted → executing → executed → settling → verifying → done, with unknown beside executing (a write
whose answer was lost) and rolling_back before done. A step may run twice, as a crash can come after its work and
before its record: plans only read, and writes begin with a probe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from perfloop.errors import ActionRefused, Conflict, OutcomeUnknown, Rejected, Temporary
from perfloop.model import Evaluation, Execution, Keep, Phase, Probe, State, Verdict
from perfloop.optimizer.decider import Parts, describe
from perfloop.protocols import Executor
from perfloop.wording import says_the_same

_BACKOFF_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_ATTEMPTS = 30  # about half an hour

Move = tuple[Execution, str]


class Machine:
    """Advances executions by one step at a time. Has no state of its own."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._steps: dict[Phase, Callable[[Execution, float], Move]] = {
            Phase.AWAITING_APPROVAL: self._expire,
            Phase.PLANNED: self._snapshot,
            Phase.SNAPSHOTTED: self._start,
            Phase.EXECUTING: self._execute,
            Phase.UNKNOWN: self._probe_again,
            Phase.EXECUTED: self._settle,
            Phase.SETTLING: self._begin_verifying,
            Phase.VERIFYING: self._verify,
            Phase.ROLLING_BACK: self._roll_back,
        }

    def step(self, execution: Execution, *, now: float) -> Move:
        """Do the work of the present phase and return the execution as it is afterwards, with a line for its log."""
        if execution.executed_at is not None and execution.executed_at > now + 1.0:
            # Written by a clock that was ahead: settling begins anew.
            execution = replace(execution, executed_at=now)
        return self._steps[execution.phase](execution, now)

    def retry(self, execution: Execution, problem: str, *, now: float) -> Move:
        """Try the same phase later; after too many attempts end what has begun, so that nothing hangs for ever."""
        if execution.attempts < _ATTEMPTS:
            return _again(execution, now), f"tries again: {problem}"
        if execution.phase is Phase.ROLLING_BACK:
            return _lock(execution, f"could not be undone: {problem}", now)
        if execution.state is State.PENDING:
            return _end(execution, State.CANCELLED, problem, now)
        return _undo(execution, State.FAILED, problem, now)

    # -- before anything is changed ------------------------------------------------------------------------------------

    def _expire(self, execution: Execution, now: float) -> Move:
        return _end(execution, State.CANCELLED, "nobody approved it in time", now)

    def _snapshot(self, execution: Execution, now: float) -> Move:
        if self._is_late(execution, now):
            return _end(execution, State.CANCELLED, "could not begin within optimization_timeout", now)
        try:
            executor = self._executor(execution)
            changes = executor.plan(execution.action)
            baseline = self._parts.evaluator.baseline(execution.policy, execution.action.component, now=now)
        except (ActionRefused, Rejected) as error:
            return _end(execution, State.CANCELLED, str(error), now)
        except Temporary as error:
            return _again(execution, now), f"waits: {error}"
        ready = _go(execution, Phase.SNAPSHOTTED, now, changes=changes, baseline=baseline)
        return ready, f"planned {describe(changes)}"

    def _start(self, execution: Execution, now: float) -> Move:
        if self._is_late(execution, now):
            return _end(execution, State.CANCELLED, "could not begin within optimization_timeout", now)
        running = _go(execution, Phase.EXECUTING, now, state=State.RUNNING)
        return running, f"applies {describe(execution.changes)}"

    # -- changing ------------------------------------------------------------------------------------------------------

    def _execute(self, execution: Execution, now: float) -> Move:
        try:
            executor = self._executor(execution)
            for change in execution.changes:
                executor.apply(change)
        except OutcomeUnknown as error:
            return replace(_again(execution, now), phase=Phase.UNKNOWN), f"no answer, will probe: {error}"
        except Temporary as error:
            if self._is_late(execution, now):
                return _undo(execution, State.FAILED, f"not within optimization_timeout: {error}", now)
            return _again(execution, now), f"tries again: {error}"
        except (Rejected, Conflict, ActionRefused) as error:
            if execution.attempts == 0 and self._nothing_stands(execution):
                return _end(execution, State.FAILED, str(error), now)
            return _undo(execution, State.FAILED, str(error), now)
        return _go(execution, Phase.EXECUTED, now, executed_at=now), f"read back {describe(execution.changes)}"

    def _probe_again(self, execution: Execution, now: float) -> Move:
        if self._is_late(execution, now):
            return _undo(execution, State.FAILED, "no answer within optimization_timeout", now)
        # Applying begins with a probe: what was written is found there, what was not is written once more.
        return _go(execution, Phase.EXECUTING, now, attempts=execution.attempts), "probes what became of the write"

    # -- judging -------------------------------------------------------------------------------------------------------

    def _settle(self, execution: Execution, now: float) -> Move:
        settle_seconds = execution.policy.timing.settle_seconds
        due_at = (execution.executed_at or now) + settle_seconds
        return _go(execution, Phase.SETTLING, now, due_at=due_at), f"settles for {settle_seconds:g} s"

    def _begin_verifying(self, execution: Execution, now: float) -> Move:
        first_look = execution.policy.timing.looks[0] * execution.policy.timing.sample_seconds
        return _go(execution, Phase.VERIFYING, now), f"first look in {first_look:g} s"

    def _verify(self, execution: Execution, now: float) -> Move:
        if execution.baseline is None or execution.executed_at is None:
            return _undo(execution, State.FAILED, "its baseline is missing", now)
        evaluation = self._parts.evaluator.evaluate(
            execution.policy,
            execution.action.component,
            execution.baseline,
            executed_at=execution.executed_at,
            now=now,
        )
        judged = replace(execution, evaluation=evaluation)
        if not evaluation.final:
            due_at = now + max(1.0, execution.policy.timing.sample_seconds)
            waiting = replace(judged, due_at=due_at, updated_at=now, reason=evaluation.reason, attempts=0)
            return waiting, _news(execution, evaluation)
        return self._conclude(judged, evaluation, now)

    def _conclude(self, execution: Execution, evaluation: Evaluation, now: float) -> Move:
        try:
            foreign = self._foreign_change(execution)
        except (Temporary, Rejected, ActionRefused) as error:
            undecided = replace(execution, evaluation=None)
            return self.retry(undecided, f"the target cannot be read: {error}", now=now)
        if foreign is not None:
            # The effect cannot be told apart from theirs. What is still ours goes back; theirs stays.
            doubtful = replace(evaluation, verdict=Verdict.UNVERIFIABLE, reason=foreign)
            return _undo(replace(execution, evaluation=doubtful), State.FAILED, foreign, now)
        reason = f"{evaluation.verdict}: {evaluation.reason}"
        if _is_kept(execution, evaluation):
            return _end(execution, State.COMPLETED, reason, now)
        return _undo(execution, State.ROLLED_BACK, reason, now)

    def _foreign_change(self, execution: Execution) -> str | None:
        executor = self._executor(execution)
        for change in execution.changes:
            if executor.probe(change) is not Probe.AFTER:
                found = executor.read_back(change).value
                return f"somebody else changed {change.target} {change.key} to {found}, expected {change.after.value}"
        return None

    # -- undoing -------------------------------------------------------------------------------------------------------

    def _roll_back(self, execution: Execution, now: float) -> Move:
        left = []
        for change in reversed(execution.changes):
            try:
                self._executor(execution).rollback(change)
            except Temporary as error:
                if execution.attempts < _ATTEMPTS:
                    return self.retry(execution, str(error), now=now)
                left.append(str(error))
            except (Conflict, Rejected, ActionRefused) as error:
                left.append(str(error))
        if left:
            return _lock(execution, f"could not be undone: {'; '.join(left)}", now)
        undone = describe([change.inverse() for change in reversed(execution.changes)])
        ended, _ = _end(execution, execution.ends_as, execution.reason, now)
        return ended, f"undone: {undone}"

    # -- inside --------------------------------------------------------------------------------------------------------

    def _executor(self, execution: Execution) -> Executor:
        executor = self._parts.executors.get(execution.action.executor)
        if executor is None:
            raise ActionRefused(f"no executor is called {execution.action.executor!r}")
        return executor

    def _nothing_stands(self, execution: Execution) -> bool:
        """Say whether none of our values is in force; if that cannot be told, no."""
        executor = self._executor(execution)
        try:
            return all(executor.probe(change) is not Probe.AFTER for change in execution.changes)
        except (Temporary, Rejected, ActionRefused):
            return False

    def _is_late(self, execution: Execution, now: float) -> bool:
        return now - execution.created_at > self._parts.action_timeout_seconds


def undo_by_hand(execution: Execution, *, now: float) -> Move:
    """Begin to undo a kept change, or try again what could not be undone, because a person asks for it."""
    return _undo(execution, State.ROLLED_BACK, "rolled back by hand", now)


def cancel(execution: Execution, reason: str, *, now: float) -> Move:
    """End an execution that has changed nothing."""
    return _end(execution, State.CANCELLED, reason, now)


def _is_kept(execution: Execution, evaluation: Evaluation) -> bool:
    if evaluation.verdict is Verdict.EFFECTIVE:
        return True
    if evaluation.verdict is Verdict.INCONCLUSIVE:
        return execution.policy.on_inconclusive is Keep.KEEP
    if evaluation.verdict is Verdict.UNVERIFIABLE:
        return execution.policy.on_unverifiable is Keep.KEEP
    return False


def _news(execution: Execution, evaluation: Evaluation) -> str:
    """Return what the log should hold: another look, or another reason to wait; not each sample that came."""
    last = execution.evaluation
    if last is None:
        return evaluation.reason if evaluation.effect is not None else ""
    looked_again = evaluation.effect is not None and evaluation.effect != last.effect
    return evaluation.reason if looked_again or not says_the_same(evaluation.reason, last.reason) else ""


def _go(execution: Execution, phase: Phase, now: float, **fields: Any) -> Execution:  # noqa: ANN401 - struct fields
    return replace(execution, **{"phase": phase, "due_at": now, "updated_at": now, "attempts": 0, **fields})


def _again(execution: Execution, now: float) -> Execution:
    wait_seconds = _BACKOFF_SECONDS[min(execution.attempts, len(_BACKOFF_SECONDS) - 1)]
    return replace(execution, due_at=now + wait_seconds, updated_at=now, attempts=execution.attempts + 1)


def _undo(execution: Execution, ends_as: State, reason: str, now: float) -> Move:
    back = _go(execution, Phase.ROLLING_BACK, now, state=State.RUNNING, ends_as=ends_as, reason=reason, locked=False)
    return replace(back, ended_at=None), f"undoes: {reason}"


def _end(execution: Execution, state: State, reason: str, now: float) -> Move:
    return _go(execution, Phase.DONE, now, state=state, reason=reason, ended_at=now), reason


def _lock(execution: Execution, reason: str, now: float) -> Move:
    locked, note = _end(execution, State.FAILED, f"{execution.reason}; {reason}", now)
    return replace(locked, locked=True), note
