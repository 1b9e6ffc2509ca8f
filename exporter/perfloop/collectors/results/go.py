"""Results of `go test -bench`, as it prints them; nanoseconds.

https://go.googlesource.com/proposal/+/master/design/14313-benchmark-format.md: a name, the iterations, then pairs of a
value and its unit. The same benchmark stands there several times after -count; the statistics are over those.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from perfloop.collectors.results.result import Result, ResultInvalid

_MEGABYTE = 1e6
_LAST_WORDS = {"ok", "PASS", "FAIL", "?", "coverage:"}


class _Run:
    """One line: how often it ran, and its values by unit."""

    def __init__(self, iterations: int, values: dict[str, float]) -> None:
        self.iterations, self.values = iterations, values


def is_result(path: str) -> bool:
    """Say whether a file of a folder is one of ours."""
    return path.endswith(".txt")


def read(content: bytes, path: str) -> list[Result]:
    """Return the results of one output, each with its package before its name. Raises ResultInvalid."""
    del path
    lines = content.decode(errors="replace").splitlines()
    if not _is_complete(lines, ends=content.endswith(b"\n")):
        raise ResultInvalid("the output is not complete: it ends without PASS, FAIL or ok")
    runs: dict[str, list[_Run]] = {}
    for name, run in _runs(lines):
        runs.setdefault(name, []).append(run)
    if not runs:
        raise ResultInvalid("no line begins with Benchmark and has a value in ns/op")
    return [_result(name, found) for name, found in runs.items()]


def _is_complete(lines: Sequence[str], *, ends: bool) -> bool:
    """Say whether this is all; of lines that were picked out of the output, only the end of the last one can tell."""
    if any(line.startswith(("goos:", "pkg:")) for line in lines):
        last = next((line.split()[0] for line in reversed(lines) if line.strip()), "")
        return last in _LAST_WORDS
    return ends


def _runs(lines: Sequence[str]) -> Iterator[tuple[str, _Run]]:
    package = ""
    for line in lines:
        if line.startswith("pkg:"):
            package = line.removeprefix("pkg:").strip() + "."
        words = line.split()
        if len(words) < 4 or not words[0].startswith("Benchmark"):
            continue
        try:
            # In a line of something else, a number is missing.
            values = {unit: float(value) for value, unit in zip(words[2::2], words[3::2], strict=False)}
            run = _Run(int(words[1]), values)
        except ValueError:
            continue
        if math.isfinite(sum(values.values())) and "ns/op" in values:
            yield package + words[0], run


def _result(name: str, runs: Sequence[_Run]) -> Result:
    import statistics  # noqa: PLC0415 - brings fractions and decimals, only if configured

    seconds = [run.values["ns/op"] / 1e9 for run in runs]
    megabytes = _mean(runs, "MB/s")
    return Result(
        benchmark=name,
        mean_seconds=statistics.fmean(seconds),
        median_seconds=statistics.median(seconds),
        stddev_seconds=statistics.stdev(seconds) if len(seconds) > 1 else None,
        min_seconds=min(seconds),
        max_seconds=max(seconds),
        iterations=sum(run.iterations for run in runs),
        bytes_per_second=None if megabytes is None else megabytes * _MEGABYTE,
        allocated_bytes=_mean(runs, "B/op"),
        allocations=_mean(runs, "allocs/op"),
    )


def _mean(runs: Sequence[_Run], unit: str) -> float | None:
    values = [run.values[unit] for run in runs if unit in run.values]
    return sum(values) / len(values) if values else None
