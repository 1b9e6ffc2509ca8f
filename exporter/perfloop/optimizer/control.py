"""Takes out of a series what happened to its control at the same time (difference in differences)."""

from __future__ import annotations

import bisect
import itertools
import statistics
from collections.abc import Sequence

from msgspec.structs import replace

from perfloop.model import Sample, Scale

Series = Sequence[Sample]


def control_key(metric: str) -> str:
    """Return the name under which a baseline keeps the samples of the metric's control."""
    return f"{metric} (control)"


def without_control(
    before: Series, after: Series, control_before: Series, control_after: Series, *, scale: Scale
) -> tuple[list[Sample], list[Sample]]:
    """Return both windows as they would be, had the control stayed at its mean from before.

    On the scale `ratio` each value is divided by how much the control was above that mean at the time, on `raw` (and
    where a control is not positive) the excess is subtracted. Samples without a control at their time are left out.
    The level from before is kept, so that the numbers can still be read in the metric's unit.
    """
    old, new = _paired(before, control_before), _paired(after, control_after)
    if not old:
        return [], []
    beside = [control for _, control in (*old, *new)]
    if scale is Scale.RATIO and min(beside) > 0:
        usual = statistics.geometric_mean(control for _, control in old)
        windows = [[replace(s, value=s.value * usual / control) for s, control in pairs] for pairs in (old, new)]
    else:
        usual = statistics.fmean(control for _, control in old)
        windows = [[replace(s, value=s.value - (control - usual)) for s, control in pairs] for pairs in (old, new)]
    return windows[0], windows[1]


def _paired(series: Series, control: Series) -> list[tuple[Sample, float]]:
    """Join each sample with the control's nearest in time, at most half of the usual spacing away."""
    times = [sample.at for sample in control]
    if len(series) < 2 or not times:
        return []
    reach = statistics.median(b.at - a.at for a, b in itertools.pairwise(series)) / 2
    pairs = []
    for sample in series:
        i = bisect.bisect_left(times, sample.at)
        nearest = min(control[max(i - 1, 0) : i + 1], key=lambda c: abs(c.at - sample.at))
        if abs(nearest.at - sample.at) <= reach:
            pairs.append((sample, nearest.value))
    return pairs
