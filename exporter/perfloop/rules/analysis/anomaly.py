"""One anomaly score: -log10 of how often a value so far beyond all of the last week would come by chance.

A value beyond all n earlier ones has, if nothing changed, a probability of 2 / (n + 1), as each of the n + 1 is as
likely to be the largest or the smallest. How far beyond it lies counts by an exponential tail with the standard
deviation as its mean, heavier than a normal one. Asked of four views of the metric, its streams; the most surprising
one counts.
"""

from __future__ import annotations

import math

from perfloop.rules.analysis.values import DAY, HOUR, HOUR_MEAN, STEP, STEPS_A_DAY, VALUE, History
from perfloop.rules.groups import Rule
from perfloop.rules.promql import duration, number

DEVIATION = "analysis:deviation"
SCORE = "analysis:anomaly:score"
#: One value each five minutes makes one false alarm in ten days.
THRESHOLD = round(math.log10(10 * STEPS_A_DAY), 2)

#: All that came before the present value: less than a step, as times may differ by a millisecond.
BEFORE = "offset 4m"

_LARGEST_SCORE = 10
_LN10 = number(math.log(10))
# Days of which the same hour is compared; more than one, so that yesterday's anomaly is not all of the comparison.
_SEASON_DAYS = (1, 2, 3)
# Half of two hours, below which the median is not one of two hours.
_HALF = HOUR // STEP
_SAME_SERIES = "ignoring (stream) group_left ()"
# A change of less than a hundredth is of no interest, however quiet the series was.
_LEAST_SCALE_RATIO = 0.01
_NEW_FOR = "12h"


def steps(history: History) -> tuple[Rule, ...]:
    """Return the rules of each five minutes."""
    season_days = [days for days in _SEASON_DAYS if days <= history.kept_days]
    streams = {
        "value": VALUE,
        "hour": HOUR_MEAN,
        "season": f"{HOUR_MEAN} - ({_season(season_days)})",
        "spike": f"{VALUE} - (quantile_over_time(0.5, {VALUE}[2h] {BEFORE})"
        f" and count_over_time({VALUE}[2h] {BEFORE}) >= {_HALF})",
    }
    count = f"{_limit('count')} >= {STEPS_A_DAY}"
    return (
        *(Rule(record=DEVIATION, expr=expr, labels={"stream": name}) for name, expr in streams.items()),
        Rule(record=f"{DEVIATION}:upper", expr=_beyond("max", ">")),
        Rule(record=f"{DEVIATION}:lower", expr=_beyond("min", "<")),
        Rule(record=f"{DEVIATION}:excess", expr=_excess()),
        Rule(
            record=f"{SCORE}_by_stream",
            expr=f"clamp_max(log10((({count}) + 1) / 2) + ({DEVIATION}:excess > 0) / {_LN10}, {_LARGEST_SCORE})"
            f" or 0 * (({count}) and {DEVIATION})",
        ),
        Rule(record=SCORE, expr=f"max without (stream) ({SCORE}_by_stream)"),
        Rule(
            record="analysis:anomaly:new",
            expr=f"{SCORE} >= {THRESHOLD} unless max_over_time({SCORE}[{_NEW_FOR}] {BEFORE}) >= {SCORE}",
        ),
        Rule(record="analysis:value:upper", expr=_band("upper", "+", count)),
        Rule(record="analysis:value:lower", expr=_band("lower", "-", count)),
    )


def hours(history: History) -> tuple[Rule, ...]:
    """Return the rules of each hour: the last hour of each stream in five numbers, and limits from them."""
    window = history.window
    functions = {"max": "max", "min": "min", "avg": "avg", "var": "stdvar", "count": "count"}
    hourly = {name: f"{DEVIATION}:{name}1h" for name in functions}
    least = f'{_LEAST_SCALE_RATIO} * abs(avg_over_time({hourly["avg"]}{{stream="value"}}[{window}]))'
    spread = f"sqrt(avg_over_time({hourly['var']}[{window}]) + stdvar_over_time({hourly['avg']}[{window}]))"
    return (
        *(
            Rule(record=hourly[name], expr=f"{function}_over_time({DEVIATION}[1h])")
            for name, function in functions.items()
        ),
        Rule(record=f"{DEVIATION}:max", expr=f"max_over_time({hourly['max']}[{window}])"),
        Rule(record=f"{DEVIATION}:min", expr=f"min_over_time({hourly['min']}[{window}])"),
        Rule(record=f"{DEVIATION}:count", expr=f"sum_over_time({hourly['count']}[{window}])"),
        Rule(record=f"{DEVIATION}:stddev", expr=spread),
        Rule(
            record=f"{DEVIATION}:scale",
            expr=f"({DEVIATION}:stddev > {_SAME_SERIES} ({least})) + 0"
            f" or 0 * {DEVIATION}:stddev + {_SAME_SERIES} ({least})",
        ),
    )


def _season(days: list[int]) -> str:
    """Return the mean of the same hour of those days; of fewer while the series is younger."""
    offsets = [f"{HOUR_MEAN} offset {duration(each * DAY)}" for each in days]
    means = [f"({' + '.join(offsets[:number])}) / {number}" for number in range(len(offsets), 1, -1)]
    return " or ".join([*means, offsets[0]])


def _limit(name: str) -> str:
    """Return a limit of the hour before; never one that knows the present value."""
    return f"last_over_time({DEVIATION}:{name}[2h] {BEFORE})"


def _beyond(name: str, sign: str) -> str:
    """Return the extreme of the window: what was known at the full hour, and since then."""
    # Functions that drop the name in every branch: else a replay of the rule sees two series where there is one.
    old, recent = (f"{name}_over_time({each} {BEFORE})" for each in (f"{DEVIATION}:{name}[2h]", f"{DEVIATION}[65m]"))
    return f"{old} {sign} {recent} or {recent} and {old} or {old}"


def _excess() -> str:
    """Return how far beyond the extremes, in standard deviations; 1 where there is no deviation.

    It is 0 inside and never absent: a replay marks nothing as stale, and would take the last one for the present.
    """
    outside = f"({DEVIATION} - {DEVIATION}:upper > 0 or {DEVIATION}:lower - {DEVIATION} > 0)"
    return f"{outside} / ({_limit('scale')} > 0) or 0 * {outside} + 1 or 0 * ({DEVIATION} - {DEVIATION}:upper)"


def _band(side: str, sign: str, count: str) -> str:
    """Return where the value itself would have the threshold's score."""
    room = f"clamp_min({THRESHOLD} - log10((({count}) + 1) / 2), 0) * {_LN10} * {_limit('scale')}"
    inner = f'{DEVIATION}:{side}{{stream="value"}} {sign} {room}'
    return f"max without (stream) ({inner})"
