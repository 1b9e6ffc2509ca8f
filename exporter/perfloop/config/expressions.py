"""PromQL in perfloop.yml: what would be evaluated but mean nothing, and service levels that cannot be kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache

from perfloop.config.reader import Document
from perfloop.config.schema import Config
from perfloop.model import CatalogueMetric
from perfloop.rules.aggregation import Kind
from perfloop.rules.promql import duration
from perfloop.rules.soundness import Known, grouping, parser_is_installed, problems, type_of, unknown_name

_DAY = 86400
_SHORTEST_WINDOW_SECONDS, _LONGEST_WINDOW_SECONDS = 300, 3 * _DAY


def check_expressions(document: Document, config: Config, metrics: Mapping[str, CatalogueMetric]) -> None:
    """Report mistakes in every expression of the user's own, and names in aggregation_rules that nothing has."""
    known = cache(lambda: _known(config, metrics))
    for path, text in _expressions(config):
        for problem in problems(text, known()):
            document.report(path, problem)
    for name, metric in config.metrics.items():
        own = metrics[name].series
        if parser_is_installed() and f"{own}" in metric.expr.replace(f"{own}:", "").replace(f"{own}_", ""):
            document.report(f"metrics.{name}.expr", f"{own} would be made of itself")
    _check_levels(document, config)
    _check_sources(document, config, known)


def _known(config: Config, metrics: Mapping[str, CatalogueMetric]) -> Known:
    # Half of the collectors' code: only who has expressions of his own pays for it.
    from perfloop.config.known import OPEN_PREFIXES, known_types  # noqa: PLC0415

    outputs = {rule.output_metric for rule in config.aggregation_rules}
    return Known(
        types=known_types(config),
        recorded=frozenset({metric.series for metric in metrics.values()} | outputs),
        open_prefixes=OPEN_PREFIXES,
        retention_seconds=config.performance_collection.retention_period,
    )


def _expressions(config: Config) -> Iterator[tuple[str, str]]:
    """Yield each expression with its path, as it will be evaluated, over the longest of its windows."""
    usual = duration(config.rate_range_seconds)
    for name, metric in config.metrics.items():
        yield f"metrics.{name}.expr", metric.expr.replace("$range", usual)
    for name, override in config.alerts.override.items():
        if override.expr is not None:
            yield f"alerts.override.{name}.expr", override.expr.replace("$range", usual)
    longest = duration(min(_LONGEST_WINDOW_SECONDS, config.performance_collection.retention_period))
    for name, level in config.slos.items():
        yield f"slos.{name}.errors", level.errors.replace("$window", longest)
        yield f"slos.{name}.total", level.total.replace("$window", longest)


def _check_levels(document: Document, config: Config) -> None:
    collection = config.performance_collection
    retention, interval = collection.retention_period, collection.collection_interval
    for name, level in config.slos.items():
        path = f"slos.{name}"
        kept = f"performance_collection.retention_period, {duration(retention)}"
        if retention < _DAY:
            document.report(path, f"looks back a day at least, longer than {kept}")
        elif level.window_days is not None and level.window_days * _DAY > retention:
            document.report(f"{path}.window_days", f"{level.window_days}d is longer than {kept}")
        if 2 * interval > _SHORTEST_WINDOW_SECONDS:
            document.report(path, f"looks at 5m, which need two collections; collection_interval is {interval}")
        for key, text in (("errors", level.errors), ("total", level.total)):
            if "$window" not in text:
                document.report(f"{path}.{key}", "expected $window as the range, as several are asked")
        _check_grouping(document, path, level.errors, level.total)


def _check_grouping(document: Document, path: str, errors: str, total: str) -> None:
    if not parser_is_installed():
        return
    ways = [grouping(text.replace("$window", "5m")) for text in (errors, total)]
    if None not in ways and ways[0] != ways[1]:
        words = [f"{way[0]} ({', '.join(way[1])})" for way in ways if way]
        document.report(f"{path}.errors", f"is aggregated {words[0]}, and total {words[1]}; expected the same labels")


def _check_sources(document: Document, config: Config, known: Callable[[], Known]) -> None:
    """Report raw names of perfloop's own that do not exist, and those that are of another type than is said."""
    for i, rule in enumerate(config.aggregation_rules):
        pattern, kind = rule.metric_pattern, Kind(rule.metric_type) if rule.metric_type else None
        if not pattern.startswith("perfloop_") or not pattern.isidentifier():
            continue
        problem = unknown_name(f"{pattern}_count" if kind is Kind.HISTOGRAM else pattern, known())
        if problem:
            document.report(f"aggregation_rules[{i}].metric_pattern", problem)
            continue
        told = type_of(pattern, known())
        if kind in {Kind.GAUGE, Kind.COUNTER} and told is not None and told.value != kind.value:
            document.report(f"aggregation_rules[{i}].metric_type", f"{pattern} is a {told}, not a {kind}")
