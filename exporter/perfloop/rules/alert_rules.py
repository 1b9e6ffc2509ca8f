"""Alerts of the user's own: beyond a value, changed against its past, unlike its past."""

from __future__ import annotations

import math
import re
from enum import StrEnum
from typing import Literal

from msgspec import Struct

from perfloop.model import CatalogueMetric, Operator
from perfloop.rules.groups import Notice, Rule
from perfloop.rules.links import Links
from perfloop.rules.promql import duration, number
from perfloop.rules.thresholds import WHERE, WORDS, condition

# A window of hours is read anew only so often, by a group of its own; who reads what it records must reach over a gap.
BASELINE_INTERVAL_SECONDS = 300
_READ_SECONDS = 3 * BASELINE_INTERVAL_SECONDS
# A past with fewer of the samples that it could have says nothing.
_ENOUGH_RATIO = 0.5
# So many samples tell whether a past was mostly zero.
_SOME_SAMPLES = 96
# A series that stands still has no deviation, and its least move would be endless: this share of the mean is the least.
_LEAST_DEVIATION_RATIO = 0.01
# What is judged must not be part of what it is judged by: one outlier among n samples is never further from their mean
# than (n - 1) / sqrt(n) deviations, and soon it is their mean.
_LEAST_OFFSET_SECONDS = 3600


class Direction(StrEnum):
    """Which change is bad."""

    INCREASE = "Increase"
    DECREASE = "Decrease"
    ANY = "Any"


class Beyond(Struct, frozen=True, kw_only=True):
    """The metric stands beyond a value, in its unit."""

    operator: Operator
    value: float


class Changed(Struct, frozen=True, kw_only=True):
    """The metric changed by so many percent against its past: the mean of those hours, or the same time before."""

    baseline_seconds: int
    change_percent: float
    direction: Direction
    baseline: Literal["mean", "same_time"] = "mean"


class Unlike(Struct, frozen=True, kw_only=True):
    """The metric is so many standard deviations away from the mean of that window."""

    deviations: float
    window_seconds: int


class AlertRule(Struct, frozen=True, kw_only=True):
    """One alert on one catalogue metric; `path` is its place in perfloop.yml."""

    name: str
    metric: str
    condition: Beyond | Changed | Unlike
    for_seconds: int
    severity: str
    description: str
    notice: Notice
    path: str = ""


def alert_name(name: str) -> str:
    """Return the alert's name: `slow_checkout` is `SlowCheckout`."""
    return "".join(part[:1].upper() + part[1:] for part in re.split("[_-]", name))


def past_seconds(entry: AlertRule, *, interval_seconds: int) -> int:
    """Return how far back the alert looks."""
    if isinstance(entry.condition, Beyond):
        return 0
    if isinstance(entry.condition, Changed):
        return entry.condition.baseline_seconds + _now_seconds(interval_seconds)
    return entry.condition.window_seconds + _offset_seconds(entry)


def recordings(entry: AlertRule, metric: CatalogueMetric, *, interval_seconds: int) -> tuple[Rule, ...]:
    """Return what is recorded for the alert, so that a day's samples are not read at each evaluation.

    The names say all that the values depend on: alerts that need the same get the same rule.
    """
    if isinstance(entry.condition, Changed) and entry.condition.baseline == "mean":
        past = _Past(metric.series, entry.condition.baseline_seconds, _now_seconds(interval_seconds))
        return (Rule(record=past.mean, expr=past.mean_expression(interval_seconds), source=entry.path),)
    if isinstance(entry.condition, Unlike):
        past = _Past(metric.series, entry.condition.window_seconds, _offset_seconds(entry))
        return (
            Rule(record=past.mean, expr=past.mean_expression(interval_seconds), source=entry.path),
            Rule(record=past.deviation, expr=past.deviation_expression(), source=entry.path),
        )
    return ()


def alerts(entry: AlertRule, metric: CatalogueMetric, *, interval_seconds: int, links: Links) -> tuple[Rule, ...]:
    """Return the alerting rule."""
    alert = alert_name(entry.name)
    unit = f" {metric.unit}" if metric.unit else ""
    if isinstance(entry.condition, Beyond):
        beyond = f"{WORDS[entry.condition.operator]} {number(entry.condition.value)}{unit}"
        expr = condition(metric.series, entry.condition.operator, entry.condition.value)
        summary, said = f"is {beyond}", f'is {{{{ printf "%.2f" $value }}}}{unit}, {beyond}'
    elif isinstance(entry.condition, Changed):
        expr = _changed(entry.condition, metric.series, interval_seconds)
        summary, said = _changed_words(entry.condition)
    else:
        past = _Past(metric.series, entry.condition.window_seconds, _offset_seconds(entry))
        expr = _unlike(entry.condition, past, interval_seconds)
        summary, said = _unlike_words(entry.condition)
    lasting = f" for {duration(entry.for_seconds)}" if entry.for_seconds else ""
    rule = Rule(
        alert=alert,
        expr=expr,
        for_seconds=entry.for_seconds,
        keep_firing_for_seconds=entry.notice.keep_firing_for_seconds,
        labels={"severity": entry.severity, "rule": entry.name},
        annotations={
            "summary": _literal(entry.description) or f"The metric {entry.metric} {summary}.",
            "description": f"{entry.metric}{WHERE} {said}{lasting}.",
            **links.annotations(alert, page="README"),
        },
        source=entry.path,
        notice=entry.notice,
    )
    return (rule,)


class _Past(Struct, frozen=True):
    """A window of one metric that ended some time ago, and the series that are recorded of it."""

    series: str
    window_seconds: int
    offset_seconds: int

    @property
    def _named(self) -> str:
        return f"{duration(self.window_seconds)}_offset_{duration(self.offset_seconds)}"

    @property
    def mean(self) -> str:
        return f"{self.series}:avg_{self._named}"

    @property
    def deviation(self) -> str:
        return f"{self.series}:deviation_{self._named}"

    @property
    def samples(self) -> str:
        return self._samples("")

    def _samples(self, step: str) -> str:
        return f"{self.series}[{duration(self.window_seconds)}{step}] offset {duration(self.offset_seconds)}"

    def mean_expression(self, interval_seconds: int) -> str:
        """Return PromQL of the mean; there is none of a past that is too young, or that was mostly zero.

        Where zero is usual, the few samples of the last event would be the mean, and the next one endlessly more.
        """
        enough = math.ceil(_ENOUGH_RATIO * self.window_seconds / interval_seconds)
        # The median of all samples would take three times as long as everything else.
        some = self._samples(f":{duration(max(interval_seconds, self.window_seconds // _SOME_SAMPLES))}")
        usual = f"quantile_over_time(0.5, {some})"
        return f"avg_over_time({self.samples}) and count_over_time({self.samples}) >= {enough} and {usual} != 0"

    def deviation_expression(self) -> str:
        """Return PromQL of the standard deviation, or of the least one; there is none where there is no mean."""
        least = f"{_LEAST_DEVIATION_RATIO} * abs({self.mean})"
        return f"stddev_over_time({self.samples}) > {least} or {least} > 0"


def _now_seconds(interval_seconds: int) -> int:
    """Return how long now is: one sample more or less must not decide."""
    return max(300, 4 * interval_seconds)


def _offset_seconds(entry: AlertRule) -> int:
    """Return how long before now the past of a statistical alert ends."""
    return max(_LEAST_OFFSET_SECONDS, 6 * entry.for_seconds)


def _now(series: str, interval_seconds: int) -> str:
    """Return PromQL of the mean of now, for what is still measured."""
    return f"(avg_over_time({series}[{duration(_now_seconds(interval_seconds))}]) and {series})"


def _read(recorded: str) -> str:
    return f"last_over_time({recorded}[{duration(_READ_SECONDS)}])"


def _changed(changed: Changed, series: str, interval_seconds: int) -> str:
    now_seconds = _now_seconds(interval_seconds)
    if changed.baseline == "mean":
        mean = before = _read(_Past(series, changed.baseline_seconds, now_seconds).mean)
    else:
        past = _Past(series, now_seconds, changed.baseline_seconds)
        mean, before = f"avg_over_time({past.samples})", f"({past.mean_expression(interval_seconds)})"
    # Of zero there is no percent.
    change = f"100 * ({_now(series, interval_seconds)} - {before}) / (abs({mean}) > 0)"
    limit = number(changed.change_percent)
    risen, fallen = f"{change} > {limit}", f"{change} < -{limit}"
    if changed.direction is Direction.INCREASE:
        return risen
    return fallen if changed.direction is Direction.DECREASE else f"{risen} or {fallen}"


def _unlike(unlike: Unlike, past: _Past, interval_seconds: int) -> str:
    away = f"({_now(past.series, interval_seconds)} - {_read(past.mean)}) / {_read(past.deviation)}"
    limit = number(unlike.deviations)
    return f"{away} > {limit} or {away} < -{limit}"


_VERBS = {Direction.INCREASE: "rose", Direction.DECREASE: "fell", Direction.ANY: "changed"}


def _changed_words(changed: Changed) -> tuple[str, str]:
    """Return what the summary and the description say."""
    hours = duration(changed.baseline_seconds)
    against = f"its mean of the {hours} before" if changed.baseline == "mean" else f"the same time {hours} before"
    more = f"by more than {number(changed.change_percent)} percent"
    return (
        f"{_VERBS[changed.direction]} {more} against {against}",
        f'changed by {{{{ printf "%+.1f" $value }}}} percent against {against}, {more}',
    )


def _unlike_words(unlike: Unlike) -> tuple[str, str]:
    """Return what the summary and the description say."""
    mean = f"its mean of {duration(unlike.window_seconds)}"
    more = f"more than {number(unlike.deviations)}"
    return (
        f"is {more} standard deviations away from {mean}",
        f'is {{{{ printf "%+.1f" $value }}}} standard deviations away from {mean}, {more}',
    )


def _literal(text: str) -> str:
    """Return text that Prometheus does not take for a template."""
    return text.replace("{{", '{{ "{{" }}')
