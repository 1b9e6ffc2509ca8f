"""Follows a log by its path: through renames, truncation, copies, archives and restarts, each line once."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from perfloop.collectors.logs.file import LogFile, Position, fingerprint, head_of, matching
from perfloop.errors import Unavailable
from perfloop.protocols import Clock

# Servers write to a renamed file until they have opened the new one; Apache's old children for as long as they live.
_DRAIN_SECONDS = 300
_MAX_SIBLINGS = 200
# The kernel's time of files lags behind the clock, by a tick.
_CLOCK_SLACK_SECONDS = 1


class Followed(Struct, frozen=True, kw_only=True):
    """Where a log stands: the files that may still have lines, oldest first, and the hashes of rotated ones."""

    positions: tuple[Position, ...] = ()
    known: tuple[str, ...] = ()
    looked_at: float = 0.0

    def has_moved_from(self, other: Followed) -> bool:
        """Say whether there is more to store than that somebody looked again."""
        return (self.positions, self.known) != (other.positions, other.known)


class Events(Struct, kw_only=True):
    """What happened to a log: rotations, those after which the old file's rest was not found, lines without an end."""

    rotations: int = 0
    lost: int = 0
    unended_lines: int = 0


class Tail:
    """The files of one log; `blocks` reads what is new in all of them.

    A renamed file is read on until nothing was written to it for five minutes. When a file was truncated, the copy that
    was made of it is sought by its first bytes and read on from there, also if it is compressed by now; so is, after a
    restart, a file that was renamed meanwhile.
    """

    def __init__(self, path: Path, *, from_start: bool, clock: Clock) -> None:
        self._path, self._from_start, self._clock = path, from_start, clock
        self._files: list[LogFile] = []
        self._known: set[str] = set()
        self._looked_at = self._folder_changed_at = 0.0
        self._is_rotated = _rotated_name(path.name)
        self._events = Events()

    @property
    def followed(self) -> Followed:
        """What `resume` needs to go on from here."""
        positions = tuple(file.position for file in self._files)
        return Followed(positions=positions, known=tuple(sorted(self._known)), looked_at=self._looked_at)

    @property
    def lag_bytes(self) -> int:
        """Bytes that are there and not read."""
        return sum(file.lag_bytes for file in self._files)

    def begin(self) -> None:
        """Start on a log that was never read: at its end, or at its beginning."""
        self._known, self._looked_at = self._fingerprints(), self._clock()
        if not self._from_start and self._path.exists():
            file = LogFile(self._path)
            file.skip_to_end()
            file.remember_head()
            self._files.append(file)

    def resume(self, followed: Followed) -> None:
        """Go on where another process stopped."""
        self._known, self._looked_at = set(followed.known), followed.looked_at
        for position in followed.positions:
            file = self._find(position)
            if file is not None:
                self._files.append(file)
            elif position is followed.positions[-1] and position.head_bytes:
                self._events.lost += 1

    def follow(self) -> None:
        """Open what is new at the path. Raises OSError if there is nothing to read at all."""
        for file in list(self._files):
            self._check_truncated(file)
        folder_changed_at = _modified_at(self._path.parent)
        try:
            if _identity(self._path) not in self._identities():
                self._open_next()
        except FileNotFoundError:
            # Between the renaming and the new file there is none; the old one is still written to.
            if not self._files:
                raise
        now = self._clock()
        if folder_changed_at != self._folder_changed_at or now - folder_changed_at < _CLOCK_SLACK_SECONDS:
            self._open_missed()
        self._folder_changed_at, self._looked_at = folder_changed_at, now

    def blocks(self, *, most_bytes: int) -> Iterator[bytes]:
        """Return whole lines of all files, the oldest first."""
        for file in self._files:
            # First, as whoever asks may stop in the middle.
            file.remember_head()
            start = file.position.offset
            yield from file.blocks(most_bytes=most_bytes)
            most_bytes -= file.position.offset - start
        self._drop_drained()

    def take_events(self) -> Events:
        """Return what happened since the last call, once."""
        events, self._events = self._events, Events()
        for file in self._files:
            events.unended_lines += file.unended_lines
            file.unended_lines = 0
        return events

    def close(self) -> None:
        """Close all files. Twice is harmless."""
        for file in self._files:
            file.close()
        self._files.clear()

    def _check_truncated(self, file: LogFile) -> None:
        """Start again at the beginning of a truncated file, and before that read what a copy still has."""
        if file.finished or file.is_at(file.position):
            return
        read_to = file.position
        file.start_again()
        if file is not self._files[-1]:
            file.finished = True
            return
        copy = self._find(read_to)
        if copy is not None:
            self._files.insert(len(self._files) - 1, copy)
        self._events.lost += copy is None
        self._events.rotations += 1

    def _open_next(self) -> None:
        """Open the new file at the path."""
        newest = LogFile(self._path)
        self._events.rotations += bool(self._files)
        self._files.append(newest)

    def _open_missed(self) -> None:
        """Open rotated files that came and got their lines all since the last look; nobody saw them at the path."""
        at = max(0, len(self._files) - 1)
        for path in sorted(self._siblings(), key=_modified_at):
            # Older lines are old files that were unpacked or copied by somebody.
            if path.suffix == ".gz" or _modified_at(path) < self._looked_at - _CLOCK_SLACK_SECONDS:
                continue
            file = _opened(path)
            if file is None:
                continue
            if self._is_new(file):
                self._files.insert(at, file)
                at += 1
            else:
                file.close()
        self._known = self._fingerprints()

    def _is_new(self, file: LogFile) -> bool:
        """Say whether a rotated file is none that was read, none that is open, and no copy of one."""
        head = file.head()
        if not head or file.identity in self._identities() or fingerprint(head) in self._known:
            return False
        return not any(other.head().startswith(head) for other in self._files)

    def _find(self, position: Position) -> LogFile | None:
        """Return the file that was read up to a position, or a copy of it, whatever its name is now."""
        candidates = [self._path, *self._siblings()]
        for path in sorted(candidates, key=lambda path: (_identity(path) != _owner(position), path.suffix == ".gz")):
            file = matching(path, position) if _identity(path) not in self._identities() else None
            if file is not None:
                return file
        return None

    def _drop_drained(self) -> None:
        """Let go of files that will get no more lines; the newest one stays."""
        for file in self._files[:-1]:
            idle = self._clock() - file.modified_at > _DRAIN_SECONDS
            if file.exhausted and (file.finished or idle):
                self._events.unended_lines += file.unended_lines + bool(file.lag_bytes)
                self._known.add(fingerprint(file.head()))
                self._files.remove(file)
                file.close()

    def _identities(self) -> set[tuple[int, int]]:
        return {file.identity for file in self._files}

    def _fingerprints(self) -> set[str]:
        heads = [head_of(path) for path in self._siblings() if path.suffix != ".gz"]
        return {fingerprint(head) for head in heads if head}

    def _siblings(self) -> list[Path]:
        """Return the rotated files beside the log, those first that were written to last."""
        try:
            names = [name for name in os.listdir(self._path.parent) if self._is_rotated(name)]  # noqa: PTH208
        except OSError:
            return []
        paths = [self._path.with_name(name) for name in names]
        return sorted(paths, key=_modified_at, reverse=True)[:_MAX_SIBLINGS]


def _rotated_name(name: str) -> Callable[[str], object]:
    """Return what knows the names that logrotate gives: access.log.1, access.log-20260131.gz, access-20260131.log."""
    stem, dot, extension = name.rpartition(".")
    mark = r"[.-](?:[0-9][0-9T_-]*|old)"
    names = [re.escape(name) + mark]
    if stem:
        names.append(re.escape(stem) + mark + re.escape(dot + extension))
    return re.compile(rf"(?:{'|'.join(names)})(?:\.gz)?").fullmatch


def _owner(position: Position) -> tuple[int, int]:
    return (position.device, position.inode)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino)


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _opened(path: Path) -> LogFile | None:
    try:
        return LogFile(path)
    except (OSError, Unavailable):
        return None
