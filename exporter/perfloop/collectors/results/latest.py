"""The newest result of each benchmark, from all files of one source."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterator
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from perfloop.collectors.others.files import Version, read_whole, settled, version_of
from perfloop.collectors.results import READERS
from perfloop.collectors.results.result import Result
from perfloop.errors import PerfloopError

logger = logging.getLogger(__name__)

MAX_FILES = 1000
SEARCH_SECONDS = 10.0
_MAX_ENTRIES = 100_000
_MAX_FILE_BYTES = 64 << 20
_MAX_NAME_CHARACTERS = 200


class Source(Struct, frozen=True, kw_only=True):
    """Result files of one component and one tool: a file, a folder or a pattern."""

    component: str
    tool: str
    path: str
    max_benchmarks: int = 200


class _File(Struct, frozen=True, kw_only=True):
    """What one file said when it was last read with success, and what is wrong with it now."""

    version: Version | None = None
    results: tuple[Result, ...] = ()
    problem: str | None = None


class Latest:
    """Follows the files of a source; `results` holds the newest one of each benchmark, by name.

    A folder is searched now and then; the files that are known are looked at each time.
    """

    def __init__(self, source: Source) -> None:
        self.source, self._reader = source, READERS[source.tool]
        self._searched_at = float("-inf")
        self._paths: list[str] = []
        self._files: dict[str, _File] = {}
        self.results: list[Result] = []

    @property
    def files(self) -> int:
        """Return how many files there are."""
        return len(self._files)

    @property
    def failed_files(self) -> int:
        """Return how many of them cannot be read now."""
        return sum(file.problem is not None for file in self._files.values())

    def refresh(self, *, now: float) -> None:
        """Read what has changed."""
        if now - self._searched_at >= SEARCH_SECONDS:
            self._paths, self._searched_at = self._search(), now
        files = {path: file for path in self._paths if (file := self._current(path)) is not None}
        if files != self._files:
            self._files, self.results = files, _newest(files)

    def _search(self) -> list[str]:
        path = self.source.path
        found: Iterator[str]
        if os.path.isdir(path):  # noqa: PTH112 - strings all the way: a folder may have a hundred thousand entries
            found = filter(self._reader.is_result, islice(_walk(path), _MAX_ENTRIES))
        else:
            # A name that is there means itself, even if it has brackets.
            pattern = glob.escape(path) if os.path.lexists(path) else path
            found = glob.iglob(pattern, recursive=True)  # noqa: PTH207 - as above
        return sorted(islice(found, _MAX_ENTRIES), key=_age_key)[-MAX_FILES:]

    def _current(self, path: str) -> _File | None:
        known = self._files.get(path, _File())
        try:
            if known.version == version_of(os.stat(path)):  # noqa: PTH116 - as above
                return known
            content, version = read_whole(path, max_bytes=_MAX_FILE_BYTES)
        except FileNotFoundError:
            return None
        except (OSError, PerfloopError) as error:
            return self._failed(path, known, version=None, problem=str(error))
        try:
            results = self._reader.read(content, path)
        # No number of a benchmark is too large to calculate with; those of a hostile file may be.
        except (OSError, PerfloopError, ArithmeticError) as error:
            return self._failed(path, known, version=settled(version), problem=str(error))
        return _File(version=settled(version), results=tuple(_complete(each, version) for each in results))

    def _failed(self, path: str, known: _File, *, version: Version | None, problem: str) -> _File:
        if problem != known.problem:
            logger.warning("result file cannot be read", extra={"file": path, "reason": problem})
        return replace(known, version=version, problem=problem)


def _walk(folder: str) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        yield from (f"{place}/{name}" for name in names)


def _age_key(path: str) -> tuple[float, str]:
    try:
        return os.stat(path).st_mtime, path  # noqa: PTH116 - as above
    except OSError:
        return 0.0, path


def _complete(result: Result, version: Version) -> Result:
    """Return a result with a time, and with a name that a label can have."""
    name, measured_at = result.benchmark, result.measured_at
    if len(name) > _MAX_NAME_CHARACTERS:
        name = name[: _MAX_NAME_CHARACTERS - 1] + "…"
    return replace(result, benchmark=name, measured_at=version[0] / 1e9 if measured_at is None else measured_at)


def _newest(files: dict[str, _File]) -> list[Result]:
    found: dict[str, Result] = {}
    for result in (each for path in sorted(files) for each in files[path].results):
        known = found.get(result.benchmark)
        if known is None or (known.measured_at or 0) <= (result.measured_at or 0):
            found[result.benchmark] = result
    return [found[name] for name in sorted(found)]
