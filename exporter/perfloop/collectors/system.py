"""CPU, memory, swap, disks, load and pressure of this host, read from /proc."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import ClassVar

from perfloop.collectors.kernel import KernelFile
from perfloop.exposition.block import Block
from perfloop.exposition.text import Samples, number
from perfloop.model import Family, MetricType

# guest and guest_nice are part of user and nice already: with them the sum over modes would count them twice.
MODES = (b"user", b"nice", b"system", b"idle", b"iowait", b"irq", b"softirq", b"steal")
# Partitions are part of their disk, ram and loop devices are no disks: a sum over devices must make sense.
NOT_A_DISK = re.compile(rb"^(z?ram|loop|fd|sr|(h|s|v|xv)d[a-z]+|nvme\d+n\d+p|mmcblk\d+p)\d+$")
RESOURCES = ("cpu", "io", "memory")
_MEMORY_LINE = re.compile(
    rb"^(MemTotal|MemAvailable|MemFree|Buffers|Cached|SwapTotal|SwapFree): +(\d+) kB$", re.MULTILINE
)
_MEMORY_KEYS = (b"MemTotal", b"MemAvailable", b"MemFree", b"Buffers", b"Cached", b"SwapTotal", b"SwapFree")
_BOOT_TIME = re.compile(rb"^btime (\d+)$", re.MULTILINE)
_PRESSURE_TOTAL = re.compile(rb"total=(\d+)")


def _counter(name: str, text: str, *labels: str) -> Family:
    return Family(name=f"perfloop_system_{name}_total", type=MetricType.COUNTER, help=text, labels=labels)


def _gauge(name: str, text: str) -> Family:
    return Family(name=f"perfloop_system_{name}", type=MetricType.GAUGE, help=text)


CPU_SECONDS = _counter("cpu_seconds", "Time each CPU spent in each mode, from /proc/stat.", "cpu", "mode")
BOOT_TIMESTAMP = _gauge("boot_timestamp_seconds", "When this host was booted, btime of /proc/stat.")
MEMORY = (
    _gauge("memory_size_bytes", "Memory of this host, MemTotal of /proc/meminfo."),
    _gauge("memory_available_bytes", "Memory that new work could get without swapping, MemAvailable of /proc/meminfo."),
    _gauge("memory_free_bytes", "Memory that nothing uses, MemFree of /proc/meminfo."),
    _gauge("memory_buffers_bytes", "Memory that buffers block devices, Buffers of /proc/meminfo."),
    _gauge("memory_cached_bytes", "Memory that caches files, Cached of /proc/meminfo."),
    _gauge("swap_size_bytes", "Swap space of this host, SwapTotal of /proc/meminfo."),
    _gauge("swap_free_bytes", "Swap space that nothing uses, SwapFree of /proc/meminfo."),
)
LOAD = tuple(
    _gauge(f"load{minutes}", f"Load average over {minutes} min, from /proc/loadavg.") for minutes in (1, 5, 15)
)
READ_SECONDS = _counter("disk_read_seconds", "Time that reads took, summed, from /proc/diskstats.", "device")
WRITE_SECONDS = _counter("disk_write_seconds", "Time that writes took, summed, from /proc/diskstats.", "device")
IO_SECONDS = _counter("disk_io_seconds", "Time in which the disk was busy, from /proc/diskstats.", "device")
DISKS = (
    _counter("disk_reads", "Reads that were completed, from /proc/diskstats.", "device"),
    _counter("disk_writes", "Writes that were completed, from /proc/diskstats.", "device"),
    _counter("disk_read_bytes", "Bytes read, from /proc/diskstats.", "device"),
    _counter("disk_written_bytes", "Bytes written, from /proc/diskstats.", "device"),
    READ_SECONDS,
    WRITE_SECONDS,
    IO_SECONDS,
)
WAITING_SECONDS = _counter(
    "pressure_waiting_seconds", "Time in which some task waited for the resource, from /proc/pressure.", "resource"
)
STALLED_SECONDS = _counter(
    "pressure_stalled_seconds", "Time in which all tasks waited for the resource, from /proc/pressure.", "resource"
)
_pick_disk = itemgetter(3, 7, 5, 9, 6, 10, 12)


class SystemCollector:
    """Reads the kernel's own counters; what this kernel does not have (pressure, say) has no samples."""

    name: ClassVar[str] = "system"
    may_hang: ClassVar[bool] = False
    families: ClassVar[tuple[Family, ...]] = (
        CPU_SECONDS,
        BOOT_TIMESTAMP,
        *MEMORY,
        *LOAD,
        *DISKS,
        WAITING_SECONDS,
        STALLED_SECONDS,
    )
    component: str = ""

    def __init__(self, *, proc: Path = Path("/proc")) -> None:
        self._stat, self._meminfo = KernelFile(proc / "stat"), KernelFile(proc / "meminfo")
        self._loadavg, self._diskstats = KernelFile(proc / "loadavg"), KernelFile(proc / "diskstats")
        self._pressure = [KernelFile(proc / "pressure" / resource) for resource in RESOURCES]
        # USER_HZ, the unit of /proc/stat, is 1/100 s wherever Linux and Python run today.
        self._cpu = Block([CPU_SECONDS], exponents={CPU_SECONDS: -2})
        self._boot, self._memory, self._load = Block([BOOT_TIMESTAMP]), Block(MEMORY), Block(LOAD)
        self._disks = Block(DISKS, exponents={READ_SECONDS: -3, WRITE_SECONDS: -3, IO_SECONDS: -3})
        stall = (WAITING_SECONDS, STALLED_SECONDS)
        self._stall = Block(stall, exponents=dict.fromkeys(stall, -6))

    def collect(self) -> Samples:
        """Read all files."""
        return chain(
            self._collect_stat(),
            self._collect_memory(),
            self._load.render_row(self._loadavg.read().split()[:3]),
            self._collect_disks(),
            self._stall.render([(resource,) for resource in RESOURCES], map(_stall_row, RESOURCES, self._pressure)),
        )

    def down(self) -> Samples:
        """Return nothing: a host has no `up` of its own."""
        return ()

    def close(self) -> None:
        """Close the files."""
        for file in (self._stat, self._meminfo, self._loadavg, self._diskstats, *self._pressure):
            file.close()

    def _collect_stat(self) -> Iterator[tuple[Family, bytes]]:
        stat = self._stat.read()
        # The first line sums up the CPUs; sum() can do that.
        cpus = [line.split() for line in stat[: stat.index(b"\nintr ")].split(b"\n")[1:]]
        labels = [(cpu[0][3:], mode) for cpu in cpus for mode in MODES]
        yield from self._cpu.render_tokens(labels, tuple(chain.from_iterable(cpu[1:9] for cpu in cpus)))
        if found := _BOOT_TIME.search(stat):
            yield from self._boot.render_row([found[1]])

    def _collect_memory(self) -> Iterator[tuple[Family, bytes]]:
        sizes = dict(_MEMORY_LINE.findall(self._meminfo.read()))
        return self._memory.render_row(
            [number(int(sizes[key]) * 1024) if key in sizes else b"" for key in _MEMORY_KEYS]
        )

    def _collect_disks(self) -> Iterator[tuple[Family, bytes]]:
        disks = [
            fields for line in self._diskstats.read().splitlines() if not NOT_A_DISK.match((fields := line.split())[2])
        ]
        return self._disks.render([(fields[2],) for fields in disks], map(_disk_row, disks))


def _disk_row(fields: list[bytes]) -> tuple[bytes, ...]:
    reads, writes, sectors_read, sectors_written, *times = _pick_disk(fields)
    return (reads, writes, number(int(sectors_read) * 512), number(int(sectors_written) * 512), *times)


def _stall_row(resource: str, file: KernelFile) -> tuple[bytes, bytes]:
    """Return the microseconds of `some` and of `full`; the latter has no meaning for the CPUs of a whole host."""
    totals: list[bytes] = _PRESSURE_TOTAL.findall(file.read_or_nothing())
    waiting, stalled, *_ = (*totals, b"", b"")
    return waiting, (b"" if resource == "cpu" else stalled)
