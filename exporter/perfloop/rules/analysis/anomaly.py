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
SCORE = "analysis:anomaly:score"
#: One value each five minutes makes one false alarm in ten days.
THRESHOLD = round(math.log10(10 * STEPS_A_DAY), 2)

#: All that came before the present value: less than a step, as times may differ by a millisecond.
BEFORE = "offset 4m"

_COUNT, _LIMIT, _SCALE = "analysis:anomaly:count", "analysis:anomaly:limit", "analysis:anomaly:scale"
_OUTSIDE, _BEYOND = "analysis:anomaly:outside", "analysis:anomaly:beyond"
_VALUE_SCALE = f'{_SCALE}{{stream="value"}}'
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
_DISTANCES = ("season", "spike")


def blocks() -> tuple[Rule, ...]:
    """Return the rules of each six hours: the last ones of each distance in a few numbers."""
    window = f"{DISTANCE}[6h]"
    return (
        Rule(record=_BLOCK_DISTANCE, expr=f"max_over_time({window})"),
        Rule(record=_BLOCK_SQUARE, expr=f"stdvar_over_time({window}) + avg_over_time({window})^2"),
        # Of the season, which begins a day later: no stream has fewer.
        Rule(record=_BLOCK_COUNT, expr=f'max without (stream) (count_over_time({DISTANCE}{{stream="season"}}[6h]))'),
    )


def steps(history: History) -> tuple[Rule, ...]:
    """Return the rules of each five minutes."""
    return (*_distances(history), *_known(history), *_scores(), *_bands())


def _distances(history: History) -> tuple[Rule, ...]:
    """Return how far the metric is from what is usual at this time, and from what it was just before."""
    season = f"abs({HOUR_MEAN} - ({_season([days for days in _SEASON_DAYS if days <= history.kept_days])}))"
    spike = f"abs({VALUE} - quantile_over_time(0.5, {VALUE}[2h] {BEFORE}))"
    return tuple(
        Rule(record=DISTANCE, expr=expr, labels={"stream": stream})
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
            stream: f'max_over_time({_BLOCK_DISTANCE}{{stream="{stream}"}}[{window}] {BEFORE})' for stream in _DISTANCES
        },
    }
    # Without its label in every branch: else a replay of the rule sees two series where there is one.
    least = f'{_LEAST_SCALE_RATIO} * max without (stream) (abs({_LIMIT}{{stream="high"}}))'
    spreads = {
        "value": f"sqrt(avg_over_time({BLOCK_VARIANCE}[{window}]) + {VARIANCE})",
        **{stream: f'sqrt(avg_over_time({_BLOCK_SQUARE}{{stream="{stream}"}}[{window}]))' for stream in _DISTANCES},
    }
    scales = {stream: f"{spread} > ignoring (stream) {least} or {least}" for stream, spread in spreads.items()}
    return (
        Rule(record=_COUNT, expr=f"sum_over_time({_BLOCK_COUNT}[{window}] {BEFORE}) >= {STEPS_A_DAY}"),
        *(Rule(record=_LIMIT, expr=expr, labels={"stream": stream}) for stream, expr in limits.items()),
        *(Rule(record=_SCALE, expr=expr, labels={"stream": stream}) for stream, expr in scales.items()),
    )


def _scores() -> tuple[Rule, ...]:
    outside = {
        'stream="high"': f'{VALUE} > ignoring (stream) {_LIMIT}{{stream="high"}}',
        'stream="low"': f'-{VALUE} > ignoring (stream) {_LIMIT}{{stream="low"}}',
    }
    # What was outside since the last block is known too, and is above the limit, or was until a block came.
    recent = f"max_over_time({_OUTSIDE}[{_RECENT}] {BEFORE})"
    beyond = f"({_OUTSIDE} - {recent} < {_OUTSIDE} - {_LIMIT} or {_OUTSIDE} - {_LIMIT}) > 0"
    # A value may be the largest or the smallest by chance, a distance only the largest.
    values = _score(
        'stream=~"high|low"', f"ignoring (stream) group_left () ({_VALUE_SCALE} > 0)", f"({_COUNT} + 1) / 2"
    )
    distances = _score('stream=~"season|spike"', f"({_SCALE} > 0)", f"{_COUNT} + 1")
    by_stream = f"{SCORE}_by_stream"
    return (
        *(
            Rule(record=_OUTSIDE, expr=expr, labels={"stream": matcher.split('"')[1]})
            for matcher, expr in outside.items()
        ),
        Rule(record=_OUTSIDE, expr=f"{DISTANCE} > {_LIMIT}"),
        Rule(record=_BEYOND, expr=beyond),
        Rule(record=by_stream, expr=f"clamp_max({values} or {distances}, {_LARGEST_SCORE})"),
        Rule(record=SCORE, expr=f"max without (stream) ({by_stream}) or 0 * ({VALUE} and {_COUNT})"),
        Rule(
            record="analysis:anomaly:new",
            expr=f"{SCORE} >= {THRESHOLD} unless"
            f" max without (stream) (max_over_time({by_stream}[{_NEW_FOR}] {BEFORE})) >= {SCORE}",
        ),
    )


def _score(matcher: str, scale: str, chances: str) -> str:
    """Return the score of what is beyond; without any deviation in the past the distance counts as one."""
    beyond = f"{_BEYOND}{{{matcher}}}"
    deviations = f"({beyond} / {scale} or 0 * {beyond} + 1)"
    return f"{deviations} / {_LN10} + ignoring (stream) group_left () log10({chances})"


def _bands() -> tuple[Rule, ...]:
    """Return where the value itself would have the threshold's score."""
    room = f"clamp_min({THRESHOLD} - log10(({_COUNT} + 1) / 2), 0) * {_LN10}"

    def edge(stream: str) -> str:
        limit = f'{_LIMIT}{{stream="{stream}"}}'
        return f"max without (stream) ({limit} + ignoring (stream) {_VALUE_SCALE} * ignoring (stream) ({room}))"

    return (
        Rule(record="analysis:value:upper", expr=edge("high")),
        Rule(record="analysis:value:lower", expr=f"-{edge('low')}"),
    )
