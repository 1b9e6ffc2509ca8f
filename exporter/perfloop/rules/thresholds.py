"""Alerting rules from thresholds: two severities of one condition, under one alert name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from msgspec import Struct

from perfloop.model import CatalogueMetric, Direction, Operator
from perfloop.rules.catalogue import shipped
from perfloop.rules.groups import Notice, Rule
from perfloop.rules.links import Links
from perfloop.rules.promql import duration, number

# Which labels say where, and the word before each.
_WHERE = (("component", "of"), ("mountpoint", "on"), ("device", "on"), ("instance", "at"))


class ThresholdOverride(Struct, frozen=True, kw_only=True):
    """Other values for the series that all matchers select; the first one that does counts."""

    match: tuple[str, ...]
    warning: float | None
    critical: float | None


class Threshold(Struct, frozen=True, kw_only=True):
    """A condition on one catalogue metric, in its unit; a severity without a value has no rule."""

    metric: str
    operator: Operator
    warning: float | None
    critical: float | None
    for_seconds: int
    overrides: tuple[ThresholdOverride, ...] = ()
    notice: Notice = Notice()


_SUFFIX = {
    Operator.GREATER_THAN: "High",
    Operator.LESS_THAN: "Low",
    Operator.EQUAL: "Equal",
    Operator.NOT_EQUAL: "NotEqual",
}
_WORSE = {Direction.LOWER: Operator.GREATER_THAN, Direction.HIGHER: Operator.LESS_THAN}
_WORDS = {
    Operator.GREATER_THAN: "above",
    Operator.LESS_THAN: "below",
    Operator.EQUAL: "equal to",
    Operator.NOT_EQUAL: "different from",
}


def alert_name(metric: str, operator: Operator) -> str:
    """Return the alert's name: `cpu_usage` above a threshold is `CpuUsageHigh`."""
    return "".join(part.capitalize() for part in metric.split("_")) + _SUFFIX[operator]


@cache
def documented() -> Mapping[str, CatalogueMetric]:
    """Return the alerts that have a page: those of shipped metrics, on the side that is worse."""
    return {alert_name(metric.name, _WORSE[metric.direction]): metric for metric in shipped().values()}


def compile_threshold(
    threshold: Threshold, metric: CatalogueMetric, *, links: Links, path: str = ""
) -> tuple[Rule, ...]:
    """Return the critical and the warning rule: the same alert, so that Alertmanager lets one mute the other."""
    severities = (("critical", threshold.critical), ("warning", threshold.warning))
    return tuple(
        _rule(threshold, metric, severity, value, links=links, path=path)
        for severity, value in severities
        if value is not None
    )


def condition(series: str, operator: Operator, value: float) -> str:
    """Return PromQL that holds, with the series' own value, where the operator does; never for NaN.

    Computed values hardly ever equal a number exactly, and NaN differs from every number: both equality operators
    compare the distance with a tolerance of 1e-9 of the number.
    """
    literal = number(value)
    if operator is Operator.GREATER_THAN:
        return f"{series} > {literal}"
    if operator is Operator.LESS_THAN:
        return f"{series} < {literal}"
    distance = "<" if operator is Operator.EQUAL else ">="
    return f"{series} and abs({series} - {literal}) {distance} {1e-9 * max(1.0, abs(value)):.3g}"


def _rule(
    threshold: Threshold, metric: CatalogueMetric, severity: str, value: float, *, links: Links, path: str
) -> Rule:
    alert = alert_name(threshold.metric, threshold.operator)
    words = _WORDS[threshold.operator]
    lasting = f" for {duration(threshold.for_seconds)}" if threshold.for_seconds else ""
    where = "".join(f"{{{{ with $labels.{label} }}}} {word} {{{{ . }}}}{{{{ end }}}}" for label, word in _WHERE)
    unit = f" {metric.unit}" if metric.unit else ""
    return Rule(
        alert=alert,
        expr=condition(metric.series, threshold.operator, value),
        for_seconds=threshold.for_seconds,
        keep_firing_for_seconds=threshold.notice.keep_firing_for_seconds,
        labels={"severity": severity, "rule": threshold.metric},
        annotations={
            "summary": f"The metric {threshold.metric} is {words} its {severity} threshold.",
            "description": f'{threshold.metric}{where} is {{{{ printf "%.2f" $value }}}}{unit},'
            f" {words} {number(value)}{unit}{lasting}.",
            **links.annotations(alert, page="" if alert in documented() else "README", board="overview"),
        },
        source=path,
        notice=threshold.notice,
    )
