"""node_exporter's names for the host's families."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from perfloop.collectors import filesystem
from perfloop.collectors.compat.node_alias import named, only_theirs, theirs
from perfloop.collectors.host import cpu, disks, identity, load, memory, timex
from perfloop.collectors.table import Part, Rows, Survey, keyed
from perfloop.model import Alias, Family, MetricType

_NOT_IN_A_NAME = re.compile(r"[()]")


def _memory(key: str) -> str:
    unit = "" if key.startswith("HugePages_") else "_bytes"
    return f"memory_{_NOT_IN_A_NAME.sub('', key.replace('(', '_'))}{unit}"


_STAT = {
    cpu.CPU_SECONDS: "cpu_seconds_total",
    cpu.GUEST_SECONDS: "cpu_guest_seconds_total",
    cpu.COUNTS[b"btime"]: "boot_time_seconds",
    cpu.COUNTS[b"intr"]: "intr_total",
    cpu.COUNTS[b"ctxt"]: "context_switches_total",
    cpu.COUNTS[b"processes"]: "forks_total",
    cpu.COUNTS[b"procs_running"]: "procs_running",
    cpu.COUNTS[b"procs_blocked"]: "procs_blocked",
    cpu.RUNNING_SECONDS: "schedstat_running_seconds_total",
    cpu.WAITING_SECONDS: "schedstat_waiting_seconds_total",
    cpu.TIMESLICES: "schedstat_timeslices_total",
}
# By the column of /proc/diskstats.
_DISKS = {
    3: "reads_completed_total",
    4: "reads_merged_total",
    5: "read_bytes_total",
    6: "read_time_seconds_total",
    7: "writes_completed_total",
    8: "writes_merged_total",
    9: "written_bytes_total",
    10: "write_time_seconds_total",
    11: "io_now",
    12: "io_time_seconds_total",
    13: "io_time_weighted_seconds_total",
    14: "discards_completed_total",
    15: "discards_merged_total",
    17: "discard_time_seconds_total",
    18: "flush_requests_total",
    19: "flush_requests_time_seconds_total",
}
_LOAD = dict(zip(load.LOAD, ("load1", "load5", "load15"), strict=True)) | dict(
    zip(load.FILES, ("filefd_allocated", "filefd_maximum"), strict=True)
)
_IDENTITY = {
    disks.INFO: "disk_info",
    identity.UNAME: "uname_info",
    identity.OS: "os_info",
    identity.TIME: "time_seconds",
    identity.ZONE_OFFSET: "time_zone_offset_seconds",
    timex.SYNCHRONIZED: "timex_sync_status",
    timex.OFFSET: "timex_offset_seconds",
    timex.MAXIMUM_ERROR: "timex_maxerror_seconds",
    timex.ESTIMATED_ERROR: "timex_estimated_error_seconds",
    timex.FREQUENCY: "timex_frequency_adjustment_ratio",
    timex.TAI_OFFSET: "timex_tai_offset_seconds",
    timex.TICK: "timex_tick_seconds",
    timex.TIME_CONSTANT: "timex_loop_time_constant",
    timex.STATUS: "timex_status",
}
_FILESYSTEM = dict(
    zip(
        filesystem.FAMILIES,
        ("size_bytes", "avail_bytes", "free_bytes", "files", "files_free", "readonly", "device_error"),
        strict=True,
    )
)
_DISK_FAMILIES = disks.SECTORS | disks.MILLISECONDS | disks.COUNTS

ALIASES: Mapping[Family, Alias] = {
    **named(_STAT),
    **named({family: _memory(key) for key, family in memory.MEMORY.items()}),
    **named({family: f"vmstat_{key.decode()}" for key, family in memory.PAGING.items()}, MetricType.UNTYPED),
    **named({_DISK_FAMILIES[column]: f"disk_{name}" for column, name in _DISKS.items()}),
    **named(_LOAD),
    **named(_IDENTITY),
    **named({family: f"filesystem_{name}" for family, name in _FILESYSTEM.items()}),
    identity.CLOCKSOURCE: theirs("time_clocksource_current_info", identity.CLOCKSOURCE, clocksource="name"),
}
_DISCARDED = only_theirs("disk_discarded_sectors_total", MetricType.COUNTER, "Sectors of /proc/diskstats", "device")


def _survey_discarded(rows: Rows) -> Iterator[Part]:
    found = [row for row in disks.disks(rows) if len(row.fields) > 16]
    yield Part([_DISCARDED], [(row.fields[2],) for row in found], [row.start + 16 for row in found])


def _survey_pressure(resource: str) -> Survey:
    """Return the survey of what has our label `resource` in its name."""
    names = {
        family: only_theirs(
            f"pressure_{resource}_{how}_seconds_total", MetricType.COUNTER, f"/proc/pressure/{resource}"
        )
        for family, how in ((load.WAITING_SECONDS, "waiting"), (load.STALLED_SECONDS, "stalled"))
    }

    def survey(rows: Rows) -> Iterator[Part]:
        for part in load.survey_pressure(resource)(rows):
            families = [names[family] for family in part.families]
            yield Part(families, [()], part.places, exponents=dict.fromkeys(families, -6))

    return survey


# What has another unit, or another cut, there: by the source that it is read from.
SURVEYS: Mapping[str, tuple[Survey, ...]] = {
    "diskstats": (_survey_discarded,),
    "vmstat": (
        keyed(
            {
                key: only_theirs(f"vmstat_{key.decode()}", MetricType.UNTYPED, "KiB of /proc/vmstat")
                for key in (b"pgpgin", b"pgpgout")
            }
        ),
    ),
    **{f"pressure/{resource}": (_survey_pressure(resource),) for resource in load.RESOURCES},
}
