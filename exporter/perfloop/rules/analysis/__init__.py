"""Recorded series that explain: anomaly score, trend, prediction, time until full, saturation, change.

Every catalogue metric is first copied into one name with the label `metric`, a mean for each five minutes; each rule
after that is written once and works on all of them. What reads a week reads one value for each block of six hours.
docs/analysis.md has each formula, its trap, how good it is, and what it costs.
"""

from __future__ import annotations

from collections.abc import Mapping

from perfloop.model import CatalogueMetric
from perfloop.rules.analysis import anomaly, resources, trend, values
from perfloop.rules.analysis.values import BLOCK, DAY, STEP, History
from perfloop.rules.groups import Group, Rule

__all__ = ["analysis_groups"]

_LONGEST_DAYS = 7
_MAXIMA_DAYS = 13


def analysis_groups(
    catalogue: Mapping[str, CatalogueMetric],
    *,
    own: frozenset[str] = frozenset(),
    interval_seconds: int,
    retention_seconds: int,
) -> tuple[Group, ...]:
    """Return the groups of recording rules over every catalogue metric; those in `own` may have any labels.

    Windows end a day before the retention does, so that none is cut short by it; where that leaves less than a day,
    nothing is compared with the past.
    """
    kept_days = (retention_seconds - DAY) // DAY
    history = History(days=min(_LONGEST_DAYS, kept_days), kept_days=kept_days)
    steps = values.steps(catalogue, own=own, interval_seconds=interval_seconds, history=history)
    blocks: tuple[Rule, ...] = ()
    if history.days >= 1:
        maxima_days = min(_MAXIMA_DAYS, kept_days)
        steps += trend.steps(history) + anomaly.steps(history) + trend.until_full(catalogue, days=maxima_days)
        blocks = values.blocks() + trend.blocks(catalogue) + anomaly.blocks()
    signals = resources.rules(interval_seconds=interval_seconds)
    return (
        Group(name="perfloop-analysis-steps", interval_seconds=STEP, rules=steps, note=_note(history)),
        Group(name="perfloop-analysis-blocks", interval_seconds=BLOCK, rules=blocks),
        Group(name="perfloop-resources", interval_seconds=interval_seconds, rules=signals),
    )


def _note(history: History) -> str:
    if history.days < 1:
        return "nothing is compared with the past, as performance_collection.retention_period is under two days"
    left_out = [f"the same time {days} days ago" for days in (2, 3, 7) if days > history.kept_days]
    if history.days < _LONGEST_DAYS:
        left_out.insert(0, f"all beyond {history.days} days")
    if history.kept_days < trend.LEAST_DAYS_OF_MAXIMA:
        left_out.append("the time until full")
    elif history.kept_days < _MAXIMA_DAYS:
        left_out.append(f"daily maxima beyond {history.kept_days} days")
    if not left_out:
        return ""
    return f"left out, as performance_collection.retention_period is too short: {', '.join(left_out)}"
