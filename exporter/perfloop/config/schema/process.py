"""Which processes are watched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from perfloop.config.schema.base import Name, Section

Text = Annotated[str, Meta(min_length=1)]


class ProcessGroup(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Processes that are watched together. Besides its name, a group says exactly one thing of its processes."""

    #: Label `group` of what is measured here, unique.
    name: Name
    #: Their pid.
    pid: Annotated[int, Meta(ge=1)] | None = None
    #: File that holds their pid, read at each scrape; a relative path starts at the folder of perfloop.yml.
    pid_file: Path | None = None
    #: Their names, as in `/proc/PID/comm`; only the first 15 bytes count, as Linux keeps no more.
    names: Annotated[tuple[Text, ...], Meta(min_length=1)] | None = None
    #: Regular expression that is searched for in their command lines; arguments are joined by spaces.
    command_line: Text | None = None
    #: The systemd unit that they run in, as `postgresql.service`.
    systemd_unit: Text | None = None
    #: Their cgroup, or one above it, as `/system.slice`.
    cgroup: Text | None = None
    #: Their effective user, by name or number.
    user: Text | None = None
    #: Whether children that match no group belong to that of their parent; by default for `pid` and `pid_file`.
    children: bool | None = None


class ProcessCollector(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Watched groups of processes. A process counts in the first group that it matches, and only there."""

    #: Whether it measures.
    enabled: bool = True
    #: Whether memory is also counted with what is shared divided among its users (PSS), which is dear.
    proportional_memory: bool = False
    #: The groups; without any, nothing is measured.
    groups: tuple[ProcessGroup, ...] = ()
