"""Traffic and link speed of this host's network devices, read from /proc/net/dev and /sys/class/net."""

from __future__ import annotations

import os
from operator import itemgetter
from pathlib import Path
from typing import ClassVar

from perfloop.collectors.kernel import KernelFile
from perfloop.exposition.block import Block
from perfloop.exposition.text import Samples, number
from perfloop.model import Family, MetricType


def _counter(name: str, text: str) -> Family:
    full = f"perfloop_network_{name}_total"
    return Family(name=full, type=MetricType.COUNTER, help=f"{text}, from /proc/net/dev.", labels=("device",))


DEVICES = (
    _counter("receive_bytes", "Bytes received"),
    _counter("receive_packets", "Packets received"),
    _counter("receive_errors", "Packets received with an error"),
    _counter("receive_drops", "Packets received and dropped"),
    _counter("transmit_bytes", "Bytes sent"),
    _counter("transmit_packets", "Packets sent"),
    _counter("transmit_errors", "Packets that failed to be sent"),
    _counter("transmit_drops", "Packets dropped instead of sent"),
)
SPEED = Family(
    name="perfloop_network_speed_bytes",
    type=MetricType.GAUGE,
    help="Link speed in bytes per second, /sys/class/net/DEVICE/speed; none where the device does not know it.",
    labels=("device",),
)
FAMILIES = (*DEVICES, SPEED)
_pick = itemgetter(0, 1, 2, 3, 8, 9, 10, 11)


class NetworkCollector:
    """Reads one table of all devices, and a file for the speed of each."""

    name: ClassVar[str] = "network"
    may_hang: ClassVar[bool] = False
    families: ClassVar[tuple[Family, ...]] = FAMILIES
    component: str = ""

    def __init__(self, *, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> None:
        self._table, self._devices = KernelFile(proc / "self" / "net" / "dev"), sys / "class" / "net"
        self._speeds: dict[bytes, KernelFile] = {}
        self._block = Block(FAMILIES)

    def collect(self) -> Samples:
        """Read the table and the speeds."""
        lines = [line.partition(b":") for line in self._table.read().splitlines()[2:]]
        names = [name.strip() for name, _, _ in lines]
        if names != list(self._speeds):
            self._follow(names)
        rows = [
            (*_pick(rest.split()), _speed(self._speeds[name])) for name, (_, _, rest) in zip(names, lines, strict=True)
        ]
        return self._block.render([(name,) for name in names], rows)

    def down(self) -> Samples:
        """Return nothing: a host has no `up` of its own."""
        return ()

    def close(self) -> None:
        """Close the files."""
        self._table.close()
        self._follow([])

    def _follow(self, names: list[bytes]) -> None:
        """Keep exactly one speed file for each device; devices come and go."""
        for file in self._speeds.values():
            file.close()
        self._speeds = {name: KernelFile(self._devices / os.fsdecode(name) / "speed") for name in names}


def _speed(file: KernelFile) -> bytes:
    megabits = file.read_or_nothing().strip()
    # -1 and an unreadable file both mean "not known"; so does 0, which a link without a partner shows.
    return number(int(megabits) * 125_000) if megabits.isdigit() and megabits != b"0" else b""
