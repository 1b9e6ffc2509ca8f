"""The host where there is no /proc: what psutil can say, under the same names."""

from __future__ import annotations

from collections.abc import Sequence

from perfloop.collectors.host import cpu, disks, load, memory
from perfloop.exposition.block import Aliases, Block
from perfloop.exposition.text import Samples, number

_MEMORY = {
    "total": "MemTotal",
    "available": "MemAvailable",
    "free": "MemFree",
    "buffers": "Buffers",
    "cached": "Cached",
}
_SWAP = {"total": "SwapTotal", "free": "SwapFree"}
# Column of /proc/diskstats: what psutil calls it.
_DISKS = {3: "read_count", 7: "write_count", 5: "read_bytes", 9: "write_bytes", 6: "read_time", 10: "write_time"}
_DISK_FAMILIES = disks.SECTORS | disks.MILLISECONDS | disks.COUNTS


class PortableHost:
    """Asks psutil; what it does not know on this system has no samples."""

    def __init__(self, *, aliases: Aliases | None = None) -> None:
        self._cpus = Block([cpu.CPU_SECONDS], aliases=aliases)
        self._memory = Block([memory.MEMORY[key] for key in (*_MEMORY.values(), *_SWAP.values())], aliases=aliases)
        self._load = Block(load.LOAD, aliases=aliases)
        self._counts = Block([cpu.COUNTS[key] for key in (b"btime", b"intr", b"ctxt")], aliases=aliases)
        families = [_DISK_FAMILIES[column] for column in _DISKS]
        exponents = dict.fromkeys(disks.MILLISECONDS.values(), -3)
        self._disks = Block(families, exponents=exponents, aliases=aliases)

    def read(self) -> Samples:
        """Ask for everything. Raises OSError."""
        import psutil  # noqa: PLC0415 - memory: it is the fallback, and takes 4 MiB

        yield from self._read_cpus(psutil.cpu_times(percpu=True))
        said, swap = psutil.virtual_memory(), psutil.swap_memory()
        sizes = [*(getattr(said, key, None) for key in _MEMORY), *(getattr(swap, key) for key in _SWAP)]
        yield from self._memory.render_row([number(size) for size in sizes])
        yield from self._load.render_row([number(value) for value in psutil.getloadavg()])
        counts = psutil.cpu_stats()
        yield from self._counts.render_row(
            [number(count) for count in (psutil.boot_time(), counts.interrupts, counts.ctx_switches)]
        )
        there = {
            name: counters
            for name, counters in (psutil.disk_io_counters(perdisk=True, nowrap=False) or {}).items()
            if not disks.NOT_A_DISK.fullmatch(name.encode())
        }
        rows = [[number(getattr(counters, key, None)) for key in _DISKS.values()] for counters in there.values()]
        yield from self._disks.render([(name,) for name in there], rows)

    def close(self) -> None:
        """Nothing is open."""

    def _read_cpus(self, times: Sequence[object]) -> Samples:
        modes = [mode for mode in cpu.MODES if times and hasattr(times[0], mode)]
        labels = [(str(i), mode) for i in range(len(times)) for mode in modes]
        tokens = tuple(number(getattr(one, mode)) for one in times for mode in modes)
        return self._cpus.render_tokens(labels, tokens)
