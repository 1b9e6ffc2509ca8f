"""Straight lines through the hours of the last week, and through daily maxima: slope, fit, prediction, time until full.

The values of neighbouring hours resemble one another, so that n of them say as much as n_eff independent ones: with a
correlation r of each residual with the next, n_eff = n (1 - r) / (1 + r). Every error below is worked out with n_eff.
"""

from __future__ import annotations

from collections.abc import Mapping

from perfloop.model import CatalogueMetric, Direction
from perfloop.rules.analysis.values import DAY, HOUR, HOUR_MEAN, VALUE, History
from perfloop.rules.groups import Rule
from perfloop.rules.promql import duration

HOURLY = "analysis:value:hourly"
DAILY_MAXIMUM = "analysis:value:max1d"
LINE = "analysis:trend"

_HOURS_A_DAY = DAY // HOUR
_LEAST_DAYS_OF_MAXIMA = 5
_LIMIT_PERCENT = 100
# What lies beyond a year is no forecast.
_FARTHEST_DAYS = 365
# Below this share of the variance a residual is rounding.
_ROUNDING = "1e-9"


def hours(catalogue: Mapping[str, CatalogueMetric]) -> tuple[Rule, ...]:
    """Return the rules of each hour: one mean for each hour, its step from the one before, and maxima of a day."""
    limited = _limited(catalogue)
    maximum = f'max_over_time({VALUE}{{metric=~"{"|".join(limited)}"}}[1d])'
    return (
        Rule(record=HOURLY, expr=HOUR_MEAN),
        Rule(record=f"{HOURLY}_step", expr=f"{HOURLY} - {HOURLY} offset 1h"),
        *([Rule(record=DAILY_MAXIMUM, expr=maximum)] if limited else []),
    )


def steps(history: History) -> tuple[Rule, ...]:
    """Return the rules of each five minutes."""
    correlation = (
        f"clamp(1 - stdvar_over_time({HOURLY}_step[{history.window}]) / (2 * {LINE}:residual_variance > 0), 0, 0.99)"
    )
    count, effective = f"{LINE}:count", f"{LINE}:effective_count"
    return (
        *_line(LINE, HOURLY, history.window, least=_HOURS_A_DAY),
        Rule(record=f"{LINE}:slope_1d", expr=f"{DAY} * {LINE}:slope and {count}"),
        Rule(record=f"{LINE}:r_squared", expr=f"clamp_max({_explained(LINE)} / ({LINE}:variance > 0), 1)"),
        Rule(
            record=effective, expr=f"clamp_min({count} * (1 - {correlation}) / (1 + {correlation}), 4) or {count} + 0"
        ),
        Rule(record="analysis:prediction:1d", expr=f"predict_linear({HOURLY}[{history.window}], {DAY}) and {count}"),
        Rule(record="analysis:prediction:error_1d", expr=_error(effective)),
        Rule(record="analysis:prediction:upper_1d", expr="analysis:prediction:1d + analysis:prediction:error_1d"),
        Rule(record="analysis:prediction:lower_1d", expr="analysis:prediction:1d - analysis:prediction:error_1d"),
    )


def until_full(catalogue: Mapping[str, CatalogueMetric], *, days: int) -> tuple[Rule, ...]:
    """Return the rules of each five minutes about metrics that end at 100 percent, from `days` of daily maxima.

    Maxima of windows of a day are recorded each hour, so that n of them are as many as n / 24 independent ones. The
    band has the error of the slope, and how far maxima lie from the line.
    """
    if not _limited(catalogue) or days < _LEAST_DAYS_OF_MAXIMA:
        return ()
    line, window = f"{LINE}_of_maxima", duration(days * DAY)
    independent = f"({line}:count / {_HOURS_A_DAY})"
    distance = f"{_student(f'({independent} - 2)')} * sqrt({line}:residual_variance)"
    level = f"predict_linear({DAILY_MAXIMUM}[{window}], 0)"
    times = {
        "": (f"{line}:room", f"{line}:slope"),
        "_earliest": (f"({line}:room - {line}:distance)", f"({line}:slope + {line}:slope_error)"),
        "_latest": (f"({line}:room + {line}:distance)", f"({line}:slope - {line}:slope_error)"),
    }
    return (
        *_line(line, DAILY_MAXIMUM, window, least=_LEAST_DAYS_OF_MAXIMA * _HOURS_A_DAY),
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
        Rule(record=f"{line}:count", expr=f"count_over_time({series}[{window}]) >= {least}"),
        Rule(record=f"{line}:slope", expr=f"deriv({series}[{window}])"),
        Rule(record=f"{line}:variance", expr=f"stdvar_over_time({series}[{window}])"),
        Rule(
            record=f"{line}:residual_variance",
            # What is only rounding is 0.
            expr=f"({rest} > {_ROUNDING} * {line}:variance) * {line}:count / ({line}:count - 2) or 0 * {line}:count",
        ),
    )


def _limited(catalogue: Mapping[str, CatalogueMetric]) -> list[str]:
    """Return the metrics that end at 100 percent, and are worse the nearer they are."""
    return [
        metric.name for metric in catalogue.values() if metric.unit == "percent" and metric.direction is Direction.LOWER
    ]


def _variance_of_time(count: str) -> str:
    """Return the variance of n times, an hour apart."""
    return f"({HOUR}^2 * ({count}^2 - 1) / 12)"


def _explained(line: str) -> str:
    return f"({line}:slope^2 * {_variance_of_time(f'{line}:count')})"


def _error(effective: str) -> str:
    """Return half the width of the 95 % interval of one value a day ahead (least squares, with n_eff)."""
    distance = f"({DAY} + {HOUR} * ({LINE}:count - 1) / 2)"
    return (
        f"{_student(f'({effective} - 2)')} * sqrt({LINE}:residual_variance"
        f" * (1 + 1 / {effective} + {distance}^2 / ({effective} * {_variance_of_time(f'{LINE}:count')})))"
    )


def _student(freedom: str) -> str:
    """Return Student's quantile of 97.5 %, by the first terms of its expansion (2 % too small at 3, less beyond)."""
    return f"(1.96 + 2.37 / {freedom} + 2.82 / {freedom}^2 + 2.56 / {freedom}^3)"
