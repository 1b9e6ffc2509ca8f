"""Aggregation over time: one of six functions over a window, for gauges, counters, and histograms of both kinds.

A regular expression on `__name__` inside a range function fails when Prometheus evaluates it, so patterns are expanded
here, into one rule for each metric, kept apart by the label `source_metric`.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

from msgspec import Struct

from perfloop.errors import ConfigInvalid
from perfloop.model import CatalogueMetric
from perfloop.rules.groups import Rule
from perfloop.rules.promql import duration, number

_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_GLOB = re.compile(r"[a-zA-Z0-9_:*?]+")
_COUNTER_ENDINGS = ("_total", "_sum", "_count")


class Aggregator(StrEnum):
    """What is made of the samples in the window."""

    SUM = "Sum"
    AVERAGE = "Average"
    MIN = "Min"
    MAX = "Max"
    COUNT = "Count"
    PERCENTILE = "Percentile"


class Kind(StrEnum):
    """How a metric counts; names tell it by their ending."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"
    NATIVE_HISTOGRAM = "native_histogram"


class Source(Struct, frozen=True, kw_only=True):
    """One series name to aggregate; for a histogram the name without `_bucket`. `label` keeps expanded ones apart."""

    series: str
    kind: Kind
    label: str = ""


class Aggregation(Struct, frozen=True, kw_only=True):
    """One entry of aggregation_rules; `percentile` is set with Aggregator.PERCENTILE, as a quantile of 0..1."""

    pattern: str
    aggregator: Aggregator
    window_seconds: int
    output: str
    quantile: float | None = None
    kind: Kind | None = None


_OVER_TIME = {
    Aggregator.SUM: "sum_over_time",
    Aggregator.AVERAGE: "avg_over_time",
    Aggregator.MIN: "min_over_time",
    Aggregator.MAX: "max_over_time",
    Aggregator.COUNT: "count_over_time",
}


def aggregator_of(text: str) -> tuple[Aggregator, float | None]:
    """Read `Average` or `Percentile(95)`; the quantile comes back as 0..1.

    Raises ConfigInvalid for a percentile over 100, and for one between 1 and 50: 1.5 may be meant as a share of
    something or as a mistyped 15, and neither reading is safe.
    """
    name, _, argument = text.partition("(")
    if not argument:
        return Aggregator(name), None
    percentile = float(argument.rstrip(") "))
    if percentile > 100:
        raise ConfigInvalid([f"expected a percentile of at most 100, got {percentile:g}"])
    if 1 < percentile < 50:
        raise ConfigInvalid([f"percentile {percentile:g} is ambiguous: expected 0 to 1 or 50 to 100"])
    return Aggregator(name), percentile if percentile <= 1 else percentile / 100


def sources(pattern: str, kind: Kind | None, catalogue: Mapping[str, CatalogueMetric]) -> tuple[Source, ...]:
    """Return what a metric_pattern stands for: a catalogue name, a metric name, or several catalogue names.

    A pattern of letters, `*` and `?` is a glob, any other an anchored regular expression. Raises ConfigInvalid when
    nothing is meant by it.
    """
    name = pattern.removeprefix("perfloop:")
    if name in catalogue:
        if kind not in {None, Kind.GAUGE}:
            raise ConfigInvalid([f"{pattern} is recorded as a gauge, not as a {kind}; leave metric_type out"])
        return (Source(series=catalogue[name].series, kind=Kind.GAUGE),)
    if name != pattern:
        raise ConfigInvalid([f"there is no metric {name!r} in the catalogue ({', '.join(sorted(catalogue))})"])
    if _METRIC_NAME.fullmatch(pattern):
        return (_raw(pattern, kind),)
    expression = _expression(pattern)
    found = [entry for entry in catalogue.values() if expression.fullmatch(entry.name)]
    if not found:
        raise ConfigInvalid([f"pattern {pattern!r} matches no name of the catalogue ({', '.join(sorted(catalogue))})"])
    return tuple(Source(series=entry.series, kind=Kind.GAUGE, label=entry.name) for entry in found)


def compile_aggregation(
    entry: Aggregation,
    catalogue: Mapping[str, CatalogueMetric],
    *,
    interval_seconds: int,
    rate_range_seconds: int,
    path: str = "",
) -> tuple[Rule, ...]:
    """Return one recording rule for each source. Raises ConfigInvalid when the metric has no such aggregation."""
    return tuple(
        Rule(
            record=entry.output,
            expr=expression_for(entry, source, interval_seconds=interval_seconds, range_seconds=rate_range_seconds),
            labels={"source_metric": source.label} if source.label else {},
            source=path,
        )
        for source in sources(entry.pattern, entry.kind, catalogue)
    )


def expression_for(entry: Aggregation, source: Source, *, interval_seconds: int, range_seconds: int) -> str:
    """Return the PromQL of one aggregation over one source."""
    window = f"[{duration(entry.window_seconds)}]"
    if source.kind is Kind.HISTOGRAM:
        return _over_histogram(entry, _classic(source.series, window))
    if source.kind is Kind.NATIVE_HISTOGRAM:
        return _over_histogram(entry, _native(f"{source.series}{window}"))
    if source.kind is Kind.COUNTER:
        steps = f"rate({source.series}[{duration(range_seconds)}])"
        subquery = f"{steps}[{duration(entry.window_seconds)}:{duration(interval_seconds)}]"
        return _over_counter(entry, source.series, window, subquery)
    return _over_gauge(entry, f"{source.series}{window}")


def _over_gauge(entry: Aggregation, samples: str) -> str:
    if entry.quantile is not None:
        return f"quantile_over_time({number(entry.quantile)}, {samples})"
    return f"{_OVER_TIME[entry.aggregator]}({samples})"


def _over_counter(entry: Aggregation, series: str, window: str, subquery: str) -> str:
    if entry.aggregator is Aggregator.SUM:
        return f"increase({series}{window})"
    if entry.aggregator is Aggregator.AVERAGE:
        return f"rate({series}{window})"
    if entry.aggregator is Aggregator.COUNT:
        return f"count_over_time({series}{window})"
    return _over_gauge(entry, subquery)


class _Observations(Struct, frozen=True, kw_only=True):
    """How a histogram says each thing; of a classic one they are series of their own."""

    rates: str
    rate_of_sum: str
    rate_of_count: str
    sum: str
    count: str


def _classic(series: str, window: str) -> _Observations:
    return _Observations(
        rates=f"rate({series}_bucket{window})",
        rate_of_sum=f"rate({series}_sum{window})",
        rate_of_count=f"rate({series}_count{window})",
        sum=f"increase({series}_sum{window})",
        count=f"increase({series}_count{window})",
    )


def _native(samples: str) -> _Observations:
    return _Observations(
        rates=f"rate({samples})",
        rate_of_sum=f"histogram_sum(rate({samples}))",
        rate_of_count=f"histogram_count(rate({samples}))",
        sum=f"histogram_sum(increase({samples}))",
        count=f"histogram_count(increase({samples}))",
    )


def _over_histogram(entry: Aggregation, observed: _Observations) -> str:
    some = f"{observed.rate_of_count} > 0"
    if entry.quantile is not None:
        # An idle histogram would give NaN; with the second half it is absent.
        return f"histogram_quantile({number(entry.quantile)}, {observed.rates}) and {some}"
    if entry.aggregator is Aggregator.AVERAGE:
        return f"{observed.rate_of_sum} / ({some})"
    if entry.aggregator is Aggregator.SUM:
        return observed.sum
    if entry.aggregator is Aggregator.COUNT:
        return observed.count
    raise ConfigInvalid([f"a histogram has no {entry.aggregator}; expected Sum, Average, Count or Percentile(p)"])


def _raw(name: str, kind: Kind | None) -> Source:
    told = Kind.COUNTER if name.endswith(_COUNTER_ENDINGS) else Kind.GAUGE
    if name.endswith("_bucket"):
        told = Kind.HISTOGRAM
    kind = kind or told
    return Source(series=name.removesuffix("_bucket") if kind is Kind.HISTOGRAM else name, kind=kind)


def _expression(pattern: str) -> re.Pattern[str]:
    if _GLOB.fullmatch(pattern):
        return re.compile(fnmatch.translate(pattern))
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigInvalid([f"{pattern!r} is neither a metric name nor a regular expression: {error}"]) from error


def clashes(outputs: Iterable[str], taken: Iterable[str]) -> dict[int, str]:
    """Return, by position, why an output_metric cannot be recorded: the name is taken already."""
    seen = dict.fromkeys(taken, "a metric of the catalogue")
    problems: dict[int, str] = {}
    for position, output in enumerate(outputs):
        if output in seen:
            problems[position] = f"{output} is already recorded by {seen[output]}"
        seen.setdefault(output, f"aggregation_rules[{position}]")
    return problems
