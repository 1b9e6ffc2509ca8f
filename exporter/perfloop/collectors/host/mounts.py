"""Which filesystems are mounted where: the kernel's mount table, read anew when the kernel says that it changed."""

from __future__ import annotations

import os
import re
import select
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_OCTAL = re.compile(rb"\\([0-7]{3})")
_CHANGED = select.POLLPRI | select.POLLERR
_CHUNK_BYTES = 1 << 16


class Mount(NamedTuple):
    """One mount; the first three are its labels."""

    device: bytes
    mountpoint: bytes
    fstype: bytes
    read_only: bool

    @property
    def labels(self) -> tuple[bytes, bytes, bytes]:
        """Return device, mount point and type."""
        return self[:3]


class MountTable:
    """A table of mounts. That of process 1 is the host's; where it cannot be read, our own."""

    def __init__(self, proc: Path, *, root: Path = Path("/")) -> None:
        self._paths = (proc / "1" / "mounts", proc / "self" / "mounts")
        self._root = b"" if root == Path("/") else os.fsencode(root)
        self._fd, self._poll = -1, select.poll()
        self._is_watched, self._is_current = False, False
        self._mounts: list[Mount] = []

    def read(self) -> list[Mount]:
        """Return all mounts: the very same list, while nothing changed. Raises OSError."""
        if self._fd < 0:
            self._open()
        # The kernel tells of a change once.
        self._is_current = self._is_current and self._is_watched and not self._poll.poll(0)
        if self._is_current:
            return self._mounts
        mounts = parse(self._content(), root=self._root)
        self._is_current = True
        # Equal to the last one, it shall be the same one.
        self._mounts = self._mounts if mounts == self._mounts else mounts
        return self._mounts

    def path(self, mount: Mount) -> bytes:
        """Return where we see a mount."""
        return self._root + mount.mountpoint

    def close(self) -> None:
        """Close the file. Twice is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._is_current = -1, False

    def _open(self) -> None:
        for path in self._paths:
            try:
                self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                break
            except OSError:
                if path == self._paths[-1]:
                    raise
        self._poll = select.poll()
        self._poll.register(self._fd, _CHANGED)
        # Only the kernel tells of changes; what it writes when it is read has no size. A recorded file has one.
        self._is_watched = os.fstat(self._fd).st_size == 0

    def _content(self) -> bytes:
        content = b""
        while more := os.pread(self._fd, _CHUNK_BYTES, len(content)):
            content += more
        return content


def parse(table: bytes, *, root: bytes = b"") -> list[Mount]:
    """Return what can be seen: of mounts on one mount point only the last one. `root` is cut off in front."""
    mounts: dict[bytes, Mount] = {}
    for line in table.split(b"\n"):
        fields = line.split(b" ")
        if len(fields) < 4:
            continue
        device, mountpoint, fstype = map(_unescape, fields[:3])
        if root and (mountpoint == root or mountpoint.startswith(root + b"/")):
            mountpoint = mountpoint[len(root) :] or b"/"
        mounts.pop(mountpoint, None)
        mounts[mountpoint] = Mount(device, mountpoint, fstype, b"ro" in fields[3].split(b","))
    return list(mounts.values())


def measured(
    mounts: Iterable[Mount], *, but_types: re.Pattern[bytes], but_mountpoints: re.Pattern[bytes]
) -> list[Mount]:
    """Return the mounts that hold somebody's files, each device once: bind mounts are the same space again."""
    by_space: dict[bytes, Mount] = {}
    for mount in mounts:
        if but_types.fullmatch(mount.fstype) or but_mountpoints.match(mount.mountpoint):
            continue
        # Only devices and datasets have a name of their own: `tmpfs` is what every tmpfs may be called.
        named = mount.device.startswith(b"/") or mount.fstype == b"zfs" or b":" in mount.device
        by_space.setdefault(mount.device if named else b"at " + mount.mountpoint, mount)
    return list(by_space.values())


def _unescape(field: bytes) -> bytes:
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), field)
