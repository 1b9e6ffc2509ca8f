"""Mistakes in aggregation_rules: patterns that mean nothing, windows that hold too little or more than is kept."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from perfloop.config.reader import Document
from perfloop.config.rules import aggregation
from perfloop.config.schema import AggregationRule, Config
from perfloop.errors import ConfigInvalid
from perfloop.model import CatalogueMetric
from perfloop.rules.aggregation import Aggregation, Kind, Source, clashes, compile_aggregation, sources

T = TypeVar("T")


def check_aggregations(document: Document, config: Config, metrics: Mapping[str, CatalogueMetric]) -> None:
    """Report every mistake in aggregation_rules to the document."""
    for i, rule in enumerate(config.aggregation_rules):
        path = f"aggregation_rules[{i}]"
        entry = _attempt(document, f"{path}.aggregation_type", partial(aggregation, rule))
        found = _find_sources(document, path, rule, metrics)
        if found:
            _check_window(document, path, rule, config, found)
        if found and entry:
            _check_supported(document, path, entry, config, metrics)
    outputs = [rule.output_metric for rule in config.aggregation_rules]
    for i, problem in clashes(outputs, [metric.series for metric in metrics.values()]).items():
        document.report(f"aggregation_rules[{i}].output_metric", problem)


def _find_sources(
    document: Document, path: str, rule: AggregationRule, metrics: Mapping[str, CatalogueMetric]
) -> tuple[Source, ...]:
    pattern, kind = rule.metric_pattern, Kind(rule.metric_type) if rule.metric_type else None
    found = _attempt(document, f"{path}.metric_pattern", lambda: sources(pattern, kind, metrics)) or ()
    # Any word may be the name of a raw metric; one that nearly is a catalogue name is a slip.
    close = difflib.get_close_matches(pattern, metrics, n=1, cutoff=0.9)
    if close and any(source.series == pattern for source in found):
        document.report(f"{path}.metric_pattern", f"there is no metric {pattern!r}; did you mean {close[0]}?")
    if any(source.series == rule.output_metric for source in found):
        document.report(f"{path}.output_metric", f"{rule.output_metric} would be made of itself")
    return found


def _check_window(
    document: Document, path: str, rule: AggregationRule, config: Config, found: tuple[Source, ...]
) -> None:
    collection, window = config.performance_collection, rule.time_window
    if window > collection.retention_period:
        kept = f"performance_collection.retention_period, {collection.retention_period}"
        document.report(f"{path}.time_window", f"{window} is longer than {kept}")
    kind = found[0].kind
    least = collection.collection_interval * (1 if kind is Kind.GAUGE else 2)
    if window < least:
        expected = f"expected at least {least} seconds, which hold enough samples of a {kind}"
        document.report(f"{path}.time_window", f"{expected}, got {window}")


def _check_supported(
    document: Document, path: str, entry: Aggregation, config: Config, metrics: Mapping[str, CatalogueMetric]
) -> None:
    interval, range_seconds = config.performance_collection.collection_interval, config.rate_range_seconds
    _attempt(
        document,
        f"{path}.aggregation_type",
        lambda: compile_aggregation(entry, metrics, interval_seconds=interval, rate_range_seconds=range_seconds),
    )


def _attempt(document: Document, path: str, make: Callable[[], T]) -> T | None:
    """Return what `make` returns; what it refuses becomes a mistake at the path."""
    try:
        return make()
    except ConfigInvalid as error:
        document.report(path, str(error))
        return None
