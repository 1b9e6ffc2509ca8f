"""The configured thresholds and aggregations as the rule compiler takes them."""

from __future__ import annotations

from perfloop.config.schema import AggregationRule, Config, Percentile
from perfloop.rules.aggregation import Aggregation, Kind, aggregator_of
from perfloop.rules.thresholds import Threshold


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
