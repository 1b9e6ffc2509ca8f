"""One anomaly score: -log10 of how often a value so far beyond all of the last week would come by chance.

A value above all n earlier ones has, if nothing changed, a probability of 1 / (n + 1), as each of the n + 1 is as
likely to be the largest. How far above them it lies counts by an exponential tail with the standard deviation as its
mean, heavier than a normal one. Asked of four views of the metric, its streams; the most surprising one counts.

Nearly all values lie within what the last week had. So what costs is done once for each block of six hours, and what
is worked out of a value beyond the limits exists only while there is one.
"""

from __future__ import annotations

import math

from perfloop.rules.analysis.trend import VARIANCE
from perfloop.rules.analysis.values import (
    BLOCK_MAXIMUM,
    BLOCK_MINIMUM,
    BLOCK_VARIANCE,
    DAY,
    HOUR_MEAN,
    STEPS_A_DAY,
    VALUE,
    History,
)
from perfloop.rules.groups import Rule
from perfloop.rules.promql import duration, number

DISTANCE = "analysis:distance"
#: The label that tells the streams apart; metrics have labels of their own, and `stream` is one that many have.
STREAM = "analysis_stream"
SCORE = "analysis:anomaly:score"
#: One value each five minutes makes one false alarm in ten days.
THRESHOLD = round(math.log10(10 * STEPS_A_DAY), 2)

#: All that came before the present value: less than a step, as times may differ by a millisecond.
BEFORE = "offset 4m"

_COUNT, _LIMIT, _SCALE = "analysis:anomaly:count", "analysis:anomaly:limit", "analysis:anomaly:scale"
_OUTSIDE, _BEYOND = "analysis:anomaly:outside", "analysis:anomaly:beyond"
_VALUE_SCALE = f'{_SCALE}{{analysis_stream="value"}}'
_BLOCK_DISTANCE, _BLOCK_SQUARE = f"{DISTANCE}:max6h", f"{DISTANCE}:square6h"
_BLOCK_COUNT = "analysis:anomaly:count6h"
_LARGEST_SCORE = 10
_LN10 = number(math.log(10))
# Days of which the same hour is compared; more than one, so that yesterday's anomaly is not all of the comparison.
_SEASON_DAYS = (1, 2, 3)
# Changes of less than a hundredth are of no interest, however quiet the series was.
_LEAST_SCALE_RATIO = 0.01
# Longer than a block: what was outside since the last one; two of them, as one may be missed in a restart.
_RECENT = "12h"
_NEW_FOR = "12h"
_LEAST_SHARE = 0.75
_DISTANCES = ("season", "spike")


def blocks() -> tuple[Rule, ...]:
    """Return the rules of each six hours: the last ones of each distance in a few numbers."""
    window = f"{DISTANCE}[6h]"
    return (
        Rule(record=_BLOCK_DISTANCE, expr=f"max_over_time({window})"),
        Rule(record=_BLOCK_SQUARE, expr=f"stdvar_over_time({window}) + avg_over_time({window})^2"),
        # Of the season, which begins a day later: no stream has fewer.
        Rule(
            record=_BLOCK_COUNT,
            expr=f'max without (analysis_stream) (count_over_time({DISTANCE}{{analysis_stream="season"}}[6h]))',
        ),
    )


def steps(history: History) -> tuple[Rule, ...]:
    """Return the rules of each five minutes."""
    return (*_distances(history), *_known(history), *_scores(), *_bands())


def _distances(history: History) -> tuple[Rule, ...]:
    """Return how far the metric is from what is usual at this time, and from what it was just before."""
    season = f"abs({HOUR_MEAN} - ({_season([days for days in _SEASON_DAYS if days <= history.kept_days])}))"
    spike = f"abs({VALUE} - quantile_over_time(0.5, {VALUE}[2h] {BEFORE}))"
    return tuple(
        Rule(record=DISTANCE, expr=expr, labels={STREAM: stream})
        for stream, expr in zip(_DISTANCES, (season, spike), strict=True)
    )


def _season(days: list[int]) -> str:
    """Return the mean of the same hour of those days; of the day before while the series is younger."""
    offsets = [f"{HOUR_MEAN} offset {duration(each * DAY)}" for each in days]
    mean = f"({' + '.join(offsets)}) / {len(offsets)}"
    return f"{mean} or {offsets[0]}" if len(offsets) > 1 else offsets[0]


def _known(history: History) -> tuple[Rule, ...]:
    """Return what the blocks say of each stream: how many values, the largest one, the standard deviation.

    The stream `low` is the metric's negative, so that beyond is above in all of them.
    """
    window = history.window
    limits = {
        "high": f"max_over_time({BLOCK_MAXIMUM}[{window}] {BEFORE})",
        "low": f"-min_over_time({BLOCK_MINIMUM}[{window}] {BEFORE})",
        **{
            stream: f'max_over_time({_BLOCK_DISTANCE}{{analysis_stream="{stream}"}}[{window}] {BEFORE})'
            for stream in _DISTANCES
        },
    }
    # Without its label in every branch: else a replay of the rule sees two series where there is one.
    least = f'{_LEAST_SCALE_RATIO} * max without (analysis_stream) (abs({_LIMIT}{{analysis_stream=~"high|low"}}))'
    spreads = {
        "value": f"sqrt(avg_over_time({BLOCK_VARIANCE}[{window}]) + {VARIANCE})",
        **{
            stream: f'sqrt(avg_over_time({_BLOCK_SQUARE}{{analysis_stream="{stream}"}}[{window}]))'
            for stream in _DISTANCES
        },
    }
    scales = {stream: f"{spread} > ignoring (analysis_stream) {least} or {least}" for stream, spread in spreads.items()}
    return (
        Rule(record=_COUNT, expr=f"sum_over_time({_BLOCK_COUNT}[{window}] {BEFORE}) >= {_least(history)}"),
        *(Rule(record=_LIMIT, expr=expr, labels={STREAM: stream}) for stream, expr in limits.items()),
        *(Rule(record=_SCALE, expr=expr, labels={STREAM: stream}) for stream, expr in scales.items()),
    )


def _least(history: History) -> int:
    """Return how many values a score needs: a day of them, and less than all that a short window can hold."""
    return min(STEPS_A_DAY, round(_LEAST_SHARE * history.days * STEPS_A_DAY))


def _scores() -> tuple[Rule, ...]:
    outside = {
        "high": f'{VALUE} > ignoring (analysis_stream) {_LIMIT}{{analysis_stream="high"}}',
        "low": f'-{VALUE} > ignoring (analysis_stream) {_LIMIT}{{analysis_stream="low"}}',
    }
    # What was outside since the last block is known too, and is above the limit, or was until a block came.
    recent = f"max_over_time({_OUTSIDE}[{_RECENT}] {BEFORE})"
    beyond = f"({_OUTSIDE} - {recent} < {_OUTSIDE} - {_LIMIT} or {_OUTSIDE} - {_LIMIT}) > 0"
    # A value may be the largest or the smallest by chance, a distance only the largest.
    values = _score(
        'analysis_stream=~"high|low"',
        f"ignoring (analysis_stream) group_left () ({_VALUE_SCALE} > 0)",
        f"({_COUNT} + 1) / 2",
    )
    distances = _score('analysis_stream=~"season|spike"', f"({_SCALE} > 0)", f"{_COUNT} + 1")
    by_stream = f"{SCORE}_by_stream"
    return (
        *(Rule(record=_OUTSIDE, expr=expr, labels={STREAM: stream}) for stream, expr in outside.items()),
        Rule(record=_OUTSIDE, expr=f"{DISTANCE} > {_LIMIT}"),
        Rule(record=_BEYOND, expr=beyond),
        Rule(record=by_stream, expr=f"clamp_max({values} or {distances}, {_LARGEST_SCORE})"),
        Rule(record=SCORE, expr=f"max without (analysis_stream) ({by_stream}) or 0 * ({VALUE} and {_COUNT})"),
        Rule(
            record="analysis:anomaly:new",
            expr=f"{SCORE} >= {THRESHOLD} unless"
            f" max without (analysis_stream) (max_over_time({by_stream}[{_NEW_FOR}] {BEFORE})) >= {SCORE}",
        ),
    )


def _score(matcher: str, scale: str, chances: str) -> str:
    """Return the score of what is beyond; without any deviation in the past the distance counts as one."""
    beyond = f"{_BEYOND}{{{matcher}}}"
    deviations = f"({beyond} / {scale} or 0 * {beyond} + 1)"
    return f"{deviations} / {_LN10} + ignoring (analysis_stream) group_left () log10({chances})"


def _bands() -> tuple[Rule, ...]:
    """Return where the value itself would have the threshold's score."""
    room = f"clamp_min({THRESHOLD} - log10(({_COUNT} + 1) / 2), 0) * {_LN10}"

    def edge(stream: str) -> str:
        limit = f'{_LIMIT}{{analysis_stream="{stream}"}}'
        beyond = f"ignoring (analysis_stream) {_VALUE_SCALE} * ignoring (analysis_stream) ({room})"
        return f"max without (analysis_stream) ({limit} + {beyond})"

    return (
        Rule(record="analysis:value:upper", expr=edge("high")),
        Rule(record="analysis:value:lower", expr=f"-{edge('low')}"),
    )
