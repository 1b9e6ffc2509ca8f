"""Files that others write while we read them: bounded, never waited for, and read again only when they changed."""

from __future__ import annotations

import logging
import os
import stat
import time
from operator import attrgetter

from msgspec import Struct

from perfloop.errors import Unavailable

logger = logging.getLogger(__name__)

# Two writes within one tick of the kernel's clock have the same time; a file this young may still change unseen.
_SETTLED_NANOSECONDS = 100_000_000
Version = tuple[int, int, int, int, int]


class Entry(Struct, frozen=True, kw_only=True):
    """One file as its folder shows it now; without a status it cannot be asked."""

    path: str
    label: str
    status: os.stat_result | None


def list_files(folder: str, *, suffix: str) -> list[Entry] | None:
    """Return the files of a folder by name, or None when it cannot be listed. Those with a dot first are not ready."""
    try:
        with os.scandir(folder) as entries:
            found = [_entry(each) for each in entries if each.name.endswith(suffix) and not each.name.startswith(".")]
    except OSError as error:
        logger.debug("folder cannot be listed", extra={"folder": folder, "reason": error.strerror})
        return None
    return sorted(found, key=attrgetter("path"))


def _entry(found: os.DirEntry[str]) -> Entry:
    try:
        status = found.stat()
    except OSError:
        status = None
    # A file name need not be text; a label must be.
    return Entry(path=found.path, label=os.fsencode(found.path).decode(errors="backslashreplace"), status=status)


def version_of(status: os.stat_result) -> Version:
    """Return what tells one content of a path from the next; the time of writing is its first part.

    That one can be set to whatever one likes, as `cp -p` does; the last one, the time of any change, cannot.
    """
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev, status.st_ctime_ns


def settled(version: Version) -> Version | None:
    """Return the version, or none of a file so young that it is to be read again."""
    return version if time.time_ns() - version[-1] > _SETTLED_NANOSECONDS else None


def read_whole(path: str, *, max_bytes: int) -> tuple[bytes, Version]:
    """Return the content of a regular file and its version.

    Raises OSError, and Unavailable when it is no file, too large, or was written meanwhile.
    """
    # Without O_NONBLOCK a named pipe would hold us up until somebody writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Unavailable("is not a regular file")
        if status.st_size > max_bytes:
            raise Unavailable(f"has {status.st_size} bytes, max {max_bytes}")
        content = b""
        while piece := file.read(max_bytes + 1 - len(content)):
            content += piece
        version = version_of(status)
        # Not its last part: that one changes, too, when another file takes this one's name.
        if version[:-1] != version_of(os.fstat(descriptor))[:-1] or len(content) != status.st_size:
            raise Unavailable("was written while it was read")
    return content, version
