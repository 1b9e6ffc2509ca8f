"""Operations, bytes and time of each disk: /proc/diskstats; what udev knows of its make: /run/udev/data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from perfloop.collectors.host.family import counter, gauge, info
from perfloop.collectors.table import Part, Row, Rows, Survey, unique

# Partitions are part of their disk, ram and loop devices are no disks: a sum over devices must make sense.
NOT_A_DISK = re.compile(rb"(ram|loop|fd|(h|s|v|xv)d[a-z]+|nvme\d+n\d+p|mmcblk\d+p)\d+")
_NAME = 2
_SECTOR_BYTES = 512

INFO = info(
    "disk",
    "Number of the disk, /proc/diskstats, and its make, /run/udev/data.",
    *("device", "major", "minor", "path", "wwn", "model", "serial", "revision"),
)
# In the order of the labels.
_UDEV = tuple(re.compile(rf"^E:ID_{key}=(.*)$", re.M) for key in ("PATH", "WWN", "MODEL", "SERIAL_SHORT", "REVISION"))
# Column of /proc/diskstats: family. Kernels before 4.18 and 5.5 have fewer columns.
SECTORS = {
    5: counter("disk_read_bytes", "Bytes read, from /proc/diskstats.", "device"),
    9: counter("disk_written_bytes", "Bytes written, from /proc/diskstats.", "device"),
    16: counter("disk_discarded_bytes", "Bytes discarded, from /proc/diskstats.", "device"),
}
MILLISECONDS = {
    6: counter("disk_read_seconds", "Time that reads took, summed, from /proc/diskstats.", "device"),
    10: counter("disk_write_seconds", "Time that writes took, summed, from /proc/diskstats.", "device"),
    12: counter("disk_io_seconds", "Time in which the disk was busy, from /proc/diskstats.", "device"),
    13: counter("disk_queue_seconds", "Time of all requests, waiting included, from /proc/diskstats.", "device"),
    17: counter("disk_discard_seconds", "Time that discards took, summed, from /proc/diskstats.", "device"),
    19: counter("disk_flush_seconds", "Time that flushes took, summed, from /proc/diskstats.", "device"),
}
COUNTS = {
    3: counter("disk_reads", "Reads that were completed, from /proc/diskstats.", "device"),
    4: counter("disk_reads_merged", "Reads that were joined with others, from /proc/diskstats.", "device"),
    7: counter("disk_writes", "Writes that were completed, from /proc/diskstats.", "device"),
    8: counter("disk_writes_merged", "Writes that were joined with others, from /proc/diskstats.", "device"),
    11: gauge("disk_io_in_progress", "Requests at work now, from /proc/diskstats.", "device"),
    14: counter("disk_discards", "Discards that were completed, from /proc/diskstats.", "device"),
    15: counter("disk_discards_merged", "Discards that were joined with others, from /proc/diskstats.", "device"),
    18: counter("disk_flushes", "Flushes that were completed, from /proc/diskstats.", "device"),
}
_EXPONENTS = dict.fromkeys(MILLISECONDS.values(), -3)
FAMILIES = (INFO, *SECTORS.values(), *MILLISECONDS.values(), *COUNTS.values())


def disks(rows: Rows) -> list[Row]:
    """Return the lines of whole disks."""
    return unique((row for row in rows if len(row.fields) >= 14 and not NOT_A_DISK.fullmatch(row.fields[_NAME])), _NAME)


def survey_disks(udev: Path) -> Survey:
    """Return the survey of /proc/diskstats; `udev` is read when a disk comes or goes."""

    def survey(rows: Rows) -> Iterator[Part]:
        found = disks(rows)
        labels = [(row.fields[_NAME],) for row in found]
        width = min((len(row.fields) for row in found), default=0)
        for columns, factor in (SECTORS, _SECTOR_BYTES), (MILLISECONDS | COUNTS, 1):
            there = {column: family for column, family in columns.items() if column < width}
            places = [row.start + column for column in there for row in found]
            yield Part(list(there.values()), labels, places, factor=factor, exponents=_EXPONENTS)
        yield Part([INFO], [_make(row, udev) for row in found], places=())

    return survey


def _make(row: Row, udev: Path) -> tuple[bytes | str, ...]:
    major, minor, name = row.fields[:3]
    try:
        known = (udev / f"b{major.decode()}:{minor.decode()}").read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        known = ""
    found = [pattern.search(known) for pattern in _UDEV]
    return (name, major, minor, *(match[1] if match else "" for match in found))
