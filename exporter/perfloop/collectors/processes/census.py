"""Who belongs to which group: found out once for each process, and again when that may have changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from perfloop.collectors.processes.files import Usage
from perfloop.collectors.processes.groups import Group, Recogniser, Traits, children_of

# Whoever is in no group may still change its name, user or cgroup: it is looked at again every so many scrapes.
_TURNS = 16


class Process(Traits, Protocol):
    """One process that is alive, or was. `identity` tells it from another one with the same pid."""

    @property
    def identity(self) -> int:
        """A number that no other process with this pid has."""

    @property
    def parent(self) -> int:
        """The pid of its parent when it was first seen."""

    @property
    def started_at(self) -> float:
        """When it started, in Unix seconds."""

    def usage(self) -> Usage:
        """Read what it uses now. Raises OSError once it has ended."""


class Source(Protocol):
    """Where processes are found; `proportional` says whether Usage has proportional bytes."""

    @property
    def proportional(self) -> bool:
        """Whether it has: it is dear."""

    def pids(self) -> dict[int, int]:
        """Return the pids, each with a mark that changes, if it can, when another process gets the pid."""

    def open(self, pid: int) -> Process:
        """Return a process. Raises OSError when there is none."""


@dataclass(slots=True)
class Known:
    """One process that was seen at all, and the group that it was found to belong to."""

    identity: int
    first_seen: int
    parent: int
    group: int | None = None


@dataclass(slots=True)
class Member:
    """One process of a group. `last` is what it had used at the last reading, as in Usage.

    Before the first reading: nothing for one that has just started, None for an old one, whose past does not count.
    """

    group: int
    process: Process
    name: bytes
    last: Sequence[int | None] | None = None


class Census:
    """Keeps the members of the groups from scrape to scrape."""

    def __init__(self, groups: Sequence[Group], source: Source) -> None:
        self._recogniser, self._source, self._parental = Recogniser(groups), source, frozenset(children_of(groups))
        self._marks: dict[int, int] = {}
        self._known: dict[int, Known] = {}
        self._members: dict[int, Member] = {}
        self._renamed: set[int] = set()
        self._number = 0

    def update(self) -> list[int]:
        """Look who is there. Returns the group of each member that started since the last time. Raises OSError."""
        self._number += 1
        marks = self._source.pids()
        for pid in self._marks.keys() - marks.keys():
            self._forget(pid)
        suspects = {pid for pid, _ in marks.items() - self._marks.items()} | self._renamed | self._due()
        self._marks, self._renamed = marks, set()
        if self._recogniser.refresh():
            suspects = set(marks)
        opened = {pid: process for pid in suspects if (process := self._open(pid)) is not None}
        groups = {pid: self._recogniser.group_of(process) for pid, process in opened.items()}
        self._inherit(groups)
        return [group for pid, group in groups.items() if self._settle(opened[pid], group) and group is not None]

    def readings(self) -> Iterator[tuple[Member, Usage]]:
        """Read what each member uses; whoever has ended is left out."""
        for pid, member in list(self._members.items()):
            try:
                usage = member.process.usage()
            except OSError as error:
                self._miss(pid, error)
                continue
            if member.process.name != member.name:
                self._renamed.add(pid)
            yield member, usage

    def _due(self) -> set[int]:
        """Return who is in no group, but perhaps only since it had not become what it was started for."""
        turn, last = self._number % _TURNS, self._number - 1
        return {
            pid
            for pid, known in self._known.items()
            if known.group is None and (known.first_seen == last or pid % _TURNS == turn)
        }

    def _open(self, pid: int) -> Process | None:
        """Open a process and know it from now on; None if it is gone."""
        try:
            process = self._source.open(pid)
        except OSError as error:
            self._miss(pid, error)
            return None
        known = self._known.get(pid)
        if known is None or known.identity != process.identity:
            self._members.pop(pid, None)
            known = self._known[pid] = Known(process.identity, self._number, process.parent)
        known.parent = process.parent
        return process

    def _inherit(self, groups: dict[int, int | None]) -> None:
        """Give children the group of their parent, theirs the same, and so on."""
        lonely = {pid for pid, group in groups.items() if group is None} if self._parental else set()
        while heirs := {pid: group for pid in lonely if (group := self._of_parent(pid, groups)) in self._parental}:
            groups.update(heirs)
            lonely -= heirs.keys()

    def _of_parent(self, pid: int, groups: dict[int, int | None]) -> int | None:
        parent = self._known[pid].parent
        known = self._known.get(parent)
        return groups.get(parent, known.group if known else None)

    def _settle(self, process: Process, group: int | None) -> bool:
        """Put a process into its group; return whether it is a member that started since the last time."""
        pid, known = process.pid, self._known[process.pid]
        old, known.group = self._members.pop(pid, None), group
        if group is None:
            return False
        member = self._members[pid] = Member(group, process, process.name)
        # A process may have been seen a moment before it executed what it was started for.
        starts = old is None and known.first_seen > 1 and self._number - known.first_seen <= 1
        member.last = old.last if old is not None else () if starts else None
        return starts

    def _miss(self, pid: int, error: OSError) -> None:
        """Look at a process again next time. Unless it has ended, it is not a new one then."""
        self._marks.pop(pid, None)
        self._members.pop(pid, None)
        if isinstance(error, FileNotFoundError | ProcessLookupError):
            self._known.pop(pid, None)

    def _forget(self, pid: int) -> None:
        self._known.pop(pid, None)
        self._members.pop(pid, None)
