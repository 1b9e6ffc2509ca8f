"""What every benchmark hands over: measures of one form, the versions behind them, and how quiet the machine was."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

COLUMNS = ("measure", "unit", "ours", "theirs", "ours / theirs", "reach", "met")
_QUIET_RATIO = 0.05
_WATCHED_SECONDS = 1.0


class Measure(Struct, frozen=True, kw_only=True):
    """One row. Less is better; `reach` is the most that `ratio` may be, null where nothing is promised.

    Where there is nothing to compare with, it is the most that `ours` may be.
    """

    measure: str
    unit: str
    ours: float | None
    theirs: float | None
    ratio: float | None
    reach: float | None
    met: bool


def compared(measure: str, unit: str, *, ours: float, theirs: float, reach: float | None = None) -> Measure:
    """Return ours beside the peer's; a peer's zero has no ratio, and meets nothing."""
    return _measure(measure, unit, ours, theirs, ours / theirs if theirs else None, reach)


def alone(measure: str, unit: str, *, ours: float) -> Measure:
    """Return ours where there is no peer."""
    return _measure(measure, unit, ours, None, None, None)


def growth(measure: str, unit: str, *, small: float, large: float, reach: float | None = None) -> Measure:
    """Return our own cost at the larger size, its ratio being to the smaller size: there is no peer in it."""
    return _measure(measure, unit, large, None, large / small if small else None, reach)


def bounded(measure: str, unit: str, *, ours: float, most: float) -> Measure:
    """Return ours where there is no peer, but a value that it must not exceed, which stands as `reach`."""
    return Measure(measure=measure, unit=unit, ours=ours, theirs=None, ratio=None, reach=most, met=ours <= most)


def _measure(
    measure: str, unit: str, ours: float, theirs: float | None, ratio: float | None, reach: float | None
) -> Measure:
    met = reach is None or (ratio is not None and ratio <= reach)
    return Measure(measure=measure, unit=unit, ours=ours, theirs=theirs, ratio=ratio, reach=reach, met=met)


class Result(Struct, frozen=True, kw_only=True):
    """What one benchmark measured, with what a reader needs to judge it."""

    measures: Sequence[Measure]
    versions: Mapping[str, str]
    notes: Sequence[str] = ()


class Report(Struct, frozen=True, kw_only=True):
    """A result with its name, and the share of all cores that others used just before and just after."""

    name: str
    result: Result
    others: tuple[float, float]

    def show(self, console: Console) -> None:
        """Print the table and what stands below it."""
        table = Table(*COLUMNS, title=f"bench-{self.name}", title_justify="left", box=box.SIMPLE)
        table.columns[0].no_wrap = True
        for index in (2, 3, 4, 5):
            table.columns[index].justify = "right"
        for measure in self.result.measures:
            table.add_row(*map(Text, _cells(measure)))
        console.print(table)
        for line in self._below():
            console.print(Text(line), soft_wrap=True)

    def write(self, folder: Path) -> None:
        """Write NAME.json for programs and NAME.md for docs/performance.md."""
        folder.mkdir(parents=True, exist_ok=True)
        encoded = msgspec.json.format(msgspec.json.encode(self.result.measures), indent=2)
        (folder / f"{self.name}.json").write_bytes(encoded + b"\n")
        (folder / f"{self.name}.md").write_text(self.markdown(), encoding="utf-8")

    def markdown(self) -> str:
        """Return the table and what stands below it."""
        rows = [COLUMNS, ("---",) * len(COLUMNS), *map(_cells, self.result.measures)]
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        return "\n".join([*lines, "", *(f"* {line}" for line in self._below()), ""])

    def _below(self) -> Iterator[str]:
        yield from self.result.notes
        yield f"Machine: {machine()}."
        yield "Versions: " + ", ".join(f"{name} {version}" for name, version in self.result.versions.items()) + "."
        before, after = self.others
        quiet = "quiet" if max(self.others) < _QUIET_RATIO else "not quiet"
        yield (
            f"The machine was {quiet}: something else used {before:.0%} of its cores just before and {after:.0%} after."
        )


def machine() -> str:
    """Describe the machine without naming it."""
    memory = re.search(r"MemTotal: +(\d+)", Path("/proc/meminfo").read_text(encoding="ascii"))
    gibibytes = int(memory[1]) / 2**20 if memory else 0
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, {gibibytes:.0f} GiB, Linux {platform.release()}, CPython {platform.python_version()}"


@contextmanager
def watched() -> Iterator[list[float]]:
    """Collect the share of all cores that others use, before the block and after it."""
    shares = [_busy_ratio()]
    yield shares
    shares.append(_busy_ratio())


def update_page(page: str, sections: Mapping[str, str]) -> str:
    """Return the page with each section between its two markers. Raises ValueError where they are missing."""
    for name, section in sections.items():
        begin, end = f"<!-- bench-{name} -->\n", f"<!-- end of bench-{name} -->"
        head, found_begin, rest = page.partition(begin)
        _, found_end, tail = rest.partition(end)
        if not (found_begin and found_end):
            raise ValueError(f"the page has no markers for bench-{name}")
        page = head + begin + section + end + tail
    return page


def _busy_ratio() -> float:
    def jiffies() -> tuple[int, int]:
        with Path("/proc/stat").open(encoding="ascii") as stat:
            fields = [int(field) for field in stat.readline().split()[1:9]]
        return sum(fields), fields[3] + fields[4]  # idle and waiting for disks

    total, idle = jiffies()
    time.sleep(_WATCHED_SECONDS)
    later_total, later_idle = jiffies()
    return 1 - (later_idle - idle) / max(1, later_total - total)


def _cells(measure: Measure) -> tuple[str, ...]:
    met = "" if measure.reach is None else "yes" if measure.met else "NO"
    numbers = (measure.ours, measure.theirs, measure.ratio, measure.reach)
    return (measure.measure, measure.unit, *map(_number, numbers), met)


def _number(value: float | None) -> str:
    """Show three digits that mean something; nothing for what there is not."""
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
