"""The sections of the seeds: collection, analysis, optimization, aggregation."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from perfloop.config.schema.base import Cooldown, Count, Section, Share, WholeSeconds
from perfloop.model import Operator


class ThresholdOverride(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Other values for some of the series."""

    #: Which series, as matchers, all of which must hold; the first override that matches counts.
    match: Annotated[tuple[str, ...], Meta(min_length=1)]
    #: Instead of the threshold's; none if left out.
    warning_threshold: float | None = None
    #: Instead of the threshold's; none if left out.
    critical_threshold: float | None = None


class AlertThreshold(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two severities of one condition on one catalogue metric, in the metric's unit."""

    #: Value beyond which the alert is a warning, in the metric's unit. One of the two is needed.
    warning_threshold: float | None = None
    #: Value beyond which it is critical; its alert mutes the warning.
    critical_threshold: float | None = None
    #: Which side of the value is bad. `Equal` and `NotEqual` are for states, not for measurements.
    operator: Operator = Operator.GREATER_THAN
    #: Seconds that it must last before the alert fires; by default `prometheus.for_seconds`.
    duration: Annotated[int, Meta(ge=0)] | None = None
    #: Other values for some of the series: one host that is always busier. Without any value, none for them.
    overrides: tuple[ThresholdOverride, ...] = ()
    #: Who is told; by default `alerts.channels`.
    channels: tuple[str, ...] | None = None
    #: At most one notification in this time, however often it comes and goes; by default `alerts.cooldown_minutes`.
    cooldown_minutes: Cooldown | None = None


class PerformanceCollection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often is measured, how long Prometheus remembers, and when it alerts. Times in seconds."""

    #: How often Prometheus scrapes and evaluates the rules; at most 240, as it forgets a sample after 300.
    collection_interval: WholeSeconds = 15
    #: How long Prometheus remembers; compiled to its flag in prometheus.flags.
    retention_period: WholeSeconds = 15 * 86400
    #: One alert for each catalogue metric, by the metric's name.
    alert_thresholds: dict[str, AlertThreshold] = field(default_factory=dict)


class PerformanceAnalysis(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often and over how long recorded series are analysed. Times in seconds."""

    #: Accepted, but without effect yet: analysis comes later.
    analysis_interval: WholeSeconds = 300
    #: Accepted, but without effect yet.
    retention_period: WholeSeconds = 7 * 86400
    #: Accepted, but without effect yet.
    confidence_threshold: Share = 0.8


class Optimization(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many actions may run at once, how long one may take to be made, and what counts as help."""

    #: Actions at work at once, over all components; one component never has two.
    max_concurrent_optimizations: Count = 3
    #: Seconds in which a change must be made and read back, else it is undone; verifying has its own time.
    optimization_timeout: WholeSeconds = 300
    #: Share by which an objective must improve to count as help, unless the policy says another.
    impact_threshold: Share = 0.10
    #: Changes within an hour, over all policies.
    actions_per_hour: Count = 20


class Percentile(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`{Percentile: 95}`, the other way to write `Percentile(95)`."""

    #: Which percentile.
    percentile: Annotated[float, Meta(ge=0, le=100)] = field(name="Percentile")


class AggregationRule(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One recording rule over time."""

    #: A catalogue name, a pattern over catalogue names such as `db_*`, or any metric in Prometheus.
    metric_pattern: str
    #: What is computed over the window; `{Percentile: 95}` is another way to write `Percentile(95)`.
    aggregation_type: (
        Annotated[
            str,
            Meta(
                pattern=r"^(Sum|Average|Min|Max|Count|Percentile\(\s*[0-9]+(\.[0-9]+)?\s*\))$",
                description="Sum, Average, Min, Max, Count or Percentile(p)",
            ),
        ]
        | Percentile
    )
    #: Seconds to look back; at most the retention.
    time_window: WholeSeconds
    #: Name of the recorded series.
    output_metric: Annotated[str, Meta(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$", description="a metric name")]
    #: What the source is, where its name does not say it (`_total` is a counter, `_bucket` a classic histogram).
    metric_type: Literal["gauge", "counter", "histogram", "native_histogram"] | None = None
