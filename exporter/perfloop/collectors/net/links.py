"""State of each network device's link: /sys/class/net."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from perfloop.collectors.net.family import counter, gauge, info
from perfloop.exposition.block import Aliases, Block
from perfloop.exposition.text import Samples, number
from perfloop.model import Family

UP = gauge(
    "device_up", "Whether the device is up, operstate of /sys/class/net; 0 also where it does not know.", "device"
)
INFO = info(
    "device",
    "What the device is, from /sys/class/net.",
    *("device", "operstate", "duplex", "address", "broadcast", "ifalias"),
)
SPEED = gauge(
    "speed_bytes",
    "Link speed in bytes per second, /sys/class/net/DEVICE/speed; none where the device does not know it.",
    "device",
)
# Attribute: family.
NUMBERS = {
    "speed": SPEED,
    "carrier": gauge("carrier", "Whether the link has a carrier; none while the device is off.", "device"),
    "mtu": gauge("mtu_bytes", "Largest packet that the device sends, mtu of /sys/class/net.", "device"),
    "carrier_changes": counter("carrier_changes", "Times the carrier came or went, from /sys/class/net.", "device"),
    "carrier_up_count": counter("carrier_up_changes", "Times the carrier came, from /sys/class/net.", "device"),
    "carrier_down_count": counter("carrier_down_changes", "Times the carrier went, from /sys/class/net.", "device"),
    "tx_queue_len": gauge("transmit_queue_size", "Packets that the transmit queue holds, tx_queue_len.", "device"),
}
FAMILIES = (UP, INFO, *NUMBERS.values())
_WORDS = ("operstate", "duplex", "address", "broadcast", "ifalias")
# What drivers say that know no speed, besides -1: no link, and -1 as they misread it.
_NO_SPEEDS = frozenset((b"0", b"65535", b"4294967295"))
# Files that stay open: enough for the devices of a usual host, and few of the 1024 that a process may open.
_KEPT_FILES = 256
# More than an attribute holds.
_MOST_BYTES = 512


class Links:
    """Reads a file for each device and attribute; `numbers` may hold more of them than those above."""

    def __init__(
        self, folder: Path, *, numbers: Mapping[str, Family] = NUMBERS, aliases: Aliases | None = None
    ) -> None:
        self._folder, self._attributes = folder, (*_WORDS, *numbers)
        self._devices: dict[str, Device] = {}
        self._info = Block([INFO], aliases=aliases)
        self._block = Block((UP, *numbers.values()), aliases=aliases)
        self._numbers: list[Callable[[bytes], bytes]] = [_SPECIAL.get(name, _decimal) for name in numbers]

    def read(self) -> Samples:
        """Read everything. Raises OSError where there is no such folder."""
        names = os.listdir(self._folder)  # noqa: PTH208 - hot
        if names != list(self._devices):
            self._follow(names)
        words: list[tuple[str | bytes, ...]] = []
        rows: list[tuple[bytes, ...]] = []
        for name, device in self._devices.items():
            values = device.read()
            if not values[0]:
                # Not a device, as bonding_masters, or gone a moment ago.
                continue
            words.append((name, *values[: len(_WORDS)]))
            tokens = [token(value) for token, value in zip(self._numbers, values[len(_WORDS) :], strict=True)]
            rows.append((b"1" if values[0] == b"up" else b"0", *tokens))
        labels: list[tuple[str | bytes]] = [(row[0],) for row in words]
        return [*self._info.render_tokens(words, (b"1",) * len(words)), *self._block.render(labels, rows)]

    def close(self) -> None:
        """Close the files."""
        self._follow([])

    def _follow(self, names: list[str]) -> None:
        """Keep the files of the devices that are still there."""
        for name in self._devices.keys() - set(names):
            self._devices[name].close()
        kept = _KEPT_FILES // len(self._attributes)
        known = self._devices
        self._devices = {
            name: known.get(name) or Device(f"{self._folder}/{name}", self._attributes, keep=i < kept)
            for i, name in enumerate(names)
        }


class Device:
    """The files of one device; what cannot be read is empty."""

    def __init__(self, folder: str, attributes: Sequence[str], *, keep: bool) -> None:
        self._paths, self._keep = [f"{folder}/{attribute}" for attribute in attributes], keep
        self._fds: list[int] = []

    def read(self) -> list[bytes]:
        """Return the attributes as they are now, the first of which every device has."""
        values = self._read()
        if self._keep and not values[0]:
            # The device is gone; if another one has its name by now, that is the one we mean.
            self.close()
            values = self._read()
        if not self._keep:
            self.close()
        return values

    def close(self) -> None:
        """Close the files. Twice is harmless."""
        for fd in self._fds:
            if fd >= 0:
                os.close(fd)
        self._fds = []

    def _read(self) -> list[bytes]:
        self._fds = self._fds or [_open(path) for path in self._paths]
        values = []
        for fd in self._fds:
            try:
                values.append(os.pread(fd, _MOST_BYTES, 0).strip() if fd >= 0 else b"")
            except OSError:
                # No device any more, or one that does not know.
                values.append(b"")
        return values


def _open(path: str) -> int:
    """Return an open file, or -1 where there is none."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _decimal(value: bytes) -> bytes:
    """Return a number as it is, and nothing for everything else."""
    return value if value.isdigit() else b""


def _speed(value: bytes) -> bytes:
    """Return Mbit/s in bytes."""
    return number(int(value) * 125_000) if value.isdigit() and len(value) < 10 and value not in _NO_SPEEDS else b""


def _hexadecimal(value: bytes) -> bytes:
    """Return a number such as 0x1003."""
    try:
        return number(int(value, 16))
    except ValueError:
        return b""


_SPECIAL = {"speed": _speed, "flags": _hexadecimal, "dev_id": _hexadecimal}
