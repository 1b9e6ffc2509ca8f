"""One log file as it is read: whole lines from where reading stopped, whatever its name is by now."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import adler32, crc32

from msgspec import Struct
from msgspec.structs import replace

from perfloop.errors import Unavailable

if TYPE_CHECKING:
    from gzip import GzipFile

# A line that does not end within so many bytes is skipped; they are also what is read and counted at a time, as the
# scrape's thread cannot run while a regular expression does.
BLOCK_BYTES = 1 << 18
_HEAD_BYTES = 256
# Two files may begin with as little as an address; with so much they have a time too.
_MIN_HEAD_BYTES = 32


class Position(Struct, frozen=True, kw_only=True):
    """How far a file was read; `head` is a hash of its first bytes, by which it is known again."""

    device: int
    inode: int
    offset: int = 0
    head_bytes: int = 0
    head: str = ""
    skipping: bool = False


class LogFile:
    """An open file with its position, which stands behind the last whole line that was handed out.

    `finished` files get no more lines: archives. `exhausted` says whether the last reading came to the end.
    """

    def __init__(self, path: Path, position: Position | None = None) -> None:
        self._fd = _open(path)
        status = os.fstat(self._fd)
        self._archive: GzipFile | None = None
        if path.suffix == ".gz":
            import gzip  # noqa: PLC0415 - only where a rotated log was compressed before it was read to its end

            self._archive = gzip.open(os.fdopen(os.dup(self._fd), "rb"))  # noqa: SIM115 - as long as the file
        self.finished = self._archive is not None
        self.identity = (status.st_dev, status.st_ino)
        self.position = position or Position(device=status.st_dev, inode=status.st_ino)
        self.unended_lines, self.exhausted = 0, False

    @property
    def modified_at(self) -> float:
        """When something was last written to it."""
        return os.fstat(self._fd).st_mtime

    @property
    def lag_bytes(self) -> int:
        """How much is not read yet; an archive does not know its length, and is read at once."""
        return 0 if self._archive else max(0, os.fstat(self._fd).st_size - self.position.offset)

    def is_at(self, position: Position) -> bool:
        """Say whether this is the file that was read up to a position: the same one, or a copy of it."""
        if self.identity == (position.device, position.inode):
            fits = os.fstat(self._fd).st_size >= position.offset
        else:
            # A copy may be shorter than what was read: it was made before the last lines came.
            fits = position.head_bytes >= _MIN_HEAD_BYTES
        return fits and fingerprint(self._read(position.head_bytes, 0)) == position.head

    def head(self) -> bytes:
        """Return the file's beginning, which tells it from others: log lines have a time."""
        return self._read(_HEAD_BYTES, 0)

    def remember_head(self) -> None:
        """Take more of the file's beginning into its position, while there is little of it."""
        if self.position.head_bytes < _HEAD_BYTES:
            head = self.head()
            self.position = replace(self.position, head_bytes=len(head), head=fingerprint(head))

    def skip_to_end(self) -> None:
        """Go behind the last whole line that is there now."""
        end = os.fstat(self._fd).st_size
        start = max(0, end - BLOCK_BYTES)
        tail = self._read(end - start, start)
        lines_end = tail.rfind(b"\n") + 1
        within = not lines_end and start > 0
        self.position = replace(self.position, offset=end if within else start + lines_end, skipping=within)

    def start_again(self) -> None:
        """Read it from its beginning: it was truncated."""
        self.position = Position(device=self.position.device, inode=self.position.inode)

    def blocks(self, *, most_bytes: int) -> Iterator[bytes]:
        """Return whole lines, a block at a time, until the end or so many bytes."""
        until, self.exhausted = self.position.offset + most_bytes, False
        while self.position.offset < until:
            data = self._read(BLOCK_BYTES, self.position.offset)
            end = data.rfind(b"\n") + 1
            if not end and len(data) < BLOCK_BYTES:
                self.exhausted = True
                return
            offset = self.position.offset + (end or len(data))
            block, skipping = data[:end], not end
            if self.position.skipping and end:
                # The rest of a line that was too long; it is counted here, where it ends.
                block = block[block.index(b"\n") + 1 :]
                self.unended_lines += 1
            self.position = replace(self.position, offset=offset, skipping=skipping)
            if block:
                yield block

    def close(self) -> None:
        """Close the file. Twice is harmless."""
        if self._archive is not None:
            self._archive.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read(self, size: int, offset: int) -> bytes:
        if self._archive is None:
            return os.pread(self._fd, size, offset)
        try:
            self._archive.seek(offset)
            return self._archive.read(size)
        except (EOFError, OSError):
            # Cut off, or still being written.
            return b""


def matching(path: Path, position: Position) -> LogFile | None:
    """Open a file if it is the one that was read up to a position."""
    try:
        file = LogFile(path, position)
    except (OSError, Unavailable):
        return None
    if file.is_at(position):
        device, inode = file.identity
        file.position = replace(position, device=device, inode=inode)
        return file
    file.close()
    return None


def head_of(path: Path) -> bytes:
    """Return the beginning of a file, or nothing if it cannot be read."""
    try:
        with closing(LogFile(path)) as file:
            return file.head()
    except (OSError, Unavailable):
        return b""


def fingerprint(head: bytes) -> str:
    """Return a hash of a file's beginning: what stands in a log belongs to its users, and is not stored."""
    # Nobody gains from a collision; hashlib would load OpenSSL, which is 3.6 MB.
    return f"{crc32(head):08x}{adler32(head):08x}"


def _open(path: Path) -> int:
    # A pipe would wait for its writer.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise Unavailable(f"{path} is no file")
