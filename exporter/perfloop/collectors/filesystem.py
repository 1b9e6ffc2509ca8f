"""Size, free space and state of this host's mounted filesystems, from statvfs.

Local ones are asked in the scrape's thread: the kernel answers from memory, and a hand-over takes a hundred times as
long. Network filesystems and those of other processes (FUSE) may hang: see statvfs.py.
"""

from __future__ import annotations

import os
import re
from typing import ClassVar

from perfloop.collectors.host.family import gauge
from perfloop.collectors.host.mounts import Mount, MountTable, measured
from perfloop.collectors.host.statvfs import Askers, StatVfs
from perfloop.exposition.block import Aliases, Block
from perfloop.exposition.text import Samples
from perfloop.model import THIS_HOST, Family, Paths

# Their statvfs needs neither disk nor network. Types that are not named here are taken to be able to hang.
LOCAL_TYPES = frozenset(
    b"bcachefs btrfs erofs exfat ext2 ext3 ext4 f2fs hfs hfsplus jffs2 jfs minix msdos nilfs2 ntfs3 ramfs reiserfs "
    b"tmpfs ubifs udf vfat xfs zfs".split()
)
# What holds nobody's files, or, like overlay, other filesystems' space again.
NOT_MEASURED = re.compile(
    rb"autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|efivarfs|fusectl|fuse\.lxcfs|hugetlbfs|iso9660|"
    rb"mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs"
)
NOT_MEASURED_BELOW = re.compile(
    rb"/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)"
)
_LABELS = ("device", "mountpoint", "fstype")


def _gauge(name: str, text: str) -> Family:
    return gauge(f"filesystem_{name}", text, *_LABELS)


ERROR = _gauge("error", "Whether statvfs failed, or did not answer in time.")
FAMILIES = (
    _gauge("size_bytes", "Size of the filesystem, f_blocks of statvfs."),
    _gauge("available_bytes", "Space left for unprivileged users, f_bavail of statvfs."),
    _gauge("free_bytes", "Space left for root, f_bfree of statvfs."),
    _gauge("files", "Inodes of the filesystem, f_files of statvfs; none where they are not limited."),
    _gauge("files_free", "Inodes that are left, f_ffree of statvfs; none where they are not limited."),
    _gauge("read_only", "Whether it is mounted read-only, or became so after an error; from the mount table."),
    ERROR,
)
_UNKNOWN = (b"",) * (len(FAMILIES) - 1) + (b"1",)


class FilesystemCollector:
    """Asks each filesystem once, at its first mount point."""

    name: ClassVar[str] = "filesystem"
    may_hang: ClassVar[bool] = False
    families: ClassVar[tuple[Family, ...]] = FAMILIES
    component: str = ""

    def __init__(
        self, paths: Paths = THIS_HOST, *, aliases: Aliases | None = None, statvfs: StatVfs = os.statvfs
    ) -> None:
        self._table = MountTable(paths.procfs, root=paths.rootfs)
        self._statvfs, self._askers = statvfs, Askers(statvfs)
        self._is_portable = not paths.procfs.exists()
        self._all: list[Mount] = []
        # Those that are measured, and where we see each; and where we see those that may hang.
        self._mounts: list[tuple[Mount, bytes]] = []
        self._remote: list[bytes] = []
        self._labels: list[tuple[bytes, bytes, bytes]] = []
        self._block = Block(FAMILIES, aliases=aliases)

    def collect(self) -> Samples:
        """Ask every filesystem. Raises OSError when there is no table of them."""
        mounts = _partitions() if self._is_portable else self._table.read()
        if mounts is not self._all:
            self._all = mounts
            found = measured(mounts, but_types=NOT_MEASURED, but_mountpoints=NOT_MEASURED_BELOW)
            self._mounts = [(mount, self._table.path(mount)) for mount in found]
            self._remote = [path for mount, path in self._mounts if mount.fstype not in LOCAL_TYPES]
            self._labels = [mount.labels for mount in found]
        answers = self._askers.ask(self._remote)
        rows = [_row(mount, answers[path] if path in answers else self._ask(path)) for mount, path in self._mounts]
        return self._block.render(self._labels, rows)

    def down(self) -> Samples:
        """Return nothing: a filesystem has no `up`."""
        return ()

    def close(self) -> None:
        """Close the table; threads end when their mounts let them go."""
        self._table.close()
        self._askers.close()

    def _ask(self, path: bytes) -> os.statvfs_result | None:
        try:
            return self._statvfs(path)
        except (OSError, ValueError):
            return None


def _row(mount: Mount, answer: os.statvfs_result | None) -> tuple[bytes, ...]:
    if answer is None:
        return _UNKNOWN
    unit, files = answer.f_frsize, answer.f_files
    sizes = answer.f_blocks * unit, answer.f_bavail * unit, answer.f_bfree * unit
    flags = b"1" if mount.read_only else b"0", b"0"
    if not files:
        return (*(b"%d %d %d" % sizes).split(), b"", b"", *flags)
    return (*(b"%d %d %d %d %d" % (*sizes, files, answer.f_ffree)).split(), *flags)


def _partitions() -> list[Mount]:
    """Return what psutil knows, where there is no /proc."""
    import psutil  # noqa: PLC0415 - memory: it is the fallback, and takes 4 MiB

    return [
        Mount(part.device.encode(), os.fsencode(part.mountpoint), part.fstype.encode(), "ro" in part.opts.split(","))
        for part in psutil.disk_partitions(all=False)
    ]
