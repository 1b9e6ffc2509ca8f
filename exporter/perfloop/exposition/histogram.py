"""A histogram that counts in the exporter: the durations of its own probes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from perfloop.exposition.text import number, series
from perfloop.model import Family


class Histogram:
    """One series of a histogram family, with fixed label values; rendered into a prebuilt template."""

    def __init__(self, family: Family, labels: Sequence[str], *, bounds_seconds: Sequence[float]) -> None:
        self._family, self._bounds = family, tuple(bounds_seconds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        # OpenMetrics wants 1.0 where the older format may say 1; a series must not change with the format.
        names = [*(repr(float(bound)) for bound in self._bounds), "+Inf"]
        buckets = [series(f"{family.name}_bucket", (*family.labels, "le"), (*labels, name)) for name in names]
        rest = [series(f"{family.name}_{suffix}", family.labels, labels) for suffix in ("sum", "count")]
        self._template = b"".join(line.replace(b"%", b"%%") + b" %b\n" for line in (*buckets, *rest))

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def render(self) -> tuple[Family, bytes]:
        """Return the family with its lines; +Inf and the count are equal even while another thread observes."""
        cumulated = [number(count) for count in accumulate(self._counts)]
        return self._family, self._template % (*cumulated, number(self._sum), cumulated[-1])
