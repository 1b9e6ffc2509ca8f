"""The latest results of benchmarks, from the files that their tools write."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import ClassVar

from perfloop.collectors.results.latest import Latest, Source
from perfloop.collectors.results.result import Result
from perfloop.exposition.block import Block
from perfloop.exposition.text import Samples, number
from perfloop.model import Family, MetricType
from perfloop.protocols import Clock


def _gauge(name: str, text: str, *labels: str) -> Family:
    labels = ("component", "tool", *labels)
    return Family(name=f"perfloop_benchmark_{name}", type=MetricType.GAUGE, help=text, labels=labels)


def _result(name: str, text: str) -> Family:
    return _gauge(name, text, "benchmark")


RESULTS = (
    _result("mean_seconds", "Mean time of one iteration, from the latest result."),
    _result("median_seconds", "Median time of one iteration; none where the tool does not say it."),
    _result("stddev_seconds", "Standard deviation of the time of one iteration."),
    _result("min_seconds", "Shortest time of one iteration."),
    _result("max_seconds", "Longest time of one iteration."),
    _result("iterations", "Iterations that were measured for the result."),
    _result("throughput_operations", "Operations per second: ops of pytest-benchmark, elements of Criterion."),
    _result("throughput_bytes", "Bytes per second: MB/s of Go, bytes of Criterion."),
    _result("allocated_bytes", "Memory allocated by one iteration, B/op of go test -benchmem."),
    _result("allocations", "Allocations of one iteration, allocs/op of go test -benchmem."),
    _result(
        "result_timestamp_seconds", "When the result was measured: datetime of pytest-benchmark, else the file's mtime."
    ),
)
SOURCES = (
    _gauge("success", "Whether there are files, and all of them could be read; the log says which could not."),
    _gauge("files", "Files that were found; new ones are looked for every 10 seconds."),
    _gauge("failed_files", "Files that cannot be read or are no results; their last good results are kept."),
    _gauge("left_out", "Benchmarks that are not shown, as there are more than max_benchmarks."),
)


class BenchmarksCollector:
    """Shows the newest result of each benchmark; files are read again when they have changed."""

    name: ClassVar[str] = "benchmarks"
    may_hang: ClassVar[bool] = True
    families: ClassVar[tuple[Family, ...]] = (*RESULTS, *SOURCES)
    component: str = ""

    def __init__(self, sources: Sequence[Source], *, clock: Clock = time.monotonic) -> None:
        self._latest, self._clock = [Latest(source) for source in sources], clock
        self._results, self._states = Block(RESULTS), Block(SOURCES)

    def collect(self) -> Samples:
        """Look at all files."""
        now, states = self._clock(), list[tuple[bytes, ...]]()
        shown: list[tuple[Source, Result]] = []
        for latest in self._latest:
            latest.refresh(now=now)
            source, results = latest.source, latest.results
            shown += [(source, result) for result in results[: source.max_benchmarks]]
            left_out = max(0, len(results) - source.max_benchmarks)
            good = latest.files > 0 and latest.failed_files == 0
            states.append(tuple(map(number, (int(good), latest.files, latest.failed_files, left_out))))
        labels = [(source.component, source.tool, result.benchmark) for source, result in shown]
        return chain(
            self._results.render(labels, [tuple(map(number, _in_order(result))) for _, result in shown]),
            self._states.render([(each.source.component, each.source.tool) for each in self._latest], states),
        )

    def down(self) -> Samples:
        """Return nothing: what the files say is not known."""
        return ()

    def close(self) -> None:
        """Do nothing: no file stays open."""


_in_order = attrgetter(
    "mean_seconds",
    "median_seconds",
    "stddev_seconds",
    "min_seconds",
    "max_seconds",
    "iterations",
    "operations_per_second",
    "bytes_per_second",
    "allocated_bytes",
    "allocations",
    "measured_at",
)
