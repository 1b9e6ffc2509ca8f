"""Results of hyperfine --export-json=FILE; seconds."""

from __future__ import annotations

from msgspec import Struct

from perfloop.collectors.results.result import Result, decode


class _Command(Struct):
    """One command, under the name that --command-name gave it; a single run has no deviation."""

    command: str
    mean: float
    min: float
    max: float
    median: float | None = None
    stddev: float | None = None
    times: list[float] | None = None


class _Document(Struct):
    """The whole file."""

    results: list[_Command]


def is_result(path: str) -> bool:
    """Say whether a file of a folder is one of ours."""
    return path.endswith(".json")


def read(content: bytes, path: str) -> list[Result]:
    """Return the results of one run. Raises ResultInvalid."""
    del path
    return [
        Result(
            benchmark=each.command,
            mean_seconds=each.mean,
            median_seconds=each.median,
            stddev_seconds=each.stddev,
            min_seconds=each.min,
            max_seconds=each.max,
            iterations=len(each.times) if each.times is not None else None,
        )
        for each in decode(content, _Document).results
    ]
