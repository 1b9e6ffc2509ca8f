"""Limits, use and throttling of control groups: the exporter's own, and those that are named; versions 1 and 2."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from perfloop.collectors.host.cgroups import GroupFiles, Place, Tree, cpu_limit, disks_of, value
from perfloop.collectors.kernel import KernelFile
from perfloop.exposition.block import Block
from perfloop.exposition.text import Samples, number
from perfloop.model import THIS_HOST, Family, MetricType, Paths

# The label of the exporter's own group, whose path may be another one at each start.
OWN = "self"
RESOURCES = ("cpu", "io", "memory")
_TOTAL = re.compile(rb"^(some|full) .*total=(\d+)$", re.MULTILINE)


def _family(name: str, text: str, *labels: str) -> Family:
    kind = MetricType.COUNTER if name.endswith("_total") else MetricType.GAUGE
    return Family(name=f"perfloop_cgroup_{name}", type=kind, help=text, labels=("group", *labels))


FOUND = _family("found", "Whether the control group exists.")
CPU_LIMIT = _family("cpu_limit", "CPUs that the group may use, cpu.max or cpu.cfs_quota_us; none without a limit.")
# Each number, and where it stands: in version 2, and in version 1.
NUMBERS = {
    _family("cpu_seconds_total", "CPU time, usage_usec of cpu.stat or cpuacct.usage."): (
        Place("", "cpu.stat", b"usage_usec", b"e-6"),
        Place("cpuacct", "cpuacct.usage", unit=b"e-9"),
    ),
    _family("cpu_periods_total", "Periods in which the group ran under a limit, nr_periods of cpu.stat."): (
        Place("", "cpu.stat", b"nr_periods"),
        Place("cpu", "cpu.stat", b"nr_periods"),
    ),
    _family("cpu_throttled_periods_total", "Periods in which it used up its limit, nr_throttled of cpu.stat."): (
        Place("", "cpu.stat", b"nr_throttled"),
        Place("cpu", "cpu.stat", b"nr_throttled"),
    ),
    _family("cpu_throttled_seconds_total", "Time its CPUs were held back, throttled_usec or _time of cpu.stat."): (
        Place("", "cpu.stat", b"throttled_usec", b"e-6"),
        Place("cpu", "cpu.stat", b"throttled_time", b"e-9"),
    ),
    _family("memory_bytes", "Memory in use, cache included, memory.current or memory.usage_in_bytes."): (
        Place("", "memory.current"),
        Place("memory", "memory.usage_in_bytes"),
    ),
    _family("memory_inactive_file_bytes", "Of this, cache that is given up first, inactive_file of memory.stat."): (
        Place("", "memory.stat", b"inactive_file"),
        Place("memory", "memory.stat", b"total_inactive_file"),
    ),
    _family("memory_limit_bytes", "Memory it may use, memory.max or memory.limit_in_bytes; none without a limit."): (
        Place("", "memory.max"),
        Place("memory", "memory.limit_in_bytes"),
    ),
    _family("memory_swap_bytes", "Swap space in use, memory.swap.current."): (Place("", "memory.swap.current"),),
    _family("memory_limit_hits_total", "Times the limit was met, max of memory.events or memory.failcnt."): (
        Place("", "memory.events", b"max"),
        Place("memory", "memory.failcnt"),
    ),
    _family("memory_oom_kills_total", "Processes killed at the limit, oom_kill of memory.events or _oom_control."): (
        Place("", "memory.events", b"oom_kill"),
        Place("memory", "memory.oom_control", b"oom_kill"),
    ),
    _family("tasks", "Processes and threads, pids.current."): (
        Place("", "pids.current"),
        Place("pids", "pids.current"),
    ),
    _family("tasks_limit", "How many there may be, pids.max; none without a limit."): (
        Place("", "pids.max"),
        Place("pids", "pids.max"),
    ),
}
IO = (
    _family("io_read_bytes_total", "Bytes read from each disk, io.stat or blkio.throttle.", "device"),
    _family("io_written_bytes_total", "Bytes written to each disk, io.stat or blkio.throttle.", "device"),
    _family("io_reads_total", "Reads of each disk, io.stat or blkio.throttle.", "device"),
    _family("io_writes_total", "Writes to each disk, io.stat or blkio.throttle.", "device"),
)
PRESSURE = (
    _family("pressure_waiting_seconds_total", "Time some task waited, RESOURCE.pressure (version 2).", "resource"),
    _family("pressure_stalled_seconds_total", "Time all tasks waited, RESOURCE.pressure (version 2).", "resource"),
)
# Files that are more than a number, or a number behind a key.
_OTHERS = (
    *(("cpu", name) for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")),
    *(("blkio", f"blkio.throttle.{name}") for name in ("io_service_bytes", "io_serviced")),
    *(("", name) for name in ("cpu.max", "io.stat", *(f"{resource}.pressure" for resource in RESOURCES))),
)


class CgroupCollector:
    """Reads a handful of files for each group; what this kernel, version or group does not have has no samples."""

    name: ClassVar[str] = "cgroup"
    may_hang: ClassVar[bool] = False
    families: ClassVar[tuple[Family, ...]] = (FOUND, CPU_LIMIT, *NUMBERS, *IO, *PRESSURE)
    component: str = ""

    def __init__(self, groups: Sequence[str] = (), paths: Paths = THIS_HOST) -> None:
        tree = Tree(paths.sysfs / "fs" / "cgroup")
        self._devices = paths.sysfs / "dev" / "block"
        own = tree.own(KernelFile(paths.procfs / "self" / "cgroup").read_or_nothing())
        paths_of: dict[str, Callable[[str], str]] = {OWN: own, **{group: _always(group) for group in groups}}
        self._groups = {
            group: GroupFiles(tree, path_of, numbers=NUMBERS.values(), others=_OTHERS)
            for group, path_of in paths_of.items()
        }
        self._numbers = Block((FOUND, CPU_LIMIT, *NUMBERS))
        self._io, self._pressure = Block(IO), Block(PRESSURE, exponents=dict.fromkeys(PRESSURE, -6))

    def collect(self) -> Samples:
        """Read all groups."""
        contents = {group: files.read() for group, files in self._groups.items()}
        rows = [_numbers(contents[group], files) for group, files in self._groups.items()]
        yield from self._numbers.render([(group,) for group in contents], rows)
        disks = {
            (group, self._disk(device)): tokens for group, said in contents.items() for device, tokens in disks_of(said)
        }
        yield from self._io.render(list(disks), disks.values())
        stalls = [(group, resource) for group in contents for resource in RESOURCES]
        waits = [_stall(contents[group].get(("", f"{resource}.pressure"), b"")) for group, resource in stalls]
        yield from self._pressure.render(stalls, waits)

    def down(self) -> Samples:
        """Return nothing: the host has no `up` of its own."""
        return ()

    def close(self) -> None:
        """Close the files."""
        for files in self._groups.values():
            files.close()

    def _disk(self, device: bytes) -> str:
        """Return the name of MAJOR:MINOR, as the system collector shows it."""
        number_of = device.decode("ascii", "replace")
        try:
            return (self._devices / number_of).readlink().name
        except (OSError, ValueError):
            return number_of


def _always(group: str) -> Callable[[str], str]:
    return lambda _: group


def _numbers(contents: Mapping[tuple[str, str], bytes], files: GroupFiles) -> tuple[bytes, ...]:
    numbers = [value(contents, places) for places in files.places]
    return (b"1" if files.exists else b"0", number(cpu_limit(contents)), *numbers)


def _stall(text: bytes) -> tuple[bytes, bytes]:
    said = dict(_TOTAL.findall(text))
    return said.get(b"some", b""), said.get(b"full", b"")
