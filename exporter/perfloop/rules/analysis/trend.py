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
    window = f"[{history.window}]"
    count = f"(count_over_time({HOURLY}{window}) >= {_HOURS_A_DAY})"
    slope, whole = f"deriv({HOURLY}{window})", f"stdvar_over_time({HOURLY}{window})"
    variance, effective = f"{LINE}:residual_variance", f"{LINE}:effective_count"
    correlation = f"clamp(1 - stdvar_over_time({HOURLY}_step{window}) / (2 * {variance} > 0), 0, 0.99)"
    return (
        Rule(record=f"{LINE}:slope_1d", expr=f"{DAY} * {slope} and {count}"),
        Rule(record=f"{LINE}:r_squared", expr=f"clamp_max({_explained(slope, count)} / ({whole} > 0), 1)"),
        Rule(record=variance, expr=_residual(slope, whole, count)),
        Rule(
            record=effective,
            expr=f"clamp_min({count} * (1 - {correlation}) / (1 + {correlation}), 4) or {count}",
        ),
        Rule(record="analysis:prediction:1d", expr=f"predict_linear({HOURLY}{window}, {DAY}) and {count}"),
        Rule(record="analysis:prediction:error_1d", expr=_error(count, variance, effective)),
        Rule(record="analysis:prediction:upper_1d", expr="analysis:prediction:1d + analysis:prediction:error_1d"),
        Rule(record="analysis:prediction:lower_1d", expr="analysis:prediction:1d - analysis:prediction:error_1d"),
    )


def until_full(catalogue: Mapping[str, CatalogueMetric], *, days: int) -> tuple[Rule, ...]:
    """Return the rules of each five minutes about metrics that end at 100 percent, from `days` of daily maxima.

    Maxima of windows of a day are recorded each hour, so that n of them are as many as n / 24 independent ones.
    """
    if not _limited(catalogue) or days < _LEAST_DAYS_OF_MAXIMA:
        return ()
    window = f"[{duration(days * DAY)}]"
    count = f"(count_over_time({DAILY_MAXIMUM}{window}) >= {_LEAST_DAYS_OF_MAXIMA * _HOURS_A_DAY})"
    slope, whole = f"deriv({DAILY_MAXIMUM}{window})", f"stdvar_over_time({DAILY_MAXIMUM}{window})"
    independent = f"({count} / {_HOURS_A_DAY})"
    error = (
        f"{_student(f'({independent} - 2)')} * sqrt({_residual(slope, whole, count)})"
        f" / sqrt({independent} * {_variance_of_time(count)})"
    )
    room = f"clamp_min({_LIMIT_PERCENT} - predict_linear({DAILY_MAXIMUM}{window}, 0), 0)"
    slopes = {"": slope, "_earliest": f"({slope} + {LINE}:max1d_error)", "_latest": f"({slope} - {LINE}:max1d_error)"}
    return (
        Rule(record=f"{LINE}:max1d_error", expr=error),
        *(
            Rule(
                record=f"analysis:full:seconds{name}",
                expr=f"{room} / ({each} > 0) <= {_FARTHEST_DAYS * DAY} and {count}",
            )
            for name, each in slopes.items()
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


def _explained(slope: str, count: str) -> str:
    return f"({slope}^2 * {_variance_of_time(count)})"


def _residual(slope: str, whole: str, count: str) -> str:
    """Return the variance about the line; what is only rounding is 0."""
    rest = f"({whole} - {_explained(slope, count)})"
    return f"(({rest} > {_ROUNDING} * {whole}) * {count} / ({count} - 2) or 0 * {count})"


def _error(count: str, variance: str, effective: str) -> str:
    """Return half the width of the 95 % interval of one value a day ahead (least squares, with n_eff)."""
    distance = f"({DAY} + {HOUR} * ({count} - 1) / 2)"
    return (
        f"{_student(f'({effective} - 2)')} * sqrt({variance}"
        f" * (1 + 1 / {effective} + {distance}^2 / ({effective} * {_variance_of_time(count)})))"
    )


def _student(freedom: str) -> str:
    """Return Student's quantile of 97.5 %, by the first terms of its expansion (2 % too small at 3, less beyond)."""
    return f"(1.96 + 2.37 / {freedom} + 2.82 / {freedom}^2 + 2.56 / {freedom}^3)"
