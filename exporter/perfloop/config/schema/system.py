"""What is measured of the host itself."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from perfloop.config.schema.base import Section

GroupPath = Annotated[
    str,
    Meta(
        pattern=r"^(?!.*(^|/)\.\.?(/|$))[^/\s]+(/[^/\s]+)*$",
        description="the path of a control group below its tree, without a / in front: system.slice/nginx.service",
    ),
]

SystemSource = Literal[
    "stat",
    "meminfo",
    "vmstat",
    "diskstats",
    "loadavg",
    "pressure",
    "file-nr",
    "schedstat",
    "uname",
    "os-release",
    "time",
    "clocksource",
    "timex",
]


class SystemCollector(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The host's CPUs, memory, filesystems, disks, load, pressure and clock."""

    #: Whether it measures.
    enabled: bool = True
    #: Sources that are not read, of those that `perfloop_system_source_success` names.
    without: tuple[SystemSource, ...] = ()


class CgroupCollector(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits, use and throttling of control groups, versions 1 and 2."""

    #: Whether it measures.
    enabled: bool = True
    #: Groups besides the exporter's own, as paths: `system.slice/nginx.service`.
    groups: tuple[GroupPath, ...] = ()
