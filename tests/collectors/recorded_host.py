"""A host that is made up: its /proc, /sys and root as trees of files."""

from __future__ import annotations

from pathlib import Path

from perfloop.model import Paths


class RecordedHost:
    """Files below one folder: `proc`, `sys` and `root`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = Paths(procfs=folder / "proc", sysfs=folder / "sys", rootfs=folder / "root")

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file; a name that does not begin with `sys/` or `root/` is one of /proc."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("latin-1"))

    def read(self, name: str) -> str:
        """Return what was written."""
        return self._path(name).read_text("latin-1")

    def _path(self, name: str) -> Path:
        return self.folder / (name if name.startswith(("sys/", "root/", "proc/")) else f"proc/{name}")


def small_host(folder: Path) -> RecordedHost:
    """Return a host with two CPUs, a disk of an old kernel, and little else."""
    host = RecordedHost(folder)
    host.write(
        "stat",
        "cpu  323 4 5 6 7 8 9 10 1 1\ncpu0 123 4 5 6 7 8 9 10 1 1\ncpu1 200 0 0 0 0 0 0 0 0 0\n"
        "intr 5 0 0 5\nctxt 77\nbtime 1700000000\nprocesses 9\nprocs_running 2\nprocs_blocked 1\nsoftirq 3 1 1 1\n",
    )
    host.write("meminfo", "MemTotal:       2048 kB\nActive(anon): 7 kB\nMemFree:  1 kB\nHugePages_Free: 3\n")
    host.write("loadavg", "0.50 0.25 0.10 1/2 3\n")
    host.write("diskstats", "254 0 vda 10 0 8 1500 20 0 16 2500 0 3500 4000\n254 1 vda1 1 1 1 1 1 1 1 1 1 1 1\n")
    host.write(
        "pressure/cpu",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    )
    host.write("vmstat", "nr_free_pages 5\npgpgin 10\npgpgout 20\npswpin 1\npswpout 2\npgfault 30\npgmajfault 4\n")
    host.write("schedstat", "version 17\ntimestamp 1\ncpu0 0 0 0 0 0 0 1500000000 2500000000 7\n")
    host.write("proc/sys/fs/file-nr", "10\t0\t100\n")
    return host
