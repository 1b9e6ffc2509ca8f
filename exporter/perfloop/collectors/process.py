"""CPU, memory, files and disk traffic of watched groups of processes, read from /proc/PID."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import ClassVar

from perfloop.collectors.processes.census import Census, Source
from perfloop.collectors.processes.files import ProcFolder
from perfloop.collectors.processes.groups import Group
from perfloop.collectors.processes.psutil import PsutilProcesses
from perfloop.collectors.processes.tally import STATE_NAMES, Tally
from perfloop.exposition.block import Block
from perfloop.exposition.text import Samples, number
from perfloop.model import Family, MetricType

MODES = ("user", "system")
KINDS = ("voluntary", "involuntary")


def _counter(name: str, text: str, *labels: str) -> Family:
    full = f"perfloop_process_{name}_total"
    return Family(name=full, type=MetricType.COUNTER, help=text, labels=("group", *labels))


def _gauge(name: str, text: str, *labels: str) -> Family:
    return Family(name=f"perfloop_process_{name}", type=MetricType.GAUGE, help=text, labels=("group", *labels))


CPU_SECONDS = _counter("cpu_seconds", "CPU time since we watch, utime and stime of /proc/PID/stat.", "mode")
SWITCHES = _counter(
    "context_switches", "Context switches of main threads since we watch, from /proc/PID/status.", "kind"
)
COUNTERS = (
    _counter("minor_faults", "Page faults without a disk since we watch, minflt of /proc/PID/stat."),
    _counter("major_faults", "Page faults that read a disk since we watch, majflt of /proc/PID/stat."),
    _counter("read_bytes", "Bytes read from disks since we watch, read_bytes of /proc/PID/io."),
    _counter("written_bytes", "Bytes written to disks since we watch, write_bytes of /proc/PID/io."),
)
STARTS = _counter("starts", "Processes that were seen to start since we watch.")
PROCESSES = _gauge("processes", "Processes, from /proc.")
STATE = _gauge("states", "Processes in each state, from /proc/PID/stat.", "state")
GAUGES = (
    _gauge("threads", "Threads, num_threads of /proc/PID/stat."),
    _gauge("virtual_bytes", "Address space, vsize of /proc/PID/stat."),
    _gauge("resident_bytes", "Memory, with what is shared counted in each process, rss of /proc/PID/stat."),
    _gauge("swapped_bytes", "Memory that is swapped out, VmSwap of /proc/PID/status."),
    _gauge("open_files", "Open file descriptors, /proc/PID/fd."),
)
PROPORTIONAL = _gauge(
    "proportional_bytes", "Memory, with what is shared divided among its users, from /proc/PID/smaps_rollup."
)
OPEN_FILES_RATIO = _gauge("open_files_worst_ratio", "Largest share of its limit of open files that a process uses.")
OLDEST_START = _gauge("oldest_start_timestamp_seconds", "When the oldest process started, from /proc/PID/stat.")


class ProcessCollector:
    """Sums up what the processes of each group use; a process counts in the first group that it matches.

    The counters begin when a process is first seen, and stay when it ends: they never fall while this runs.
    """

    name: ClassVar[str] = "process"
    # Memory of a process that hangs in its own page faults cannot be asked for: cmdline, smaps_rollup.
    may_hang: ClassVar[bool] = True
    families: ClassVar[tuple[Family, ...]] = (
        PROCESSES,
        STATE,
        STARTS,
        OLDEST_START,
        CPU_SECONDS,
        SWITCHES,
        *COUNTERS,
        *GAUGES,
        PROPORTIONAL,
        OPEN_FILES_RATIO,
    )
    component: str = ""

    def __init__(self, groups: Sequence[Group], source: Source) -> None:
        self._census = Census(groups, source)
        gauges = (*GAUGES, PROPORTIONAL) if source.proportional else GAUGES
        self._tallies = [Tally(gauges=len(gauges)) for _ in groups]
        names = [group.name for group in groups]
        self._groups = [(name,) for name in names]
        self._groups_modes = [(name, mode) for name in names for mode in MODES]
        self._groups_kinds = [(name, kind) for name in names for kind in KINDS]
        self._groups_states = [(name, state) for name in names for state in STATE_NAMES]
        self._cpu, self._switches = Block([CPU_SECONDS], exponents={CPU_SECONDS: -2}), Block([SWITCHES])
        self._states = Block([STATE])
        self._block = Block((PROCESSES, STARTS, OLDEST_START, OPEN_FILES_RATIO, *COUNTERS, *gauges))

    def collect(self) -> Samples:
        """Look who is there, and read what the members of the groups use. Raises OSError."""
        for tally in self._tallies:
            tally.clear()
        for group in self._census.update():
            self._tallies[group].starts += 1
        for member, usage in self._census.readings():
            self._tallies[member.group].add(member.process.started_at, usage, member.last)
            member.last = usage.counters
        counters = [tally.counter_tokens() for tally in self._tallies]
        return chain(
            self._states.render_tokens(self._groups_states, self._state_tokens()),
            self._cpu.render_tokens(self._groups_modes, tuple(chain.from_iterable(row[:2] for row in counters))),
            self._switches.render_tokens(self._groups_kinds, tuple(chain.from_iterable(row[4:6] for row in counters))),
            self._block.render(self._groups, map(_row, self._tallies, counters)),
        )

    def down(self) -> Samples:
        """Return nothing: processes that nobody can see are no processes that ended."""
        return ()

    def close(self) -> None:
        """Do nothing: nothing is kept open."""

    def _state_tokens(self) -> tuple[bytes, ...]:
        return tuple(number(tally.states[state]) for tally in self._tallies for state in STATE_NAMES)


def watch(groups: Sequence[Group], *, proportional: bool = False, proc: Path = Path("/proc")) -> ProcessCollector:
    """Return a collector that reads /proc, or asks psutil where there is none."""
    if not (proc / "self").is_dir():
        return ProcessCollector(groups, PsutilProcesses())
    return ProcessCollector(groups, ProcFolder(proc, proportional=proportional))


def _row(tally: Tally, counters: Sequence[bytes]) -> tuple[bytes, ...]:
    first = (tally.states.total(), tally.starts, min(tally.started_at, default=None), max(tally.ratios, default=None))
    return (*map(number, first), *counters[2:4], *counters[6:], *tally.gauge_tokens())
