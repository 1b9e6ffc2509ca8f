"""Which processes belong together: by pid, pid file, name, command line, systemd unit, cgroup or user."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

# The kernel keeps 15 bytes of a process's name.
_NAME_BYTES = 15


class Traits(Protocol):
    """What a process is recognised by; only `pid` and `name` cost nothing to ask for. All may raise OSError."""

    @property
    def pid(self) -> int:
        """Its number."""

    @property
    def name(self) -> bytes:
        """Its name, as the kernel cuts it."""

    def command_line(self) -> str:
        """Return its arguments, joined by spaces; nothing for a thread of the kernel."""

    def cgroups(self) -> Sequence[str]:
        """Return the paths of its cgroups, one for each hierarchy."""

    def user_id(self) -> int:
        """Return its effective user."""


class Group(Struct, frozen=True, kw_only=True):
    """Processes that are watched together; exactly one of the fields below `name` says which.

    With `children`, the children of its processes are part of it too, if they match no group themselves.
    """

    name: str
    pid: int | None = None
    pid_file: Path | None = None
    names: tuple[str, ...] = ()
    command_line: str = ""
    systemd_unit: str = ""
    cgroup: str = ""
    user: str = ""
    children: bool = False


class Recogniser:
    """Tells which group a process belongs to: the first that it matches, in the order of the configuration."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._files = {i: group.pid_file for i, group in enumerate(groups) if group.pid_file is not None}
        self._pids: dict[int, int | None] = {}
        self._tests = [self._test(i, group) for i, group in enumerate(groups)]

    def refresh(self) -> bool:
        """Read the pid files again; return whether one of them says something else than before."""
        before, self._pids = self._pids, {i: _pid_in(path) for i, path in self._files.items()}
        return self._pids != before

    def group_of(self, process: Traits) -> int | None:
        """Return the index of its group, or None; None, too, when it ends meanwhile."""
        try:
            return next((i for i, test in enumerate(self._tests) if test(process)), None)
        except OSError:
            return None

    def _test(self, index: int, group: Group) -> Callable[[Traits], bool]:
        if group.pid is not None:
            return lambda process: process.pid == group.pid
        if group.pid_file is not None:
            return lambda process: process.pid == self._pids.get(index)
        if group.names:
            names = {name.encode()[:_NAME_BYTES] for name in group.names}
            return lambda process: process.name in names
        if group.command_line:
            search = re.compile(group.command_line).search
            return lambda process: search(process.command_line()) is not None
        if group.user:
            user_id = _user_id(group.user)
            return lambda process: process.user_id() == user_id
        return _cgroup_test(group)


def _cgroup_test(group: Group) -> Callable[[Traits], bool]:
    if group.systemd_unit:
        unit = f"/{group.systemd_unit}/"
        return lambda process: any(unit in f"{path}/" for path in process.cgroups())
    folder = f"/{group.cgroup.strip('/')}/"
    return lambda process: any(f"{path}/".startswith(folder) for path in process.cgroups())


def _pid_in(path: Path) -> int | None:
    """Return the pid in a file. No file, an empty or a broken one: nobody, as while a service restarts."""
    try:
        words = path.read_bytes()[:64].split()
    except OSError:
        return None
    return int(words[0]) if words and words[0].isdigit() else None


def _user_id(user: str) -> int | None:
    """Return the number of a user by name or number; None, who is nobody, while there is no such user."""
    if user.isdigit():
        return int(user)
    import pwd  # noqa: PLC0415 - not there on every system

    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def children_of(groups: Sequence[Group]) -> Iterator[int]:
    """Return the indices of the groups whose processes' children belong to them."""
    return (i for i, group in enumerate(groups) if group.children)
