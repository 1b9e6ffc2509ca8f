"""What was done, and what came of it: executions, verdicts, effects."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from msgspec import Struct

from perfloop.model.changes import Change
from perfloop.model.measuring import Sample
from perfloop.model.policies import Action, Policy


class State(StrEnum):
    """The states that users see."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        return self not in {State.PENDING, State.RUNNING}


class Phase(StrEnum):
    """The finer steps inside pending and running, in their order; each is stored before its work begins."""

    AWAITING_APPROVAL = "awaiting_approval"
    PLANNED = "planned"
    SNAPSHOTTED = "snapshotted"
    EXECUTING = "executing"
    UNKNOWN = "unknown"
    EXECUTED = "executed"
    SETTLING = "settling"
    VERIFYING = "verifying"
    ROLLING_BACK = "rolling_back"
    DONE = "done"


class Verdict(StrEnum):
    """What the evaluator says of an action; unverifiable is neither success nor failure."""

    EFFECTIVE = "effective"
    INEFFECTIVE = "ineffective"
    HARMFUL = "harmful"
    INCONCLUSIVE = "inconclusive"
    UNVERIFIABLE = "unverifiable"


class Grade(StrEnum):
    """How far a verdict speaks of causes: reversal, control series, placebo-calibrated, or before/after only."""

    REVERSAL = "A"
    CONTROL = "B"
    PLACEBO = "C"
    BEFORE_AFTER = "D"


class Effect(Struct, frozen=True, kw_only=True):
    """The measured change of one metric; positive ratios are improvements.

    `lower` and `upper` bound `ratio` at the look's one-sided error rate `alpha`. Means are in the metric's unit.
    """

    metric: str
    ratio: float
    lower: float
    upper: float
    before_mean: float
    after_mean: float
    before_samples: int
    after_samples: int
    before_effective_samples: float
    after_effective_samples: float
    autocorrelation: float
    alpha: float


class GuardResult(Struct, frozen=True, kw_only=True):
    """What became of one guard: harmed, cleared, or not known yet; the reason is in words."""

    metric: str
    result: Literal["harmed", "cleared", "unknown"]
    reason: str
    effect: Effect | None = None


class Evaluation(Struct, frozen=True, kw_only=True):
    """The verdict on an execution, with the numbers behind it. `final` is false while more samples are awaited."""

    verdict: Verdict
    reason: str
    grade: Grade = Grade.BEFORE_AFTER
    effect: Effect | None = None
    guards: tuple[GuardResult, ...] = ()
    final: bool = True


class Baseline(Struct, frozen=True, kw_only=True):
    """Samples from before the action, by metric; stored with the execution so that retention cannot lose them."""

    samples: Mapping[str, tuple[Sample, ...]]


class Execution(Struct, frozen=True, kw_only=True):
    """One run of one action, from the decision to its end: the row that survives every crash.

    `ends_as` is the state that a rollback leads to. `locked` keeps the component from further actions until a
    person releases it. `revision` counts the writes, so that of two writers the later one notices.
    """

    id: str
    episode_id: int
    action: Action
    policy: Policy
    state: State
    phase: Phase
    created_at: float
    updated_at: float
    due_at: float
    changes: tuple[Change, ...] = ()
    baseline: Baseline | None = None
    executed_at: float | None = None
    ended_at: float | None = None
    evaluation: Evaluation | None = None
    reason: str = ""
    attempts: int = 0
    ends_as: State = State.COMPLETED
    locked: bool = False
    revision: int = 0


class LogEntry(Struct, frozen=True, kw_only=True):
    """One line of an execution's history."""

    at: float
    phase: Phase
    text: str
