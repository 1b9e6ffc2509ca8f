"""The vocabulary: frozen structs that travel between the parts.

Times are Unix seconds and end in `_at`; durations end in `_seconds`; shares of one end in `_ratio`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from msgspec import Struct, field

# -- measuring ---------------------------------------------------------------------------------------------------------


class MetricType(StrEnum):
    """The types of the text format; `info` is a gauge that is always one."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


class Family(Struct, frozen=True, kw_only=True):
    """One metric family as it is declared, once: full name, type, help that names the source, and label names."""

    name: str
    type: MetricType
    help: str
    labels: tuple[str, ...] = ()


class Direction(StrEnum):
    """Which way is better for a metric."""

    LOWER = "lower"
    HIGHER = "higher"


class Scale(StrEnum):
    """How a metric is compared: `ratio` by its logarithm (latency, throughput), `raw` by differences (counts)."""

    RATIO = "ratio"
    RAW = "raw"


class CatalogueMetric(Struct, frozen=True, kw_only=True):
    """One entry of the catalogue: a name users know, the PromQL behind it, and how to read it.

    `expr` may hold `$range`, which the compiler replaces with the range of rates. `across` joins the series of one
    component into the single one that an objective needs. `per` says what the series are labelled with. The recorded
    series is `perfloop:<name>`.
    """

    name: str
    expr: str
    unit: str
    direction: Direction
    help: str
    across: Literal["avg", "sum", "max", "min"] = "max"
    scale: Scale = Scale.RATIO
    per: Literal["component", "host"] = "component"

    @property
    def series(self) -> str:
        """Name of the recorded series."""
        return f"perfloop:{self.name}"


class Sample(Struct, frozen=True, kw_only=True):
    """One value of one series at one time."""

    at: float
    value: float


# -- what can be acted on ----------------------------------------------------------------------------------------------


class Component(Struct, frozen=True, kw_only=True):
    """Something that is measured and can be acted on; alerts carry its name in the label `component`.

    `address` is host:port or the folder of a UNIX socket plus port; `password` is already resolved.
    """

    name: str
    driver: str
    address: str
    user: str = ""
    password: str = field(default="")
    database: str = ""

    def __repr__(self) -> str:
        """Hide the password."""
        return f"Component({self.name!r}, driver={self.driver!r}, address={self.address!r})"


class Setting(Struct, frozen=True, kw_only=True):
    """A value read from a component. `explicit` is false where the component's own default stands there."""

    value: str
    explicit: bool = True


class Reversibility(StrEnum):
    """How far a change can be undone."""

    FULL = "full"
    APPROXIMATE = "approximate"
    NONE = "none"


class Change(Struct, frozen=True, kw_only=True):
    """One value of one component, before and after. Survives JSON; is stored before it is made."""

    target: str
    key: str
    before: Setting
    after: Setting
    reversibility: Reversibility = Reversibility.FULL

    def inverse(self) -> Change:
        """Return the change that undoes this one."""
        return Change(
            target=self.target,
            key=self.key,
            before=self.after,
            after=self.before,
            reversibility=self.reversibility,
        )

    def __str__(self) -> str:
        return f"{self.target} {self.key} {self.before.value} -> {self.after.value}"


class Probe(StrEnum):
    """What stands at the target now, compared with a change."""

    BEFORE = "before"
    AFTER = "after"
    OTHER = "other"


class Step(Struct, frozen=True, kw_only=True):
    """How a policy moves one parameter: to a value (`set`), or by a share of what is there, within bounds."""

    set: str | None = None
    increase_ratio: float | None = None
    min: str | None = None
    max: str | None = None


# -- alerts ------------------------------------------------------------------------------------------------------------


class AlertStatus(StrEnum):
    """The two states that Alertmanager delivers."""

    FIRING = "firing"
    RESOLVED = "resolved"


class Alert(Struct, frozen=True, kw_only=True):
    """One alert of an Alertmanager notification. The fingerprint is the hash of its labels."""

    fingerprint: str
    status: AlertStatus
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: float
    ends_at: float | None = None

    @property
    def rule(self) -> str:
        """The stable name of the rule: label `rule` of compiled alerts, else the alert's name."""
        return self.labels.get("rule") or self.labels.get("alertname", "")

    @property
    def component(self) -> str:
        """Name of the component that the alert is about, or empty."""
        return self.labels.get("component", "")

    def is_news_after(self, known: Alert) -> bool:
        """Say whether this delivery is newer than what is known under the same fingerprint.

        A firing delivery with the start of an alert that has been resolved came late; so did a resolution that
        ends before the known firing began.
        """
        if known.status is AlertStatus.RESOLVED and self.status is AlertStatus.FIRING:
            return self.starts_at > known.starts_at
        if known.status is AlertStatus.FIRING and self.status is AlertStatus.RESOLVED:
            return self.starts_at >= known.starts_at or (self.ends_at or known.starts_at) > known.starts_at
        return True


class Receipt(Struct, frozen=True, kw_only=True):
    """What became of the alerts of one delivery."""

    opened: int = 0
    repeated: int = 0
    resolved: int = 0
    late: int = 0


class Episode(Struct, frozen=True, kw_only=True):
    """One firing of one rule on one component, however often and by whichever severity it is delivered."""

    id: int
    rule: str
    component: str
    labels: Mapping[str, str]
    opened_at: float
    closed_at: float | None = None


# -- deciding ----------------------------------------------------------------------------------------------------------


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

    `matchers` select its series; none means those of the component that is acted on.
    """

    metric: str
    direction: Direction
    matchers: tuple[str, ...] = ()
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


# -- acting and judging ------------------------------------------------------------------------------------------------


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
    resolved_at: float | None = None
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


# -- counting ----------------------------------------------------------------------------------------------------------


class LatestEffect(Struct, frozen=True, kw_only=True):
    """The newest execution of one policy on one component that got as far as a change."""

    policy: str
    component: str
    executed_at: float
    duration_seconds: float | None = None
    ratio: float | None = None


class StoreCounts(Struct, frozen=True, kw_only=True):
    """What stands in the store, in numbers.

    `decisions` by (outcome, policy), `verdicts` by (policy, executor, verdict, grade), `rollbacks` by policy.
    """

    decisions: Mapping[tuple[str, ...], int]
    states: Mapping[str, int]
    verdicts: Mapping[tuple[str, ...], int]
    rollbacks: Mapping[str, int]
    latest: tuple[LatestEffect, ...]
    queue: int
    last_verdict_at: float | None = None
