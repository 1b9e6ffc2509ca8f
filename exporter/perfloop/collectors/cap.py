"""A bound on the series of each family, so that no target can flood Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from operator import itemgetter

from perfloop.model import Family, MetricType

MAX_SERIES = 10_000
# No sample line is shorter: a name, a space, a digit, the end of the line.
_MIN_LINE_BYTES = 16
_lines = itemgetter(1)
_WHOLE = {MetricType.HISTOGRAM, MetricType.SUMMARY}


def capped(samples: Sequence[tuple[Family, bytes]], *, max_series: int) -> tuple[Sequence[tuple[Family, bytes]], int]:
    """Return at most `max_series` sample lines of each family, and how many were dropped.

    A histogram or summary that does not fit is dropped as a whole.
    """
    if sum(map(len, map(_lines, samples))) <= max_series * _MIN_LINE_BYTES:
        return samples, 0
    kept, room, dropped = list[tuple[Family, bytes]](), Counter[str](), 0
    for family, lines in samples:
        count, left = lines.count(b"\n"), max_series - room[family.name]
        room[family.name] += count
        if count > left:
            dropped += count - max(left, 0)
            if family.type in _WHOLE:
                dropped, left = dropped + max(left, 0), 0
            lines = _first(lines, max(left, 0))  # noqa: PLW2901
        kept.append((family, lines))
    return kept, dropped


def _first(lines: bytes, count: int) -> bytes:
    # Not splitlines(): a label may hold what that takes for the end of a line.
    return b"".join(line + b"\n" for line in lines.split(b"\n")[:count])
