"""State of each network device's link: /sys/class/net."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from perfloop.collectors.kernel import KernelFile
from perfloop.collectors.net.family import counter, gauge, info
from perfloop.exposition.block import Aliases, Block
from perfloop.exposition.text import Samples, number
from perfloop.model import Family

UP = gauge("up", "Whether the device is up, operstate of /sys/class/net; 0 also where it does not know.", "device")
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


class Links:
    """Reads a file for each device and attribute; `numbers` may hold more of them than those above."""

    def __init__(
        self, folder: Path, *, numbers: Mapping[str, Family] = NUMBERS, aliases: Aliases | None = None
    ) -> None:
        self._folder, self._attributes = folder, (*_WORDS, *numbers)
        self._files: dict[str, list[KernelFile]] = {}
        self._info = Block([INFO], aliases=aliases)
        self._block = Block((UP, *numbers.values()), aliases=aliases)
        self._numbers: list[Callable[[bytes], bytes]] = [_SPECIAL.get(name, _decimal) for name in numbers]

    def read(self) -> Samples:
        """Read everything. Raises OSError where there is no such folder."""
        names = os.listdir(self._folder)  # noqa: PTH208 - hot
        if names != list(self._files):
            self._follow(names)
        kept = _KEPT_FILES // len(self._attributes)
        words: list[tuple[str | bytes, ...]] = []
        rows: list[tuple[bytes, ...]] = []
        for i, (name, files) in enumerate(self._files.items()):
            values = [_read(file, keep=i < kept) for file in files]
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
        for name in self._files.keys() - set(names):
            for file in self._files[name]:
                file.close()
        self._files = {name: self._files.get(name) or self._files_of(name) for name in names}

    def _files_of(self, name: str) -> list[KernelFile]:
        return [KernelFile(self._folder / name / attribute) for attribute in self._attributes]


def _read(file: KernelFile, *, keep: bool) -> bytes:
    try:
        return file.read().strip()
    except OSError as error:
        # The device is gone; if another one has its name by now, that is the one we mean.
        return file.read_or_nothing().strip() if error.errno == errno.ENODEV else b""
    finally:
        if not keep:
            file.close()


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
