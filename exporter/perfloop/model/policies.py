"""What may be done about it: policies with their goals and limits, and decisions."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from perfloop.model.changes import Step
from perfloop.model.measuring import Direction, Scale


class Mode(StrEnum):
    """How far a policy may go: only note, say what it would do, ask a person, or act."""

    OBSERVE = "observe"
    SUGGEST = "suggest"
    APPROVE = "approve"
    AUTO = "auto"


class Keep(StrEnum):
    """What happens to a change whose effect is not known."""

    KEEP = "keep"
    ROLLBACK = "rollback"


class Objective(Struct, frozen=True, kw_only=True):
    """What the action must improve: a catalogue name, and by which share at least.

    `matchers` select its series; none means those of the component that is acted on. `control` selects series of the
    same metric that the action does not touch; what happens to them too is not the action's doing.
    """

    metric: str
    direction: Direction
    matchers: tuple[str, ...] = ()
    control: tuple[str, ...] = ()
    impact_threshold_ratio: float = 0.10
    scale: Scale = Scale.RATIO


class Guard(Struct, frozen=True, kw_only=True):
    """What the action must not harm: worse by `margin_ratio`, or beyond `hard_limit` twice in a row, is harm."""

    metric: str
    direction: Direction
    matchers: tuple[str, ...] = ()
    margin_ratio: float = 0.10
    hard_limit: float | None = None
    scale: Scale = Scale.RATIO


class Limits(Struct, frozen=True, kw_only=True):
    """How often a policy may act on one component, counted from the verdict of the last action.

    What did not help is not tried again for `retry_seconds`.
    """

    actions_per_hour: int = 3
    actions_per_day: int = 7
    cooldown_seconds: float = 900.0
    retry_seconds: float = 86400.0


class Timing(Struct, frozen=True, kw_only=True):
    """How long a change is left to settle, and how its effect is sampled."""

    settle_seconds: float
    sample_seconds: float
    looks: tuple[int, ...] = (20, 40, 60)
    baseline_samples: int = 40
    minimum_samples: int = 20


class Policy(Struct, frozen=True, kw_only=True):
    """Which alerts lead to which action, what it must achieve, what it must not hurt, and how far it may go."""

    name: str
    matchers: tuple[str, ...]
    executor: str
    component: str | None
    parameters: Mapping[str, Step]
    objective: Objective
    guards: tuple[Guard, ...]
    mode: Mode
    limits: Limits
    timing: Timing
    on_inconclusive: Keep = Keep.ROLLBACK
    on_unverifiable: Keep = Keep.KEEP
    approval_seconds: float = 3600.0
    priority: int = 0


class Outcome(StrEnum):
    """How a decision ended."""

    ACT = "act"
    ASK = "ask"
    SUGGEST = "suggest"
    OBSERVE = "observe"
    REFUSE = "refuse"


class Action(Struct, frozen=True, kw_only=True):
    """What is to be done to which component under which policy."""

    id: str
    policy: str
    executor: str
    component: str
    parameters: Mapping[str, Step]
    priority: int = 0


class Decision(Struct, frozen=True, kw_only=True):
    """What was decided for an episode, and why; a refusal always has a reason.

    `retry` says that the reason may pass (a cooldown, missing samples), so that the episode is decided again.
    """

    outcome: Outcome
    reason: str
    policy: str | None = None
    action: Action | None = None
    retry: bool = False


class RecordedDecision(Struct, frozen=True, kw_only=True):
    """A decision as it stands in the store: for which episode, when, and about what."""

    at: float
    episode_id: int
    rule: str
    component: str
    decision: Decision
