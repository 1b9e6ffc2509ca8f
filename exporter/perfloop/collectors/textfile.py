"""Metrics that others write into *.prom files, as a cron job does: written beside, then renamed."""

from __future__ import annotations

import logging
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import ClassVar

from msgspec import Struct

from perfloop.collectors.others.files import Entry, Version, list_files, read_whole, settled, version_of
from perfloop.collectors.others.merge import Names, merge
from perfloop.errors import PerfloopError
from perfloop.exposition.block import Block
from perfloop.exposition.parse import Foreign, parse
from perfloop.exposition.text import Samples, number
from perfloop.model import Family, MetricType
from perfloop.protocols import Clock

logger = logging.getLogger(__name__)

MAX_FILES = 1000


def _gauge(name: str, text: str, label: str = "file") -> Family:
    return Family(name=f"perfloop_textfile_{name}", type=MetricType.GAUGE, help=text, labels=(label,))


READABLE = _gauge("folder_readable", "Whether the folder could be listed.", "folder")
SUCCESS = _gauge("success", "Whether the samples of the file are shown; the log says why they are not.")
STALE = _gauge("stale", "Whether the file is older than max_age_seconds, so that its samples are left out.")
MODIFIED = _gauge("modified_timestamp_seconds", "When the file was last written, st_mtime of stat.")
SERIES = _gauge("series", "Series of the file that are shown.")
OF_FILES = (SUCCESS, STALE, MODIFIED, SERIES)
LEFT_OUT = Family(
    name="perfloop_textfile_files_left_out",
    type=MetricType.GAUGE,
    help=f"Files that were not looked at, as there are more than {MAX_FILES}.",
)
NODE_ERROR = Family(
    name="node_textfile_scrape_error",
    type=MetricType.GAUGE,
    help="1 if there was an error opening or reading a file, 0 otherwise",
)
NODE_MODIFIED = Family(
    name="node_textfile_mtime_seconds",
    type=MetricType.GAUGE,
    help="Unixtime mtime of textfiles successfully read.",
    labels=("file",),
)


class _File(Struct):
    """What one file said when it was last read; without a version it is read again."""

    version: Version | None = None
    families: tuple[Foreign, ...] = ()
    series: int = 0
    problem: str | None = None
    logged: str | None = None


class TextfileCollector:
    """Reads a file when it has changed; a broken one costs only itself, and says so.

    Files are taken in the order of their folders and names. Where two do not agree, the later one is refused.
    """

    name: ClassVar[str] = "textfile"
    may_hang: ClassVar[bool] = True
    families: ClassVar[tuple[Family, ...]] = (READABLE, *OF_FILES, LEFT_OUT)
    component: str = ""

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        max_age_seconds: float | None = None,
        max_file_bytes: int = 8_388_608,
        max_series: int = 50_000,
        names: Names | None = None,
        compat: bool = False,
        clock: Clock = time.time,
    ) -> None:
        self._folders = list(dict.fromkeys(str(folder) for folder in folders))
        self._max_age_seconds = max_age_seconds
        self._max_file_bytes, self._max_series = max_file_bytes, max_series
        self._names, self._clock = names or Names(), clock
        self._files: dict[str, _File] = {}
        self._shown: dict[str, tuple[Foreign, ...]] = {}
        self._merged = merge(self._shown.items())
        self._readable, self._left_out = Block([READABLE]), Block([LEFT_OUT])
        self._block = Block(OF_FILES)
        self._compat = (Block([NODE_ERROR]), Block([NODE_MODIFIED])) if compat else None

    def collect(self) -> Samples:
        """Look at every file, and read those that have changed."""
        listings = [list_files(folder, suffix=".prom") for folder in self._folders]
        entries = {entry.label: entry for listing in listings for entry in listing or ()}
        looked_at = list(entries.values())[:MAX_FILES]
        self._files = {entry.path: self._current(entry) for entry in looked_at}
        stale = {entry.path for entry in looked_at if self._is_stale(entry)}
        self._merge(path for path in self._files if path not in stale)
        folders, rows = [(folder,) for folder in self._folders], [self._row(entry, stale) for entry in looked_at]
        return chain(
            self._merged.samples,
            self._readable.render(folders, [(number(int(listing is not None)),) for listing in listings]),
            self._block.render([(entry.label,) for entry in looked_at], rows),
            self._left_out.render_row([number(len(entries) - len(looked_at))]),
            self._as_node_exporter(looked_at, rows, complete=None not in listings),
        )

    def down(self) -> Samples:
        """Return nothing: what no folder says is not known."""
        return ()

    def close(self) -> None:
        """Give the names of the families back, unless another collector has them by now."""
        if self._names.written is self._merged.names:
            self._names.written = frozenset()

    def _as_node_exporter(self, entries: list[Entry], rows: list[tuple[bytes, ...]], *, complete: bool) -> Samples:
        if self._compat is None:
            return ()
        error, modified = self._compat
        shown = [((entry.label,), row[2:3]) for entry, row in zip(entries, rows, strict=True) if row[0] == b"1"]
        failed = not complete or len(shown) < len(entries)
        return chain(
            error.render_row([number(int(failed))]), modified.render([e for e, _ in shown], [row for _, row in shown])
        )

    def _current(self, entry: Entry) -> _File:
        known = self._files.get(entry.path, _File())
        if entry.status is None or not stat.S_ISREG(entry.status.st_mode):
            return _File(problem="is no file that can be read", logged=known.logged)
        if known.version == version_of(entry.status):
            return known
        file = _read(entry, max_bytes=self._max_file_bytes, max_series=self._max_series)
        file.logged = known.logged
        return file

    def _is_stale(self, entry: Entry) -> bool:
        if entry.status is None or self._max_age_seconds is None:
            return False
        return self._clock() - entry.status.st_mtime > self._max_age_seconds

    def _merge(self, paths: Iterable[str]) -> None:
        """Put the files together, unless nothing changed since the last time."""
        shown = dict(self._fitting(paths))
        if list(shown) != list(self._shown) or any(shown[path] is not old for path, old in self._shown.items()):
            self._shown, self._merged = shown, merge(shown.items(), prefixes=self._names.prefixes)
        self._names.written = self._merged.names

    def _fitting(self, paths: Iterable[str]) -> Iterator[tuple[str, tuple[Foreign, ...]]]:
        room = self._max_series
        for path in paths:
            file = self._files[path]
            if file.problem is None and file.series <= room:
                room -= file.series
                yield path, file.families

    def _row(self, entry: Entry, stale: set[str]) -> tuple[bytes, ...]:
        file, is_stale = self._files[entry.path], entry.path in stale
        problem = f"is older than {self._max_age_seconds} s" if is_stale else self._problem(entry.path)
        if problem != file.logged:
            if problem is None:
                logger.info("file is shown again", extra={"file": entry.label})
            else:
                logger.warning("file is not shown", extra={"file": entry.label, "reason": problem})
            file.logged = problem
        modified = entry.status.st_mtime if entry.status else None
        shown = number(file.series) if problem is None else b"0"
        return number(int(problem is None)), number(int(is_stale)), number(modified), shown

    def _problem(self, path: str) -> str | None:
        """Return why the samples of a file that is not stale are not shown."""
        problem = self._files[path].problem or self._merged.refused.get(path)
        if problem is None and path not in self._shown:
            return f"does not fit into the {self._max_series} series of all files"
        return problem


def _read(entry: Entry, *, max_bytes: int, max_series: int) -> _File:
    version = None
    text = f"Read from {entry.label.rpartition('/')[2]}."
    try:
        content, read = read_whole(entry.path, max_bytes=max_bytes)
        version = settled(read)
        families = parse(content, max_series=max_series, default_help=text)
    except OSError as error:
        return _File(problem=error.strerror or type(error).__name__)
    except PerfloopError as error:
        return _File(version=version, problem=str(error))
    return _File(version=version, families=families, series=sum(each.lines.count(b"\n") for each in families))
