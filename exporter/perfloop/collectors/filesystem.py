"""Size and free space of the real filesystems of this host, from statvfs.

A collector of its own: statvfs of a sick disk may hang, and must not take CPU and memory with it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import ClassVar

from perfloop.collectors.kernel import KernelFile
from perfloop.exposition.block import Block
from perfloop.exposition.text import Samples, number
from perfloop.model import Family, MetricType

_OCTAL = re.compile(rb"\\([0-7]{3})")


def _gauge(name: str, text: str) -> Family:
    labels = ("device", "mountpoint", "fstype")
    return Family(name=f"perfloop_system_filesystem_{name}", type=MetricType.GAUGE, help=text, labels=labels)


FAMILIES = (
    _gauge("size_bytes", "Size of the filesystem, f_blocks of statvfs."),
    _gauge("available_bytes", "Space left for unprivileged users, f_bavail of statvfs."),
    _gauge("free_bytes", "Space left for root, f_bfree of statvfs."),
    _gauge("files", "Inodes of the filesystem, f_files of statvfs; none where they are not limited."),
    _gauge("files_free", "Inodes that are left, f_ffree of statvfs; none where they are not limited."),
)
Mount = tuple[bytes, bytes, bytes]


class FilesystemCollector:
    """Asks each filesystem on a block device once, at its first mount point; bind mounts are the same space again."""

    name: ClassVar[str] = "filesystem"
    may_hang: ClassVar[bool] = True
    families: ClassVar[tuple[Family, ...]] = FAMILIES
    component: str = ""

    def __init__(self, *, proc: Path = Path("/proc")) -> None:
        self._types, self._table = KernelFile(proc / "filesystems"), KernelFile(proc / "self" / "mounts")
        self._seen_table = b""
        self._mounts: list[Mount] = []
        self._block = Block(FAMILIES)

    def collect(self) -> Samples:
        """Ask every filesystem; one that refuses has no samples."""
        table = self._table.read()
        if table != self._seen_table:
            self._mounts, self._seen_table = real_mounts(table, self._types.read()), table
        return self._block.render(self._mounts, map(_sizes, self._mounts))

    def down(self) -> Samples:
        """Return nothing: a filesystem has no `up`."""
        return ()

    def close(self) -> None:
        """Close the files."""
        self._types.close()
        self._table.close()


def real_mounts(table: bytes, types: bytes) -> list[Mount]:
    """Return device, mount point and type of each mounted block device; `types` is /proc/filesystems."""
    # The kernel marks what needs no block device with `nodev`; ZFS is marked so, but is real.
    real = {line.strip() for line in types.splitlines() if not line.startswith(b"nodev")} | {b"zfs"}
    mounts: dict[bytes, Mount] = {}
    for line in table.splitlines():
        device, mountpoint, fstype = map(_unescape, line.split(b" ")[:3])
        if fstype in real:
            mounts.setdefault(device, (device, mountpoint, fstype))
    return list(mounts.values())


def _unescape(field: bytes) -> bytes:
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), field)


def _sizes(mount: Mount) -> tuple[bytes, ...]:
    try:
        stat = os.statvfs(mount[1])
    except OSError:
        return (b"",) * len(FAMILIES)
    blocks = (stat.f_blocks, stat.f_bavail, stat.f_bfree)
    files = (stat.f_files, stat.f_ffree) if stat.f_files else (None, None)
    return (*(number(count * stat.f_frsize) for count in blocks), *map(number, files))
