"""Where the numbers of a control group stand, in version 1 and 2 of the kernel's trees."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from perfloop.collectors.kernel import KernelFile

# Version 1 says "no limit" with the largest number of pages.
_NO_LIMIT = 1 << 62


class Place(NamedTuple):
    """A number: in a file alone, or behind a key; `unit` turns it into the base unit (`e-9`).

    `controller` names the tree of version 1, and is empty in version 2, which has one tree.
    """

    controller: str
    file: str
    key: bytes = b""
    unit: bytes = b""


class Tree:
    """The mounted trees: where each version 1 controller is, and version 2."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._unified = root if (root / "cgroup.controllers").exists() else root / "unified"

    def folder(self, controller: str, group: str) -> Path:
        """Return where a group is, for a controller of version 1, or for version 2."""
        tree = self._root / controller if controller else self._unified
        return tree / group.lstrip("/")

    def own(self, membership: bytes) -> Callable[[str], str]:
        """Return which group a process is in for each controller; `membership` is its /proc/PID/cgroup."""
        groups: dict[str, str] = {}
        for line in membership.decode("utf-8", "surrogateescape").splitlines():
            _, _, rest = line.partition(":")
            controllers, _, group = rest.partition(":")
            groups.update(dict.fromkeys(controllers.split(","), group))

        def group_of(controller: str) -> str:
            group = groups.get(controller, "/")
            # A container without a namespace for groups is told a path that only its host can see.
            return group if self.folder(controller, group).is_dir() else "/"

        return group_of


class GroupFiles:
    """The files of one group, kept open as long as it is the same group: a service that restarts gets a new one."""

    def __init__(
        self,
        tree: Tree,
        group_of: Callable[[str], str],
        *,
        numbers: Iterable[Sequence[Place]],
        others: Iterable[tuple[str, str]],
    ) -> None:
        self._numbers = tuple(numbers)
        self._wanted = {*others, *((place.controller, place.file) for places in self._numbers for place in places)}
        self._folders = {name: tree.folder(name, group_of(name)) for name, _ in self._wanted}
        self._paths = [os.fspath(folder) for folder in self._folders.values()]
        self._seen: list[int] = []
        self._files: dict[tuple[str, str], KernelFile] = {}
        # Of each number, the places that there are: one, mostly.
        self.places: list[list[Place]] = []

    def read(self) -> dict[tuple[str, str], bytes]:
        """Return the content of each file that is there, by controller and name."""
        inodes = list(map(_inode, self._paths))
        if inodes != self._seen:
            self.close()
            paths = {(controller, name): self._folders[controller] / name for controller, name in self._wanted}
            self._files = {wanted: KernelFile(path) for wanted, path in paths.items() if path.exists()}
            self.places = [[p for p in places if (p.controller, p.file) in self._files] for places in self._numbers]
            self._seen = inodes
        return {wanted: file.read_or_nothing() for wanted, file in self._files.items()}

    @property
    def exists(self) -> bool:
        """Whether the group was there at the last reading."""
        return any(self._seen)

    def close(self) -> None:
        """Close the files. Twice is harmless."""
        for file in self._files.values():
            file.close()
        self._files, self._seen = {}, []


def _inode(folder: str) -> int:
    try:
        return os.stat(folder).st_ino  # noqa: PTH116 - a Path takes three times as long
    except OSError:
        return 0


def value(contents: Mapping[tuple[str, str], bytes], places: Iterable[Place]) -> bytes:
    """Return the token at the first of the places that has a number; no number and no limit are the empty token."""
    for place in places:
        text = contents.get((place.controller, place.file), b"")
        token = _behind(place.key, text) if place.key else text.strip()
        if _is_number(token) and int(token) < _NO_LIMIT:
            return token + place.unit
    return b""


def _is_number(token: bytes) -> bool:
    """Whether it is a whole number of 64 bits at most."""
    return token.isdigit() and len(token) <= 20


def _behind(key: bytes, text: bytes) -> bytes:
    return (b"\n" + text).partition(b"\n%b " % key)[2].partition(b"\n")[0].strip()


def cpu_limit(contents: Mapping[tuple[str, str], bytes]) -> float | None:
    """Return how many CPUs the group may use, None if there is no limit."""
    old = contents.get(("cpu", "cpu.cfs_quota_us"), b"") + b" " + contents.get(("cpu", "cpu.cfs_period_us"), b"")
    for text in (contents.get(("", "cpu.max"), b""), old):
        fields = text.split()
        # `max` and -1 stand for "no limit".
        if len(fields) == 2 and all(map(_is_number, fields)) and int(fields[1]):
            return int(fields[0]) / int(fields[1])
    return None


def disks_of(contents: Mapping[tuple[str, str], bytes]) -> Iterator[tuple[bytes, tuple[bytes, bytes, bytes, bytes]]]:
    """Return for each device, as MAJOR:MINOR, bytes read and written, and reads and writes."""
    for line in contents.get(("", "io.stat"), b"").splitlines():
        device, *pairs = line.split() or [b""]
        said = dict(pair.partition(b"=")[::2] for pair in pairs)
        yield (
            device,
            (_number(said, b"rbytes"), _number(said, b"wbytes"), _number(said, b"rios"), _number(said, b"wios")),
        )
    moved, done = (
        _by_device(contents.get(("blkio", f"blkio.throttle.{name}"), b""))
        for name in ("io_service_bytes", "io_serviced")
    )
    for device, said in moved.items():
        count = done.get(device, {})
        yield (
            device,
            (_number(said, b"Read"), _number(said, b"Write"), _number(count, b"Read"), _number(count, b"Write")),
        )


def _by_device(text: bytes) -> dict[bytes, dict[bytes, bytes]]:
    devices: dict[bytes, dict[bytes, bytes]] = {}
    for line in text.splitlines():
        if len(fields := line.split()) == 3:
            devices.setdefault(fields[0], {})[fields[1]] = fields[2]
    return devices


def _number(said: Mapping[bytes, bytes], key: bytes) -> bytes:
    token = said.get(key, b"")
    return token if token.isdigit() else b""
