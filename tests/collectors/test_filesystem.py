"""Real filesystems against statvfs, and mount tables that are made up."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from perfloop.collectors.filesystem import FilesystemCollector, real_mounts
from tests.collectors.pages import lint, page_of

TYPES = b"nodev\ttmpfs\nnodev\tzfs\n\text4\n\txfs\n"


def test_sizes_are_those_of_statvfs() -> None:
    page = page_of(FilesystemCollector().collect())

    for disk in {part.device: part for part in reversed(psutil.disk_partitions(all=False))}.values():
        stat, labels = os.statvfs(disk.mountpoint), {"device": disk.device, "fstype": disk.fstype}
        [size] = page.values("perfloop_system_filesystem_size_bytes", **labels)
        [available] = page.values("perfloop_system_filesystem_available_bytes", **labels)
        [files] = page.values("perfloop_system_filesystem_files", **labels)
        assert (size, files) == (stat.f_blocks * stat.f_frsize, stat.f_files)
        assert available == pytest.approx(stat.f_bavail * stat.f_frsize, rel=0.05)
    assert lint(page.text) == ""


@pytest.mark.parametrize(
    ("table", "mounts"),
    [
        pytest.param(b"tmpfs /tmp tmpfs rw 0 0\n", [], id="memory is no disk"),
        pytest.param(b"/dev/sda1 / ext4 rw 0 0\n", [(b"/dev/sda1", b"/", b"ext4")], id="a disk"),
        pytest.param(b"tank/home /home zfs rw 0 0\n", [(b"tank/home", b"/home", b"zfs")], id="zfs is real"),
        pytest.param(
            b"/dev/sda1 / ext4 rw 0 0\n/dev/sda1 /srv/bind ext4 rw 0 0\n",
            [(b"/dev/sda1", b"/", b"ext4")],
            id="a bind mount is the same space",
        ),
        pytest.param(
            b"/dev/sdb /mnt/my\\040disk\\134 xfs rw 0 0\n",
            [(b"/dev/sdb", b"/mnt/my disk\\", b"xfs")],
            id="escaped blanks and backslashes",
        ),
    ],
)
def test_each_real_filesystem_is_listed_once(table: bytes, mounts: list[tuple[bytes, bytes, bytes]]) -> None:
    assert real_mounts(table, TYPES) == mounts


def test_a_filesystem_that_refuses_has_no_samples(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "filesystems").write_bytes(TYPES)
    (tmp_path / "self" / "mounts").write_text(f"/dev/a {tmp_path} ext4 rw 0 0\n/dev/b {tmp_path}/gone xfs rw 0 0\n")

    page = page_of(FilesystemCollector(proc=tmp_path).collect())

    assert page.labels("perfloop_system_filesystem_size_bytes", "device") == {"/dev/a"}
