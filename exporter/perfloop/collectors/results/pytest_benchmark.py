"""Results of pytest-benchmark: --benchmark-json=FILE, or what --benchmark-save leaves in .benchmarks; seconds."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct

from perfloop.collectors.results.result import Result, decode


class _Stats(Struct):
    """What was measured; a round is one measurement of some iterations."""

    mean: float
    median: float
    stddev: float
    min: float
    max: float
    rounds: int
    iterations: int
    ops: float | None = None


class _Benchmark(Struct):
    """One test."""

    fullname: str
    stats: _Stats


class _Document(Struct):
    """The whole file."""

    benchmarks: list[_Benchmark]
    datetime: datetime


def is_result(path: str) -> bool:
    """Say whether a file of a folder is one of ours."""
    return path.endswith(".json")


def read(content: bytes, path: str) -> list[Result]:
    """Return the results of one run. Raises ResultInvalid."""
    del path
    document = decode(content, _Document)
    # Versions before 4 wrote UTC without saying so.
    when = document.datetime if document.datetime.tzinfo else document.datetime.replace(tzinfo=UTC)
    return [
        Result(
            benchmark=each.fullname,
            mean_seconds=each.stats.mean,
            median_seconds=each.stats.median,
            stddev_seconds=each.stats.stddev,
            min_seconds=each.stats.min,
            max_seconds=each.stats.max,
            iterations=each.stats.rounds * each.stats.iterations,
            operations_per_second=each.stats.ops,
            measured_at=when.timestamp(),
        )
        for each in document.benchmarks
    ]
