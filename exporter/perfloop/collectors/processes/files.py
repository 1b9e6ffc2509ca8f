"""Processes as /proc shows them: who there is, and what each one uses."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_EFFECTIVE_USER = re.compile(rb"^Uid:\t\d+\t(\d+)", re.MULTILINE)
_OPEN_FILES = re.compile(rb"^Max open files +(\d+)", re.MULTILINE)
_PROPORTIONAL = re.compile(rb"^Pss: +(\d+) kB$", re.MULTILINE)
_BOOT_TIME = re.compile(rb"^btime (\d+)$", re.MULTILINE)
# More than the files that are read at each scrape hold; a larger buffer costs more than the reading.
_CHUNK_BYTES = 4096


class Usage(NamedTuple):
    """What one process uses now; None is what we may not see.

    `counters`: user and system time in 1/100 s, minor and major faults, voluntary and involuntary context switches,
    bytes read and written. `gauges`: threads; virtual, resident and swapped bytes; open files; if it was asked for,
    proportional bytes.
    """

    state: bytes
    counters: tuple[int | None, ...]
    gauges: tuple[int | None, ...]
    open_files_ratio: float | None


class ProcProcess:
    """One process. Every method raises OSError once it has ended.

    Its files are opened anew each time: to keep them open would save a seventh, and take two of them for each process.
    """

    def __init__(self, folder: str, pid: int, *, boot_seconds: int, sized: bool, proportional: bool) -> None:
        self.pid, self._folder, self._sized, self._proportional = pid, folder, sized, proportional
        self._input_output = True
        self._open_files_max: int | None = None
        self._head, _, rest = self._read("stat").rpartition(b")")
        fields = rest.split()
        try:
            self.parent, self._started = int(fields[1]), fields[19]
            self.identity = int(self._started)
        except (IndexError, ValueError) as error:
            raise OSError(f"{folder}/stat: not what Linux writes there") from error
        self.started_at = boot_seconds + self.identity / 100

    @property
    def name(self) -> bytes:
        """Its name, which changes when it executes something else."""
        return self._head.partition(b"(")[2]

    def usage(self) -> Usage:
        """Read what it uses now."""
        try:
            return self._usage()
        except (IndexError, ValueError) as error:
            raise OSError(f"{self._folder}: not what Linux writes there") from error

    def _usage(self) -> Usage:
        self._head, _, rest = self._read("stat").rpartition(b")")
        stat = rest.split()
        if stat[19] != self._started:
            raise ProcessLookupError(f"{self._folder} is another process")
        status = self._read("status")
        open_files = self._open_files()
        counters = (
            int(stat[11]),
            int(stat[12]),
            int(stat[7]),
            int(stat[9]),
            _number_after(b"\nvoluntary_ctxt_switches:", status),
            _number_after(b"\nnonvoluntary_ctxt_switches:", status),
            *self._bytes(),
        )
        gauges = (
            int(stat[17]),
            int(stat[20]),
            int(stat[21]) * _PAGE_BYTES,
            _number_after(b"\nVmSwap:", status) * 1024,
            open_files,
            *([self._proportional_bytes()] if self._proportional else ()),
        )
        return Usage(stat[0], counters, gauges, self._ratio(open_files))

    def command_line(self) -> str:
        """Return its arguments, joined by spaces."""
        arguments = self._read("cmdline").rstrip(b"\0")
        return arguments.replace(b"\0", b" ").decode("utf-8", "replace")

    def cgroups(self) -> Sequence[str]:
        """Return the paths of its cgroups."""
        lines = self._read("cgroup").decode("utf-8", "replace").splitlines()
        return [line.split(":", 2)[2] for line in lines if line.count(":") > 1]

    def user_id(self) -> int:
        """Return its effective user."""
        found = _EFFECTIVE_USER.search(self._read("status"))
        return int(found[1]) if found else -1

    def _read(self, file: str) -> bytes:
        """Return a file's content; all but a long command line or list of cgroups comes in one piece."""
        fd = os.open(f"{self._folder}/{file}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(fd, _CHUNK_BYTES)
        finally:
            os.close(fd)

    def _bytes(self) -> tuple[int | None, int | None]:
        """Return the bytes it read from disks and wrote; asks no more once that is forbidden."""
        if not self._input_output:
            return None, None
        try:
            words = self._read("io").split()
            return int(words[9]), int(words[11])
        except (PermissionError, FileNotFoundError, IndexError, ValueError):
            # Somebody else's process, or a kernel without this accounting.
            self._input_output = False
            return None, None

    def _proportional_bytes(self) -> int | None:
        try:
            found = _PROPORTIONAL.search(self._read("smaps_rollup"))
        except PermissionError:
            return None
        except ProcessLookupError:
            # A zombie or a thread of the kernel, which have no memory of their own; or it has just ended.
            return 0
        return int(found[1]) * 1024 if found else 0

    def _open_files(self) -> int | None:
        folder = f"{self._folder}/fd"
        try:
            return os.stat(folder).st_size if self._sized else len(os.listdir(folder))  # noqa: PTH116, PTH208 - hot
        except PermissionError:
            return None

    def _ratio(self, open_files: int | None) -> float | None:
        """Return open files by their limit, which is read once, and again while more than half of it is in use."""
        if open_files is None:
            return None
        if self._open_files_max is None or open_files > self._open_files_max / 2:
            found = _OPEN_FILES.search(self._read("limits"))
            # "unlimited" is not found, and not limited.
            self._open_files_max = int(found[1]) if found else 0
        return open_files / self._open_files_max if self._open_files_max else 0.0


class ProcFolder:
    """/proc, or one like it."""

    def __init__(self, proc: Path = Path("/proc"), *, proportional: bool = False) -> None:
        self.proportional, self._proc, self._sized = proportional, str(proc), _has_sizes(proc)
        self._boot_seconds: int | None = None

    def pids(self) -> dict[int, int]:
        """Return the pids, each with a number that changes when a pid is given to another process."""
        with os.scandir(self._proc) as entries:
            return {int(entry.name): entry.inode() for entry in entries if entry.name.isdecimal()}

    def open(self, pid: int) -> ProcProcess:
        """Return a process. Raises OSError when there is none."""
        if self._boot_seconds is None:
            found = _BOOT_TIME.search(Path(self._proc, "stat").read_bytes())
            self._boot_seconds = int(found[1]) if found else 0
        return ProcProcess(
            f"{self._proc}/{pid}",
            pid,
            boot_seconds=self._boot_seconds,
            sized=self._sized,
            proportional=self.proportional,
        )


def _number_after(key: bytes, status: bytes) -> int:
    """Return a number of /proc/PID/status; 0 where it says nothing, as of the memory of a thread of the kernel."""
    start = status.find(key)
    # One key of fifty: a regular expression would take longer than the kernel.
    return int(status[start + len(key) :].split(None, 1)[0]) if start >= 0 else 0


def _has_sizes(proc: Path) -> bool:
    """Whether the size of PID/fd is how many files are open, as since Linux 6.2; 0 before."""
    folder = proc / "self" / "fd"
    try:
        return 0 < folder.stat().st_size <= len(list(folder.iterdir())) + 1
    except OSError:
        return False
