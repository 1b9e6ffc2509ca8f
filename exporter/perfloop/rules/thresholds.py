"""Alerting rules from thresholds: two severities of one condition, under one alert name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from msgspec import Struct
from msgspec.structs import replace

from perfloop.model import CatalogueMetric, Direction, Operator
from perfloop.model.matchers import Matcher, parse_selector
from perfloop.rules.catalogue import shipped
from perfloop.rules.groups import Notice, Rule
from perfloop.rules.links import Links
from perfloop.rules.promql import duration, number

# Which labels say where, and the word before each.
_PLACES = (("component", "of"), ("mountpoint", "on"), ("device", "on"), ("instance", "at"))
WHERE = "".join(f"{{{{ with $labels.{label} }}}} {word} {{{{ . }}}}{{{{ end }}}}" for label, word in _PLACES)


class ThresholdOverride(Struct, frozen=True, kw_only=True):
    """Other values for the series that all matchers select; the first one that does counts."""

    match: tuple[str, ...]
    warning: float | None
    critical: float | None

    @property
    def matchers(self) -> tuple[Matcher, ...]:
        """The parsed matchers. Raises ConfigInvalid."""
        return tuple(parse_selector(text) for text in self.match)


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
WORDS = {
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
    """Return the critical and the warning rule: the same alert, so that Alertmanager lets one mute the other.

    One rule serves a severity's overrides too, as two rules of the same name and labels are taken for one.
    """
    rules = (_rule(threshold, metric, severity, links=links, path=path) for severity in ("critical", "warning"))
    return tuple(rule for rule in rules if rule is not None)


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


class _Case(Struct, frozen=True, kw_only=True):
    """Some of the series, the value that counts for them, and the condition by which a template knows them."""

    selection: str
    value: float
    test: str = ""


def _rule(threshold: Threshold, metric: CatalogueMetric, severity: str, *, links: Links, path: str) -> Rule | None:
    cases = tuple(_cases(threshold, metric.series, severity))
    if not cases:
        return None
    alert = alert_name(threshold.metric, threshold.operator)
    words = WORDS[threshold.operator]
    lasting = f" for {duration(threshold.for_seconds)}" if threshold.for_seconds else ""
    unit = f" {metric.unit}" if metric.unit else ""
    return Rule(
        alert=alert,
        expr=" or ".join(condition(case.selection, threshold.operator, case.value) for case in cases),
        for_seconds=threshold.for_seconds,
        keep_firing_for_seconds=threshold.notice.keep_firing_for_seconds,
        labels={"severity": severity, "rule": threshold.metric},
        annotations={
            "summary": f"The metric {threshold.metric} is {words} its {severity} threshold.",
            "description": f'{threshold.metric}{WHERE} is {{{{ printf "%.2f" $value }}}}{unit},'
            f" {words} {_limit(cases)}{unit}{lasting}.",
            **links.annotations(alert, page="" if alert in documented() else "README"),
        },
        source=path,
        notice=threshold.notice,
    )


def _cases(threshold: Threshold, series: str, severity: str) -> Iterator[_Case]:
    """Return the series of each override that no earlier one has, and then all others, if they have a value."""
    chosen: list[str] = []
    for entry in threshold.overrides:
        own = f"{series}{{{', '.join(matcher.promql() for matcher in entry.matchers)}}}"
        value = entry.critical if severity == "critical" else entry.warning
        if value is not None:
            yield _Case(selection=_less(own, chosen), value=value, test=_test(entry.matchers))
        chosen.append(own)
    value = threshold.critical if severity == "critical" else threshold.warning
    if value is not None:
        yield _Case(selection=_less(series, chosen), value=value)


def _less(series: str, others: Sequence[str]) -> str:
    return f"({' unless '.join((series, *others))})" if others else series


def _test(matchers: Sequence[Matcher]) -> str:
    """Return matchers as the condition of a template."""
    parts = [_test_of(matcher) for matcher in matchers]
    return parts[0] if len(parts) == 1 else f"and {' '.join(f'({part})' for part in parts)}"


def _test_of(matcher: Matcher) -> str:
    label = f"$labels.{matcher.label}"
    if matcher.operator in {"=", "!="}:
        return f"{'eq' if matcher.operator == '=' else 'ne'} {label} {matcher.quoted}"
    anchored = replace(matcher, value=f"^(?:{matcher.value})$").quoted
    return f"match {anchored} {label}" if matcher.operator == "=~" else f"not (match {anchored} {label})"


def _limit(cases: Sequence[_Case]) -> str:
    """Return the value that counts for the alert's series: a number, or a template that chooses one.

    What fires is one of the cases, so that the last one needs no test.
    """
    *tested, last = cases
    text = number(last.value)
    for case in reversed(tested):
        text = f"{{{{ if {case.test} }}}}{number(case.value)}{{{{ else }}}}{text}{{{{ end }}}}"
    return text
