"""Readers of the files that benchmark tools write; each says which files are its own, and what stands in one."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from perfloop.collectors.results import criterion, go, hyperfine, pytest_benchmark
from perfloop.collectors.results.result import Result


class Reader(Struct, frozen=True):
    """How to find and read the files of one tool; reading raises ResultInvalid and OSError."""

    is_result: Callable[[str], bool]
    read: Callable[[bytes, str], list[Result]]


READERS = {
    "criterion": Reader(criterion.is_result, criterion.read),
    "pytest-benchmark": Reader(pytest_benchmark.is_result, pytest_benchmark.read),
    "hyperfine": Reader(hyperfine.is_result, hyperfine.read),
    "go": Reader(go.is_result, go.read),
}
