"""What the processes of one group use, summed up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from perfloop.collectors.processes.files import Usage
from perfloop.exposition.text import number

# The letters of /proc/PID/stat; other ones are transitions, which last no time.
STATES = {
    b"R": "running",
    b"S": "sleeping",
    b"D": "waiting",
    b"T": "stopped",
    b"t": "stopped",
    b"Z": "zombie",
    b"I": "idle",
}
STATE_NAMES = (*dict.fromkeys(STATES.values()), "other")


class Tally:
    """One group: counters that go on from scrape to scrape, and what its processes are at this one."""

    def __init__(self, *, gauges: int, counters: int = 8) -> None:
        self._counters, self._gauges = [0] * counters, gauges
        self.starts = 0
        self.clear()

    def clear(self) -> None:
        """Begin a new scrape."""
        self.states: Counter[str] = Counter()
        self.started_at: list[float] = []
        self.ratios: list[float] = []
        self._used: list[Sequence[int | None]] = []
        self._holds: list[Sequence[int | None]] = []

    def add(self, started_at: float, usage: Usage, last: Sequence[int | None] | None) -> None:
        """Add a process; `last` as in Member."""
        self.states[STATES.get(usage.state, "other")] += 1
        self.started_at.append(started_at)
        self._used.append(usage.counters)
        self._holds.append(usage.gauges)
        if usage.open_files_ratio is not None:
            self.ratios.append(usage.open_files_ratio)
        if last is not None and last != usage.counters:
            # One that has just started had used nothing.
            before = last or (0,) * len(usage.counters)
            for i, (now, then) in enumerate(zip(usage.counters, before, strict=True)):
                if now is not None and then is not None:
                    self._counters[i] += max(now - then, 0)

    def counter_tokens(self) -> list[bytes]:
        """Return the counters; none where a process of the group hides its own: the sum would be too small."""
        hidden = {i for used in self._used if None in used for i, value in enumerate(used) if value is None}
        return [b"" if i in hidden else number(value) for i, value in enumerate(self._counters)]

    def gauge_tokens(self) -> list[bytes]:
        """Return the sums over the processes that are there now; none where a process hides its part."""
        columns = list(zip(*self._holds, strict=True)) or [()] * self._gauges
        return [b"" if None in column else number(sum(filter(None, column))) for column in columns]
