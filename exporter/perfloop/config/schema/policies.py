"""What is done: policies, their objectives, guards, limits and steps."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from perfloop.config.schema.base import Count, MetricName, Name, Ratio, Seconds, Section, Share
from perfloop.model import Keep, Mode


class ObjectiveSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The catalogue metric that an action must improve, and by which share at least.

    `match` says whose, as Alertmanager writes matchers; by default the component that is acted on.
    """

    #: Catalogue name of what must improve.
    metric: MetricName
    #: Which series, as matchers; by default those of the component that is acted on.
    match: tuple[str, ...] = ()
    #: Series of the same metric that the action does not touch, as matchers: a sibling under the same load. What
    #: happens to them at the same time is taken out of the effect, and the verdict gets grade B.
    control: tuple[str, ...] = ()
    #: Share by which it must improve; by default `optimization.impact_threshold`.
    impact_threshold: Share | None = None


class GuardSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A catalogue metric that an action must not harm; `match` as in the objective."""

    #: Catalogue name of what must not get worse.
    metric: MetricName
    #: Which series, as matchers; by default those of the component that is acted on.
    match: tuple[str, ...] = ()
    #: Share by which it may get worse.
    margin_ratio: Ratio = 0.10
    #: Value that it may not pass twice in a row, in the metric's unit; none by default.
    hard_limit: float | None = None


class LimitsSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a policy may act on one component."""

    #: Changes within an hour.
    actions_per_hour: Count = 3
    #: Changes within a day.
    actions_per_day: Count = 7
    #: Rest after an action on the component has ended.
    cooldown_seconds: Annotated[float, Meta(ge=0)] = 900.0
    #: Rest after an action of this policy was ineffective or harmful there.
    retry_seconds: Annotated[float, Meta(ge=0)] = 86400.0


class StepSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a parameter moves: to a value, or by a share of what is there. A value alone is the same as `set`."""

    #: The value, in the words and units of its system.
    set: str | int | float | bool | None = None
    #: Share of what is there, by which it grows; at least one step of the setting.
    increase_ratio: float | None = None
    #: Values below it are refused.
    min: str | int | float | None = None
    #: Where growth ends, so `increase_ratio` needs it; larger values are refused.
    max: str | int | float | None = None


class PolicySection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which alerts lead to which action; `match` holds matchers as Alertmanager writes them."""

    #: Name of the policy, unique; a label of metrics.
    name: Name
    #: Matchers on the alert's labels, all of which must hold; the first policy that matches answers.
    match: Annotated[tuple[str, ...], Meta(min_length=1)]
    #: What acts: `database` or `cache`.
    executor: str
    #: What it moves, and how far; see [executors](executors.md#parameters-of-a-policy).
    parameters: Annotated[dict[str, StepSection | str | int | float | bool], Meta(min_length=1)]
    #: What must improve.
    objective: ObjectiveSection
    #: What is acted on; by default the alert's label `component`.
    component: str | None = None
    #: What must not get worse.
    guards: tuple[GuardSection, ...] = ()
    #: How far it goes: note it, say what it would do, ask a person first, or act.
    mode: Mode = Mode.SUGGEST
    #: How often it acts.
    limits: LimitsSection = field(default_factory=LimitsSection)
    #: Time before the effect counts; by default two ranges of rates and one interval, for `cache` at least 300.
    settle_seconds: Seconds | None = None
    #: What becomes of a change when the samples decide nothing.
    on_inconclusive: Keep = Keep.ROLLBACK
    #: What becomes of a change when samples are missing.
    on_unverifiable: Keep = Keep.KEEP
    #: How long `approve` waits for a person; after that the action is cancelled.
    approval_seconds: Seconds = 3600.0
    #: Accepted, but without effect yet: episodes are served in the order of their beginning.
    priority: int = 0
