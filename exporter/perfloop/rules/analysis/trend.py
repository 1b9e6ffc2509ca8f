"""Straight lines through the last week, and through daily maxima: slope, fit, prediction, time until full.

The means of neighbouring blocks resemble one another, so that n of them say as much as n_eff independent ones: with a
correlation r of each residual with the next, n_eff = n (1 - r) / (1 + r). Every error below is worked out with n_eff.
"""

from __future__ import annotations

from collections.abc import Mapping

from perfloop.model import CatalogueMetric, Direction
from perfloop.rules.analysis.values import BLOCK, BLOCK_MAXIMUM, BLOCK_MEAN, BLOCKS_A_DAY, DAY, VALUE, History
from perfloop.rules.groups import Rule
from perfloop.rules.promql import duration

BLOCK_STEP = f"{BLOCK_MEAN}_step"
DAILY_MAXIMUM = "analysis:value:max1d"
DAILY_STEP = f"{DAILY_MAXIMUM}_step"
LINE = "analysis:trend"
#: How much the means of the blocks vary.
VARIANCE = f"{LINE}:variance"

LEAST_DAYS_OF_MAXIMA = 5
_LIMIT_PERCENT = 100
# What lies beyond a year is no forecast.
_FARTHEST_DAYS = 365
# A mean is recorded at the end of its block; so the block about a moment is recorded half a block later.
_AHEAD = DAY + BLOCK // 2
# With fewer no interval has an end.
_LEAST_COUNT = 4
# Below this share of the variance a residual is rounding.
_ROUNDING = "1e-9"
# A bit more than the four blocks of a day, as their times may differ by a little; three, as one may be missed.
_A_DAY, _LEAST_BLOCKS_OF_A_DAY = "19h", 3


def blocks(catalogue: Mapping[str, CatalogueMetric]) -> tuple[Rule, ...]:
    """Return the rules of each six hours: the step of the mean from the one before, and maxima of a day."""
    limited = _limited(catalogue)
    window = f'{BLOCK_MAXIMUM}{{metric=~"{"|".join(limited)}"}}[{_A_DAY}]'
    maximum = f"max_over_time({window}) and count_over_time({window}) >= {_LEAST_BLOCKS_OF_A_DAY}"
    daily_step = f"{DAILY_MAXIMUM} - {DAILY_MAXIMUM} offset {duration(DAY)}"
    return (
        Rule(record=BLOCK_STEP, expr=f"{BLOCK_MEAN} - {BLOCK_MEAN} offset {duration(BLOCK)}"),
        *([Rule(record=DAILY_MAXIMUM, expr=maximum), Rule(record=DAILY_STEP, expr=daily_step)] if limited else []),
    )


def steps(history: History) -> tuple[Rule, ...]:
    """Return the rules of each five minutes."""
    count, effective = f"{LINE}:count", f"{LINE}:effective_count"
    return (
        *_line(LINE, BLOCK_MEAN, history.window, least=min(BLOCKS_A_DAY, BLOCKS_A_DAY * history.days - 1)),
        Rule(record=f"{LINE}:slope_1d", expr=f"{DAY} * {LINE}:slope and {count}"),
        Rule(record=f"{LINE}:r_squared", expr=f"clamp_max({_explained(LINE)} / ({LINE}:variance > 0), 1)"),
        _effective(LINE, count, BLOCK_STEP, history.window),
        Rule(
            record="analysis:prediction:1d",
            expr=f"predict_linear({BLOCK_MEAN}[{history.window}], {_AHEAD}) and {count}",
        ),
        Rule(record="analysis:prediction:error_1d", expr=_error(effective)),
        Rule(record="analysis:prediction:upper_1d", expr="analysis:prediction:1d + analysis:prediction:error_1d"),
        Rule(record="analysis:prediction:lower_1d", expr="analysis:prediction:1d - analysis:prediction:error_1d"),
    )


def until_full(catalogue: Mapping[str, CatalogueMetric], *, days: int) -> tuple[Rule, ...]:
    """Return the rules of each five minutes about metrics that end at 100 percent, from `days` of daily maxima.

    Maxima of a day are recorded for each block, so that n of them are as many as n / 4, and as fewer as each resembles
    that of the day before. The band has the error of the slope, and how far maxima lie from the line.
    """
    if not _limited(catalogue) or days < LEAST_DAYS_OF_MAXIMA:
        return ()
    line, window = f"{LINE}_of_maxima", duration(days * DAY)
    independent = f"{line}:effective_count"
    least = min(LEAST_DAYS_OF_MAXIMA, days - 1) * BLOCKS_A_DAY
    distance = f"{_student(f'({independent} - 2)')} * sqrt({line}:residual_variance)"
    level = f"predict_linear({DAILY_MAXIMUM}[{window}], 0)"
    times = {
        "": (f"{line}:room", f"{line}:slope"),
        "_earliest": (f"({line}:room - {line}:distance)", f"({line}:slope + {line}:slope_error)"),
        "_latest": (f"({line}:room + {line}:distance)", f"({line}:slope - {line}:slope_error)"),
    }
    return (
        *_line(line, DAILY_MAXIMUM, window, least=least),
        _effective(line, f"{line}:count / {BLOCKS_A_DAY}", DAILY_STEP, window),
        Rule(record=f"{line}:room", expr=f"clamp_min({_LIMIT_PERCENT} - {level}, 0) and {line}:count"),
        Rule(record=f"{line}:distance", expr=distance),
        Rule(
            record=f"{line}:slope_error",
            expr=f"{line}:distance / sqrt({independent} * {_variance_of_time(f'{line}:count')})",
        ),
        *(
            Rule(
                record=f"analysis:full:seconds{name}",
                expr=f"clamp_min({room}, 0) / ({slope} > 0) <= {_FARTHEST_DAYS * DAY}",
            )
            for name, (room, slope) in times.items()
        ),
    )


def _line(line: str, series: str, window: str, *, least: int) -> tuple[Rule, ...]:
    """Return what a line is made of, each part read from the window once."""
    rest = f"({line}:variance - {_explained(line)})"
    return (
        # Only what is still measured has a future.
        Rule(record=f"{line}:count", expr=f"count_over_time({series}[{window}]) >= {least} and {VALUE}"),
        Rule(record=f"{line}:slope", expr=f"deriv({series}[{window}])"),
        Rule(record=f"{line}:variance", expr=f"stdvar_over_time({series}[{window}])"),
        Rule(
            record=f"{line}:residual_variance",
            # What is only rounding is 0.
            expr=f"({rest} > {_ROUNDING} * {line}:variance) * {line}:count / ({line}:count - 2) or 0 * {line}:count",
        ),
    )


def _effective(line: str, count: str, step: str, window: str) -> Rule:
    """Return how many independent values there are, by how much they vary from one to the next."""
    correlation = f"clamp(1 - stdvar_over_time({step}[{window}]) / (2 * {line}:residual_variance > 0), 0, 0.99)"
    # (1 - r) / (1 + r), with r worked out once; where nothing varies there is none.
    return Rule(
        record=f"{line}:effective_count",
        expr=f"clamp_min({count} * (2 / (1 + {correlation}) - 1), {_LEAST_COUNT}) or {count} + 0",
    )


def _limited(catalogue: Mapping[str, CatalogueMetric]) -> list[str]:
    """Return the metrics that end at 100 percent, and are worse the nearer they are."""
    return [
        metric.name for metric in catalogue.values() if metric.unit == "percent" and metric.direction is Direction.LOWER
    ]


def _variance_of_time(count: str) -> str:
    """Return the variance of n times, a block apart."""
    return f"({BLOCK}^2 * ({count}^2 - 1) / 12)"


def _explained(line: str) -> str:
    return f"({line}:slope^2 * {_variance_of_time(f'{line}:count')})"


def _error(effective: str) -> str:
    """Return half the width of the 95 % interval of one block a day ahead (least squares, with n_eff).

    As if the newest block were as old as it can be.
    """
    distance = f"({_AHEAD} + {BLOCK} * ({LINE}:count + 1) / 2)"
    return (
        f"{_student(f'({effective} - 2)')} * sqrt({LINE}:residual_variance"
        f" * (1 + (1 + {distance}^2 / {_variance_of_time(f'{LINE}:count')}) / {effective}))"
    )


def _student(freedom: str) -> str:
    """Return Student's quantile of 97.5 %, by the first terms of its expansion (3 % too small at 2, then under 1 %)."""
    return f"(1.96 + (2.37 + (2.82 + 2.56 / {freedom}) / {freedom}) / {freedom})"
