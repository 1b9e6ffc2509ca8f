"""The past that rules read of recorded series, put beside what a running Prometheus records now.

Blocks are of two hours, as Prometheus itself writes them, and it joins them as it does live: how many pieces a window
is read from decides what it costs.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from perfloop.prometheus.status import PrometheusStatus
from perfloop.rules.groups import Group
from perfloop.rules.promql import seconds_of
from perfloop.stack.process import find_binary

_WINDOW = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{[^{}]*\})?\[(\d+[mhd])\]")
_OFFSET = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{[^{}]*\})? offset (\d+[hd])")


def remembered(groups: Sequence[Group]) -> dict[str, tuple[int, int]]:
    """Return the recorded series that are read over an hour and more: their interval, and how far back."""
    intervals = {rule.record: group.interval_seconds for group in groups for rule in group.rules if rule.record}
    found: dict[str, tuple[int, int]] = {}
    exprs = [rule.expr for group in groups for rule in group.rules]
    for name, window in (read for expr in exprs for form in (_WINDOW, _OFFSET) for read in form.findall(expr)):
        seconds = round(seconds_of(window))
        if seconds >= 3600 and name in intervals:
            found[name] = (intervals[name], max(seconds, found.get(name, (0, 0))[1]))
    return found


def backfill(
    folder: Path, client: PrometheusStatus, wanted: Mapping[str, tuple[int, int]], *, until: float
) -> frozenset[str]:
    """Give each of these series that is recorded now its past, as blocks beside the head; return their names.

    What is recorded swings between half and one and a half of what it is now: so it lies within its past.
    """
    series = {name: found for name in wanted if (found := client.query(name))}
    file = folder / "history.txt"
    with file.open("w", encoding="utf-8") as text:
        for name, found in series.items():
            interval, back = wanted[name]
            text.write(f"# TYPE {name} gauge\n")
            count = back // interval + 1
            for each in found:
                labels = ",".join(f'{key}="{value}"' for key, value in each.labels.items() if key != "__name__")
                values = ((0.5 + i % 17 / 16) * each.sample.value for i in range(count))
                times = (until - (count - i) * interval for i in range(count))
                text.writelines(
                    f"{name}{{{labels}}} {value!r} {at:.0f}\n" for value, at in zip(values, times, strict=True)
                )
        text.write("# EOF\n")
    if series:
        argv = [find_binary("promtool"), "tsdb", "create-blocks-from", "openmetrics", file.name, "prometheus"]
        subprocess.run(argv, cwd=folder, check=True, capture_output=True)
    file.unlink()
    return frozenset(series)


def joined(data: Path, *, wait: Callable[[], None], most_rounds: int = 40) -> int:
    """Wait until Prometheus has joined its blocks as far as it will; return how many there are."""
    counts: list[int] = []
    while len(counts) < most_rounds:
        counts.append(sum(1 for each in data.iterdir() if (each / "meta.json").exists()))
        # It looks once a minute.
        if len(counts) > 9 and len(set(counts[-9:])) == 1:
            break
        wait()
    return counts[-1]
