"""Which system this is, and what time it has: uname, os-release, the clock and its source."""

from __future__ import annotations

import errno
import os
import shlex
import time
from collections.abc import Iterable
from pathlib import Path

from perfloop.collectors.host.family import gauge, info
from perfloop.collectors.kernel import KernelFile
from perfloop.collectors.table import Garbled
from perfloop.exposition.block import Aliases, Block
from perfloop.exposition.text import Samples, number

UNAME = info(
    "uname",
    "What uname(2) says of this host.",
    *("sysname", "release", "version", "machine", "nodename", "domainname"),
)
_OS_LABELS = (
    *("id", "id_like", "name", "pretty_name", "version", "version_id", "version_codename"),
    *("variant", "variant_id", "build_id", "image_id", "image_version"),
)
OS = info("os", "What os-release says of this host.", *_OS_LABELS)
TIME = gauge("time_seconds", "Unix time of this host's clock.")
ZONE_OFFSET = gauge("time_zone_offset_seconds", "How far local time is ahead of UTC.", "time_zone")
CLOCKSOURCE = info("clocksource", "What the kernel reads time from, /sys/devices/system/clocksource.", "device", "name")
# Clocks are put forward and back at whole quarters of an hour, everywhere.
_GRID_SECONDS = 900.0
FAMILIES = (UNAME, OS, TIME, ZONE_OFFSET, CLOCKSOURCE)


class Uname:
    """uname(2), and the NIS domain, which Python's leaves out."""

    def __init__(self, domain: KernelFile, *, aliases: Aliases | None = None) -> None:
        self._domain, self._block = domain, Block([UNAME], aliases=aliases)

    def read(self) -> Samples:
        """Ask the kernel."""
        said, domain = os.uname(), self._domain.read_or_nothing().strip()
        labels = (said.sysname, said.release, said.version, said.machine, said.nodename, domain)
        return self._block.render_tokens([labels], (b"1",))

    def close(self) -> None:
        """Close the file."""
        self._domain.close()


class OsRelease:
    """The first os-release there is; read once, as a running system does not become another one."""

    def __init__(self, paths: Iterable[Path], *, aliases: Aliases | None = None) -> None:
        self._labels = [labels for path in paths if (labels := _os_labels(path))][:1]
        self._block = Block([OS], aliases=aliases)

    def read(self) -> Samples:
        """Say what was read. Raises FileNotFoundError."""
        if not self._labels:
            raise FileNotFoundError(errno.ENOENT, "no os-release")
        return self._block.render_tokens(self._labels, (b"1",))

    def close(self) -> None:
        """Nothing is open."""


def _os_labels(path: Path) -> tuple[str, ...]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        words = shlex.split(text, comments=True)
    except (OSError, ValueError):
        return ()
    said = dict(word.partition("=")[::2] for word in words)
    return tuple(said.get(label.upper(), "") for label in _OS_LABELS)


class Now:
    """The clock of this host, and its zone."""

    def __init__(self, *, aliases: Aliases | None = None) -> None:
        self._time = Block([TIME], aliases=aliases)
        self._zone = Block([ZONE_OFFSET], aliases=aliases)
        self._label: list[tuple[str]] = []
        self._offset = b""
        self._checked_at = -_GRID_SECONDS

    def read(self) -> Samples:
        """Ask the clock."""
        now = time.time()
        if now // _GRID_SECONDS != self._checked_at:
            self._checked_at = now // _GRID_SECONDS
            local = time.localtime(now)
            self._label, self._offset = [(local.tm_zone,)], number(local.tm_gmtoff)
        return (
            *self._time.render_row((number(now),)),
            *self._zone.render_tokens(self._label, (self._offset,)),
        )

    def close(self) -> None:
        """Nothing is open."""


class Clocksource:
    """The source of time in force; a kernel that stops trusting the TSC takes a slower one."""

    def __init__(self, folder: Path, *, aliases: Aliases | None = None) -> None:
        self._file = KernelFile(folder / "clocksource0" / "current_clocksource")
        self._block = Block([CLOCKSOURCE], aliases=aliases)

    def read(self) -> Samples:
        """Read the file. Raises OSError and Garbled."""
        name = self._file.read().strip()
        if not name:
            raise Garbled("no name")
        return self._block.render_tokens([(b"0", name)], (b"1",))

    def close(self) -> None:
        """Close the file."""
        self._file.close()
