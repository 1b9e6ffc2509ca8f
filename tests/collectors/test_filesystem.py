"""Real filesystems against statvfs, mounts that really come and go, and mount tables that are made up."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from perfloop.collectors.filesystem import NOT_MEASURED, NOT_MEASURED_BELOW, FilesystemCollector
from perfloop.collectors.host.mounts import measured, parse
from perfloop.model import Paths
from tests.collectors.pages import Page, lint, page_of
from tests.collectors.recorded_host import RecordedHost
from tests.support import eventually, unshared

SIZE, ERROR = "perfloop_system_filesystem_size_bytes", "perfloop_system_filesystem_error"


def shown(table: bytes) -> list[tuple[bytes, bytes, bytes]]:
    mounts = measured(parse(table), but_types=NOT_MEASURED, but_mountpoints=NOT_MEASURED_BELOW)
    return [mount.labels for mount in mounts]


def test_sizes_are_those_of_statvfs() -> None:
    page = page_of(FilesystemCollector().collect())

    for disk in {part.device: part for part in reversed(psutil.disk_partitions(all=False))}.values():
        stat, labels = os.statvfs(disk.mountpoint), {"device": disk.device, "fstype": disk.fstype}
        [size] = page.values(SIZE, **labels)
        [available] = page.values("perfloop_system_filesystem_available_bytes", **labels)
        [files] = page.values("perfloop_system_filesystem_files", **labels)
        [error] = page.values(ERROR, **labels)
        assert (size, files, error) == (stat.f_blocks * stat.f_frsize, stat.f_files, 0)
        assert available == pytest.approx(stat.f_bavail * stat.f_frsize, rel=0.05)
    assert lint(page.text) == ""


@pytest.mark.parametrize(
    ("table", "mounts"),
    [
        pytest.param(b"proc /proc proc rw 0 0\ncgroup /x cgroup2 rw 0 0\n", [], id="what holds no files"),
        pytest.param(b"tmpfs /dev/shm tmpfs rw 0 0\n", [], id="what is the kernel's own"),
        pytest.param(
            b"tmpfs /tmp tmpfs rw 0 0\ntmpfs /run tmpfs rw 0 0\n",
            [(b"tmpfs", b"/tmp", b"tmpfs"), (b"tmpfs", b"/run", b"tmpfs")],
            id="each tmpfs is a space of its own",
        ),
        pytest.param(b"/dev/sda1 / ext4 rw 0 0\n", [(b"/dev/sda1", b"/", b"ext4")], id="a disk"),
        pytest.param(b"tank/home /home zfs rw 0 0\n", [(b"tank/home", b"/home", b"zfs")], id="zfs"),
        pytest.param(b"overlay /var/x overlay rw 0 0\n", [], id="overlay is the space of others"),
        pytest.param(
            b"/dev/sda1 / ext4 rw 0 0\n/dev/sda1 /srv/bind ext4 rw 0 0\n",
            [(b"/dev/sda1", b"/", b"ext4")],
            id="a bind mount is the same space",
        ),
        pytest.param(
            b"/dev/sda1 /a ext4 rw 0 0\n/dev/sdb1 /a xfs rw 0 0\n",
            [(b"/dev/sdb1", b"/a", b"xfs")],
            id="what is mounted over is not seen",
        ),
        pytest.param(
            b"nas:/home /home nfs4 rw 0 0\nnas:/home /srv/home nfs4 rw 0 0\n",
            [(b"nas:/home", b"/home", b"nfs4")],
            id="an export that is mounted twice",
        ),
        pytest.param(
            b"/dev/sdb /mnt/my\\040disk\\134 xfs rw 0 0\n",
            [(b"/dev/sdb", b"/mnt/my disk\\", b"xfs")],
            id="escaped blanks and backslashes",
        ),
        pytest.param(
            b"/dev/sdb /a\\011b\\012c\\043 xfs rw 0 0\n", [(b"/dev/sdb", b"/a\tb\nc#", b"xfs")], id="other escapes"
        ),
        pytest.param(b"\n/dev/sda1\n/dev/sda1 /\n", [], id="cut off"),
    ],
)
def test_each_filesystem_that_holds_files_is_listed_once(
    table: bytes, mounts: list[tuple[bytes, bytes, bytes]]
) -> None:
    assert shown(table) == mounts


def test_read_only_is_an_option_and_not_a_part_of_one() -> None:
    assert [mount.read_only for mount in parse(b"a /a xfs ro,noatime 0 0\nb /b xfs rw,errors=remount-ro 0 0\n")] == [
        True,
        False,
    ]


def test_a_filesystem_that_refuses_has_an_error_and_no_sizes(tmp_path: Path) -> None:
    host = RecordedHost(tmp_path)
    host.write("self/mounts", f"/dev/a {tmp_path} ext4 rw 0 0\n/dev/b {tmp_path}/gone xfs rw 0 0\n")

    page = page_of(FilesystemCollector(Paths(procfs=host.paths.procfs)).collect())

    assert page.labels(SIZE, "device") == {"/dev/a"}
    assert page.values(ERROR, device="/dev/a") == [0]
    assert page.values(ERROR, device="/dev/b") == [1]


def test_a_container_shows_the_hosts_mount_points_and_asks_where_it_sees_them(tmp_path: Path) -> None:
    host = RecordedHost(tmp_path)
    root = host.paths.rootfs
    (root / "srv").mkdir(parents=True)
    host.write("1/mounts", f"/dev/a / ext4 rw 0 0\n/dev/b {root}/srv xfs rw 0 0\n")
    host.write("self/mounts", "/dev/c /c ext4 rw 0 0\n")
    asked: list[bytes] = []

    def statvfs(path: bytes) -> os.statvfs_result:
        asked.append(path)
        return os.statvfs(path)

    page = page_of(FilesystemCollector(host.paths, statvfs=statvfs).collect())

    assert page.labels(SIZE, "mountpoint") == {"/", "/srv"}
    assert asked == [os.fsencode(f"{root}/"), os.fsencode(f"{root}/srv")]


def test_without_proc_psutil_says_what_is_mounted(tmp_path: Path) -> None:
    collector = FilesystemCollector(Paths(procfs=tmp_path / "nothing"))

    page = page_of(collector.collect())

    # In a chroot it knows of none.
    known = {part.mountpoint: os.statvfs(part.mountpoint) for part in psutil.disk_partitions(all=False)}
    assert page.labels(SIZE, "mountpoint") == known.keys()
    for mountpoint, stat in known.items():
        assert page.values(SIZE, mountpoint=mountpoint) == [stat.f_blocks * stat.f_frsize]
    collector.close()


# -- mounts that come and go -------------------------------------------------------------------------------------------

# A mount namespace of its own: what is mounted there is seen by nobody else, and gone with it.
_IN_A_NAMESPACE = """
import subprocess, sys
from perfloop.collectors.filesystem import FilesystemCollector
from perfloop.exposition.page import render_page
from perfloop.model import Paths
from pathlib import Path

folder = sys.argv[1]
# Process 1 is in the other namespace.
proc = Path(folder) / "proc"
proc.mkdir()
(proc / "self").symlink_to("/proc/self")
collector = FilesystemCollector(Paths(procfs=proc))
def look(what):
    page = render_page(collector.collect()).decode()
    print(what, sum(line.startswith("perfloop_system_filesystem_size_bytes") and folder in line
                    for line in page.splitlines()))
mount = Path(folder) / "a disk"
mount.mkdir()
look("before")
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", mount], check=True)
look("mounted")
look("still")
subprocess.run(["umount", mount], check=True)
look("unmounted")
"""


def test_real_mounts_are_right_at_the_next_scrape(tmp_path: Path) -> None:
    argv = [*unshared("--mount"), sys.executable, "-c", _IN_A_NAMESPACE, str(tmp_path)]

    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)

    assert done.stdout.splitlines() == ["before 0", "mounted 1", "still 1", "unmounted 0"], done.stderr


# -- mounts that hang --------------------------------------------------------------------------------------------------


class Servers:
    """statvfs in which some mounts hang until they are let go: what a dead NFS server does to it."""

    def __init__(self) -> None:
        self.hanging: dict[bytes, threading.Event] = {}
        self.asked: list[bytes] = []

    def statvfs(self, path: bytes) -> os.statvfs_result:
        self.asked.append(path)
        if path in self.hanging:
            self.hanging[path].wait(30)
        return os.statvfs("/")


@pytest.fixture
def servers() -> Iterator[Servers]:
    made = Servers()
    yield made
    for hanging in made.hanging.values():
        hanging.set()


@pytest.fixture
def remote(recorded_host: RecordedHost, servers: Servers) -> Iterator[FilesystemCollector]:
    recorded_host.write("1/mounts", "/dev/a / ext4 rw 0 0\nnas:/a /a nfs4 rw 0 0\nnas:/b /b nfs4 rw 0 0\n")
    paths = Paths(procfs=recorded_host.paths.procfs)
    collector = FilesystemCollector(paths, statvfs=servers.statvfs)
    yield collector
    collector.close()


def timed(collector: FilesystemCollector) -> tuple[Page, float]:
    started_at = time.monotonic()
    page = page_of(collector.collect())
    return page, time.monotonic() - started_at


def test_a_hung_mount_takes_no_other_along_and_is_waited_for_once(
    remote: FilesystemCollector, servers: Servers
) -> None:
    assert page_of(remote.collect()).labels(SIZE, "mountpoint") == {"/", "/a", "/b"}
    servers.hanging[b"/a"] = threading.Event()

    first, _ = timed(remote)
    second, seconds = timed(remote)

    for page in (first, second):
        assert page.labels(SIZE, "mountpoint") == {"/", "/b"}
        assert page.values(ERROR, mountpoint="/a") == [1]
        assert page.values(ERROR, mountpoint="/b") == [0]
    assert seconds < 0.2
    assert servers.asked.count(b"/a") == 2


def test_a_mount_that_hung_is_back_when_its_server_is(remote: FilesystemCollector, servers: Servers) -> None:
    servers.hanging[b"/a"] = threading.Event()
    page_of(remote.collect())

    servers.hanging.pop(b"/a").set()

    assert eventually(lambda: "/a" in page_of(remote.collect()).labels(SIZE, "mountpoint"))


def test_a_mount_that_hangs_and_is_unmounted_is_forgotten(
    remote: FilesystemCollector, servers: Servers, recorded_host: RecordedHost
) -> None:
    servers.hanging[b"/a"] = threading.Event()
    page_of(remote.collect())

    recorded_host.write("1/mounts", "/dev/a / ext4 rw 0 0\n")

    assert page_of(remote.collect()).labels(ERROR, "mountpoint") == {"/"}
    servers.hanging.pop(b"/a").set()
    assert eventually(lambda: not [t for t in threading.enumerate() if t.name.startswith("statvfs ")])


def test_local_filesystems_need_no_thread() -> None:
    collector = FilesystemCollector(
        statvfs=lambda path: (threads.append(threading.current_thread()), os.statvfs(path))[1]
    )
    threads: list[threading.Thread] = []

    page_of(collector.collect())

    assert set(threads) == {threading.main_thread()}
