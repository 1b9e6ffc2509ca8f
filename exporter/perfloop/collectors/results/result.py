"""One result of a benchmark, in base units, whatever the tool."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Struct

from perfloop.errors import PerfloopError

T = TypeVar("T")


class ResultInvalid(PerfloopError):
    """A file is not what its tool writes, or not yet."""


class Result(Struct, frozen=True, kw_only=True):
    """What a file says of one benchmark; what it does not say is None. Times are of one iteration."""

    benchmark: str
    mean_seconds: float
    median_seconds: float | None = None
    stddev_seconds: float | None = None
    min_seconds: float | None = None
    max_seconds: float | None = None
    iterations: int | None = None
    operations_per_second: float | None = None
    bytes_per_second: float | None = None
    allocated_bytes: float | None = None
    allocations: float | None = None
    #: When it was measured; the file's own time where the tool does not say.
    measured_at: float | None = None


def decode(content: bytes, shape: type[T]) -> T:
    """Read JSON of a shape; keys that the shape does not name are skipped. Raises ResultInvalid."""
    try:
        return msgspec.json.decode(content, type=shape)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ResultInvalid(str(error)) from error
