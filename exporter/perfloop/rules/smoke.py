"""promtool tests made from perfloop.yml: each alert beyond a value fires past it after its `for`, and not before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from perfloop.model import Operator
from perfloop.rules import alert_rules
from perfloop.rules.alert_rules import AlertRule, Beyond
from perfloop.rules.groups import to_yaml
from perfloop.rules.promql import duration, number
from perfloop.rules.thresholds import Threshold, ThresholdOverride
from perfloop.rules.thresholds import alert_name as threshold_alert

_SHARE = 0.01


class _Limit(Struct, frozen=True, kw_only=True):
    """One alert of one severity beyond one value, for the series with these labels."""

    alert: str
    severity: str
    metric: str
    operator: Operator
    value: float
    for_seconds: int
    labels: Mapping[str, str]


def smoke_test(
    thresholds: Sequence[Threshold], rules: Sequence[AlertRule], *, rule_file: str, interval_seconds: int
) -> tuple[str, int]:
    """Return a file for `promtool test rules`, and how many alerts it tries.

    The recorded series are put in as they stand, so `rule_file` is to hold the alerts only. Overrides are tried where
    labels that they match can be told: with `=` in all of their matchers.
    """
    limits = [*_of_thresholds(thresholds), *_of_rules(rules)]
    tests = [test for limit in limits for test in _tests(limit, interval_seconds)]
    head: dict[str, Any] = {"rule_files": [rule_file], "evaluation_interval": duration(interval_seconds)}
    return to_yaml({**head, "tests": tests}), len(limits)


def _of_thresholds(thresholds: Sequence[Threshold]) -> Iterator[_Limit]:
    for each in thresholds:
        for severity, value in (("critical", each.critical), ("warning", each.warning)):
            if value is not None and _labels_of_others(each.overrides):
                yield _threshold(each, severity, value, {})
        taken: list[ThresholdOverride] = []
        for override in each.overrides:
            labels = _labels(override)
            clear = labels is not None and not any(_matches(earlier, labels) for earlier in taken)
            for severity, value in (("critical", override.critical), ("warning", override.warning)):
                if clear and labels is not None and value is not None:
                    yield _threshold(each, severity, value, labels)
            taken.append(override)


def _threshold(each: Threshold, severity: str, value: float, labels: Mapping[str, str]) -> _Limit:
    return _Limit(
        alert=threshold_alert(each.metric, each.operator),
        severity=severity,
        metric=each.metric,
        operator=each.operator,
        value=value,
        for_seconds=each.for_seconds,
        labels=labels,
    )


def _of_rules(rules: Sequence[AlertRule]) -> Iterator[_Limit]:
    for each in rules:
        if isinstance(each.condition, Beyond):
            yield _Limit(
                alert=alert_rules.alert_name(each.name),
                severity=each.severity,
                metric=each.metric,
                operator=each.condition.operator,
                value=each.condition.value,
                for_seconds=each.for_seconds,
                labels={},
            )


def _tests(limit: _Limit, interval_seconds: int) -> Iterator[dict[str, Any]]:
    """Yield three: beyond the value it fires, not before `for` has passed, and short of the value never."""
    step = max(abs(limit.value) * _SHARE, _SHARE)
    beyond, short = {
        Operator.GREATER_THAN: (limit.value + step, limit.value),
        Operator.LESS_THAN: (limit.value - step, limit.value),
        Operator.EQUAL: (limit.value, limit.value + step),
        Operator.NOT_EQUAL: (limit.value + step, limit.value),
    }[limit.operator]
    # Between two evaluations, so that it does not matter which of them counts at its very moment.
    after = limit.for_seconds + interval_seconds + interval_seconds // 2
    yield _test(limit, beyond, f"{after}s", firing=True, interval_seconds=interval_seconds)
    yield _test(limit, short, f"{after}s", firing=False, interval_seconds=interval_seconds)
    if limit.for_seconds > interval_seconds:
        early = f"{limit.for_seconds - 1}s"
        yield _test(limit, beyond, early, firing=False, interval_seconds=interval_seconds)


def _test(limit: _Limit, value: float, at: str, *, firing: bool, interval_seconds: int) -> dict[str, Any]:
    labels = ", ".join(f'{name}="{_quoted(text)}"' for name, text in sorted(limit.labels.items()))
    series = f"perfloop:{limit.metric}{{{labels}}}"
    samples = limit.for_seconds // interval_seconds + 4
    alert = f'ALERTS{{alertname="{limit.alert}", severity="{limit.severity}", alertstate="firing"}}'
    outcome = "fires" if firing else "does not fire"
    return {
        "name": f"{limit.alert} ({limit.severity}): {series} = {number(value)} {outcome} after {at}",
        "interval": duration(interval_seconds),
        "input_series": [{"series": series, "values": f"{number(value)}x{samples}"}],
        "promql_expr_test": [
            {
                "expr": f"count({alert})",
                "eval_time": at,
                "exp_samples": [{"labels": "{}", "value": 1}] if firing else [],
            }
        ],
    }


def _labels(override: ThresholdOverride) -> Mapping[str, str] | None:
    if any(matcher.operator != "=" for matcher in override.matchers):
        return None
    return {matcher.label: matcher.value for matcher in override.matchers}


def _matches(override: ThresholdOverride, labels: Mapping[str, str]) -> bool:
    return all(matcher.matches(labels) for matcher in override.matchers)


def _labels_of_others(overrides: Sequence[ThresholdOverride]) -> bool:
    """Say whether a series without labels is one of the others."""
    return not any(_matches(override, {}) for override in overrides)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
