"""Files that the kernel writes when they are read: /proc and /sys."""

from __future__ import annotations

import errno
import os
from pathlib import Path

# The kernel sets as much memory aside as is asked for.
_CHUNK_BYTES = 1 << 13
# It hands out whole lines, a page at a time, and no line is longer: if as much of a page is left, there is no more.
_LINE_BYTES = 1 << 11


class KernelFile:
    """A file of /proc or /sys, kept open from its first reading on and read from its start each time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def read(self) -> bytes:
        """Return the whole content now. Raises OSError."""
        try:
            if self._fd is None:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            content = os.pread(self._fd, _CHUNK_BYTES, 0)
            more = content
            while len(more) > _LINE_BYTES:
                more = os.pread(self._fd, _CHUNK_BYTES, len(content))
                content += more
        except OSError as error:
            # The device is gone; one of the same name may come. Any other error is the kernel's answer.
            if error.errno == errno.ENODEV:
                self.close()
            raise
        return content

    def read_or_nothing(self) -> bytes:
        """Return the content, or nothing where this kernel or this device has none."""
        try:
            return self.read()
        except OSError:
            return b""

    def close(self) -> None:
        """Close the file. Twice is harmless."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
