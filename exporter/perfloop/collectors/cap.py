"""A bound on the series of each family, so that no target can flood Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from perfloop.exposition.page import pairs_of
from perfloop.model import MetricType
from perfloop.protocols import Piece

MAX_SERIES = 10_000
# No sample line is shorter: a name, a space, a digit, the end of the line.
_MIN_LINE_BYTES = 16
_WHOLE = {MetricType.HISTOGRAM, MetricType.SUMMARY}


def capped(samples: Sequence[Piece], *, max_series: int) -> tuple[Sequence[Piece], int]:
    """Return at most `max_series` sample lines of each family, and how many were dropped.

    A histogram or summary that does not fit is dropped as a whole.
    """
    most = sum(
        [len(each[1]) // _MIN_LINE_BYTES + 1 if isinstance(each, tuple) else each.layout.series for each in samples]
    )
    if most <= max_series:
        return samples, 0
    kept, room, dropped = list[Piece](), Counter[str](), 0
    for family, lines in pairs_of(samples):
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
