"""What OpenMetrics demands of the samples of a counter, a histogram and a summary, and in which order.

https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md, sections on the metric types.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple

from perfloop.model import MetricType

_DECIMAL = re.compile(r"[+-]?(?:[0-9]++\.?+[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?+")
_SPECIAL = {
    **dict.fromkeys(("inf", "+inf", "infinity", "+infinity"), "+Inf"),
    **dict.fromkeys(("-inf", "-infinity"), "-Inf"),
    "nan": "NaN",
}
_MAX_NUMBER_CHARACTERS = 400


class Sample(NamedTuple):
    """One sample of a foreign page: label values are still escaped, and `series` is how the page shows it."""

    name: str
    labels: dict[str, str]
    value: str
    series: str


def number_token(text: str) -> str | None:
    """Return a number as both formats show it, or None if it is none that a float can hold."""
    if _DECIMAL.fullmatch(text) and len(text) <= _MAX_NUMBER_CHARACTERS and math.isfinite(float(text)):
        return text
    return _SPECIAL.get(text.lower())


def ordered(name: str, kind: MetricType, samples: list[Sample]) -> list[Sample] | None:
    """Return the samples of a family as OpenMetrics wants them, or None when they break the rules of their type."""
    if kind is MetricType.COUNTER:
        return samples if all(float(sample.value) >= 0 for sample in samples) else None
    if kind is MetricType.HISTOGRAM:
        return _by_group(samples, "le", lambda group: _histogram(name, group))
    if kind is MetricType.SUMMARY:
        return _by_group(samples, "quantile", lambda group: _summary(name, group))
    return samples


def _by_group(
    samples: list[Sample], key: str, order: Callable[[list[Sample]], list[Sample] | None]
) -> list[Sample] | None:
    """Order the samples of each label set; `key` is the label that tells those of one set apart."""
    groups: dict[tuple[tuple[str, str], ...], list[Sample]] = {}
    for sample in samples:
        labels = tuple(sorted(pair for pair in sample.labels.items() if pair[0] != key))
        groups.setdefault(labels, []).append(sample)
    found: list[Sample] = []
    for group in groups.values():
        in_order = order(group)
        if in_order is None:
            return None
        found += in_order
    return found


def _histogram(name: str, group: list[Sample]) -> list[Sample] | None:
    """Return buckets in order, then sum and count; those two come together or not at all."""
    buckets = _positioned(f"{name}_bucket", "le", group)
    rest = [sample for suffix in ("_sum", "_count") for sample in group if _is_plain(sample, name + suffix, "le")]
    bounds, counts = [bound for bound, _ in buckets], [float(sample.value) for _, sample in buckets]
    sound = (
        len(buckets) + len(rest) == len(group)
        and bounds[-1:] == [math.inf]
        and _rises(bounds)
        and all(count.is_integer() and count >= 0 for count in counts)
        and sorted(counts) == counts
    )
    if not sound:
        return None
    if rest and not (len(rest) == 2 and bounds[0] >= 0 and float(rest[0].value) >= 0):
        return None
    if rest and float(rest[1].value) != counts[-1]:
        return None
    return [*(sample for _, sample in buckets), *rest]


def _summary(name: str, group: list[Sample]) -> list[Sample] | None:
    """Return quantiles in order, then sum and count."""
    quantiles = _positioned(name, "quantile", group)
    rest = [sample for suffix in ("_sum", "_count") for sample in group if _is_plain(sample, name + suffix, "quantile")]
    positions = [position for position, _ in quantiles]
    sound = (
        len(quantiles) + len(rest) == len(group)
        and _rises(positions)
        and all(0 <= position <= 1 for position in positions)
        # A quantile of nothing is NaN, which is neither above nor below.
        and not any(float(sample.value) < 0 for _, sample in quantiles)
        and all(float(sample.value) >= 0 for sample in rest)
        and all(float(sample.value).is_integer() for sample in rest if sample.name.endswith("_count"))
    )
    return [*(sample for _, sample in quantiles), *rest] if sound else None


def _positioned(name: str, key: str, group: list[Sample]) -> list[tuple[float, Sample]]:
    """Return the samples of a name that have a number in the label `key`, by that number."""
    found = []
    for sample in group:
        token = number_token(sample.labels.get(key, ""))
        if sample.name == name and token is not None:
            found.append((float(token), sample))
    return sorted(found, key=itemgetter(0))


def _is_plain(sample: Sample, name: str, key: str) -> bool:
    return sample.name == name and key not in sample.labels


def _rises(positions: Sequence[float]) -> bool:
    return all(before < after for before, after in pairwise(positions))
