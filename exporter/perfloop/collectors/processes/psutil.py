"""Processes as psutil shows them: where there is no /proc. Slower, and without what only Linux says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

from perfloop.collectors.processes.files import Usage

if TYPE_CHECKING:
    import psutil

T = TypeVar("T")

_STATES = {
    "running": b"R",
    "sleeping": b"S",
    "disk-sleep": b"D",
    "stopped": b"T",
    "tracing-stop": b"t",
    "zombie": b"Z",
    "idle": b"I",
}


class PsutilProcess:
    """One process. Every method raises OSError once it has ended."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._process: psutil.Process = _ask(lambda: _psutil().Process(pid))
        self.started_at: float = _ask(self._process.create_time)
        self.identity, self.parent = int(self.started_at * 1000), _ask(self._process.ppid)
        self.name = _name(self._process)

    def usage(self) -> Usage:
        """Read what it uses now."""
        process = self._process
        # A pid that is another process by now is no longer running, in psutil's words.
        if not process.is_running():
            raise ProcessLookupError(f"process {self.pid} has ended")
        with process.oneshot():
            self.name = _name(process)
            state = _STATES.get(_ask(process.status), b"?")
            cpu, switches = _if_allowed(process.cpu_times), _if_allowed(process.num_ctx_switches)
            memory, traffic = _if_allowed(process.memory_info), _if_allowed(getattr(process, "io_counters", None))
            counters = (
                cpu and round(cpu.user * 100),
                cpu and round(cpu.system * 100),
                # Page faults are not told apart outside Linux.
                None,
                None,
                switches and switches.voluntary,
                switches and switches.involuntary,
                traffic and traffic.read_bytes,
                traffic and traffic.write_bytes,
            )
            threads, open_files = _if_allowed(process.num_threads), _if_allowed(getattr(process, "num_fds", None))
            gauges = (threads, memory and memory.vms, memory and memory.rss, None, open_files)
        return Usage(state, counters, gauges, None)

    def command_line(self) -> str:
        """Return its arguments, joined by spaces; nothing if we may not know."""
        return " ".join(_if_allowed(self._process.cmdline) or ())

    def cgroups(self) -> Sequence[str]:
        """Return nothing: cgroups are Linux's."""
        return ()

    def user_id(self) -> int:
        """Return its effective user; nobody's number if we may not know."""
        users = _if_allowed(getattr(self._process, "uids", None))
        return users.effective if users else -1


class PsutilProcesses:
    """The processes that psutil finds."""

    proportional = False

    def pids(self) -> dict[int, int]:
        """Return the pids; that one is given to another process is noticed later."""
        return dict.fromkeys(_psutil().pids(), 0)

    def open(self, pid: int) -> PsutilProcess:
        """Return a process. Raises OSError when there is none."""
        return PsutilProcess(pid)


def _psutil() -> ModuleType:
    import psutil  # noqa: PLC0415 - 4 MB, only where there is no /proc

    return psutil


def _ask(question: Callable[[], T]) -> T:
    """Return an answer. Raises OSError where there is none."""
    try:
        return question()
    except _psutil().AccessDenied as error:
        raise PermissionError(str(error)) from error
    except _psutil().Error as error:
        raise ProcessLookupError(str(error)) from error


def _if_allowed(question: Callable[[], T] | None) -> T | None:
    """Return an answer; None if it may not or cannot be known. Raises OSError when the process has ended."""
    try:
        return _ask(question) if question else None
    except PermissionError:
        return None


def _name(process: psutil.Process) -> bytes:
    """Return its name, cut as Linux does."""
    return _ask(process.name).encode()[:15]
