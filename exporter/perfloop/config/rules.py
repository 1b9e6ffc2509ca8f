"""What perfloop.yml says of rules and alerts, as the rule compiler takes it."""

from __future__ import annotations

from perfloop.config.schema import AggregationRule, Config, Percentile
from perfloop.config.schema import AlertRule as AlertRuleSection
from perfloop.config.schema import ServiceLevel as ServiceLevelSection
from perfloop.model import Operator
from perfloop.rules import shipped
from perfloop.rules.aggregation import Aggregation, Kind, aggregator_of
from perfloop.rules.alert_rules import AlertRule, Beyond, Changed, Direction, Unlike
from perfloop.rules.groups import Notice
from perfloop.rules.shipped import Change
from perfloop.rules.slo import ServiceLevel
from perfloop.rules.thresholds import Threshold, ThresholdOverride

_DAY, _HOUR, _MINUTE = 86400, 3600, 60
_USUAL_WINDOW_DAYS = 30
_OTHER_WORDS = {"Equals": Operator.EQUAL, "NotEquals": Operator.NOT_EQUAL}


def thresholds(config: Config) -> tuple[Threshold, ...]:
    """Return the thresholds; what must last no stated time lasts two collection intervals and at least a minute."""
    lasting = config.prometheus.for_seconds
    if lasting is None:
        lasting = max(2 * config.performance_collection.collection_interval, 60)
    return tuple(
        Threshold(
            metric=name,
            operator=section.operator,
            warning=section.warning_threshold,
            critical=section.critical_threshold,
            for_seconds=lasting if section.duration is None else section.duration,
            overrides=tuple(
                ThresholdOverride(
                    match=override.match, warning=override.warning_threshold, critical=override.critical_threshold
                )
                for override in section.overrides
            ),
            notice=notice(config, section.channels, section.cooldown_minutes),
        )
        for name, section in config.performance_collection.alert_thresholds.items()
    )


def aggregation(section: AggregationRule) -> Aggregation:
    """Return one aggregation. Raises ConfigInvalid for an ambiguous percentile."""
    kind = section.aggregation_type
    text = f"Percentile({kind.percentile})" if isinstance(kind, Percentile) else kind
    aggregator, quantile = aggregator_of(text)
    return Aggregation(
        pattern=section.metric_pattern,
        aggregator=aggregator,
        quantile=quantile,
        window_seconds=section.time_window,
        output=section.output_metric,
        kind=Kind(section.metric_type) if section.metric_type else None,
    )


def aggregations(config: Config) -> tuple[Aggregation, ...]:
    """Return the aggregations, in their order."""
    return tuple(aggregation(section) for section in config.aggregation_rules)


def notice(config: Config, channels: tuple[str, ...] | None = None, cooldown_minutes: int | None = None) -> Notice:
    """Return who is told and how often at most; what is left out is as `alerts` says."""
    return Notice(
        channels=config.alerts.channels if channels is None else channels,
        cooldown_seconds=_MINUTE * (config.alerts.cooldown_minutes if cooldown_minutes is None else cooldown_minutes),
    )


def alert_rules(config: Config) -> tuple[AlertRule, ...]:
    """Return the user's own alerts that are enabled."""
    return tuple(
        alert_rule(config, section, path=f"alert_rules[{i}]")
        for i, section in enumerate(config.alert_rules)
        if section.enabled
    )


def service_levels(config: Config) -> tuple[ServiceLevel, ...]:
    """Return the service levels."""
    return tuple(
        ServiceLevel(
            name=name,
            objective_ratio=section.objective / 100,
            window_seconds=_window_days(config, section) * _DAY,
            errors=section.errors,
            total=section.total,
            description=section.description,
            notice=notice(config, section.channels, section.cooldown_minutes),
        )
        for name, section in config.slos.items()
    )


def _window_days(config: Config, section: ServiceLevelSection) -> int:
    kept = config.performance_collection.retention_period // _DAY
    return section.window_days or min(_USUAL_WINDOW_DAYS, max(kept, 1))


def changes(config: Config) -> dict[str, Change]:
    """Return what is different of shipped alerts."""
    return {
        name: Change(
            expr=section.expr,
            severity=section.severity,
            for_seconds=section.duration,
            notice=notice(
                config,
                () if section.channels is None and name in shipped.quiet() else section.channels,
                section.cooldown_minutes,
            ),
        )
        for name, section in config.alerts.override.items()
    }


def alert_rule(config: Config, section: AlertRuleSection, *, path: str = "") -> AlertRule:
    """Return one alert of the user's own, which has a condition."""
    metric, condition, minutes = _condition(section)
    return AlertRule(
        name=section.name,
        metric=metric,
        condition=condition,
        for_seconds=minutes * _MINUTE,
        severity=section.severity,
        description=section.description,
        notice=notice(config, section.channels, section.cooldown_minutes),
        path=path,
    )


def _condition(section: AlertRuleSection) -> tuple[str, Beyond | Changed | Unlike, int]:
    """Return the metric, the condition, and for how many minutes it must last."""
    condition = section.condition
    if (beyond := condition.threshold) is not None:
        operator = _OTHER_WORDS.get(beyond.operator) or Operator(beyond.operator)
        return beyond.metric, Beyond(operator=operator, value=beyond.value), beyond.duration_minutes
    if (changed := condition.percent_change) is not None:
        return (
            changed.metric,
            Changed(
                baseline_seconds=changed.baseline_hours * _HOUR,
                change_percent=changed.change_percent,
                direction=Direction(changed.direction),
                baseline=changed.baseline,
            ),
            changed.duration_minutes,
        )
    unlike = condition.statistical
    # The reader has refused a condition without any kind.
    assert unlike is not None  # noqa: S101
    return (
        unlike.metric,
        Unlike(deviations=unlike.deviation_threshold, window_seconds=unlike.window_hours * _HOUR),
        unlike.duration_minutes,
    )
