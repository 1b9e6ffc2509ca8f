"""Results of Criterion: target/criterion/BENCHMARK/new/estimates.json, and benchmark.json beside it; nanoseconds."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from perfloop.collectors.results.result import Result, ResultInvalid, decode

_MAX_BYTES = 1 << 20


class _Estimate(Struct):
    """One statistic."""

    point_estimate: float


class _Estimates(Struct):
    """estimates.json."""

    mean: _Estimate
    median: _Estimate
    std_dev: _Estimate


class _Benchmark(Struct):
    """benchmark.json. `throughput` says how much one iteration works off: `{"Bytes": 1024}`."""

    full_id: str
    throughput: dict[str, object] | None = None


def is_result(path: str) -> bool:
    """Say whether a file of a folder is one of ours; `base` holds the results that were compared with."""
    return path.endswith("/new/estimates.json")


def read(content: bytes, path: str) -> list[Result]:
    """Return the one result of a file. Raises ResultInvalid and OSError."""
    estimates = decode(content, _Estimates)
    with Path(path).with_name("benchmark.json").open("rb") as file:
        benchmark = decode(file.read(_MAX_BYTES), _Benchmark)
    mean_seconds = estimates.mean.point_estimate / 1e9
    if mean_seconds <= 0:
        raise ResultInvalid("the mean is not above 0")
    amounts = benchmark.throughput or {}
    return [
        Result(
            benchmark=benchmark.full_id,
            mean_seconds=mean_seconds,
            median_seconds=estimates.median.point_estimate / 1e9,
            stddev_seconds=estimates.std_dev.point_estimate / 1e9,
            operations_per_second=_rate(amounts.get("Elements"), mean_seconds),
            bytes_per_second=_rate(amounts.get("Bytes", amounts.get("BytesDecimal")), mean_seconds),
        )
    ]


def _rate(amount: object, seconds: float) -> float | None:
    return amount / seconds if isinstance(amount, int | float) else None
