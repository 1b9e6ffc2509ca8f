"""Load, pressure and open files: /proc/loadavg, /proc/pressure, /proc/sys/fs/file-nr."""

from __future__ import annotations

import re
from collections.abc import Iterator

from perfloop.collectors.host.family import counter, gauge
from perfloop.collectors.kernel import KernelFile
from perfloop.collectors.table import Garbled, Part, Rows, Survey
from perfloop.exposition.block import Aliases, Block
from perfloop.exposition.text import Samples

RESOURCES = ("cpu", "io", "memory")
LOAD = tuple(gauge(f"load{minutes}", f"Load average over {minutes} min, from /proc/loadavg.") for minutes in (1, 5, 15))
WAITING_SECONDS = counter(
    "pressure_waiting_seconds", "Time in which some task waited for the resource, from /proc/pressure.", "resource"
)
STALLED_SECONDS = counter(
    "pressure_stalled_seconds", "Time in which all tasks waited for the resource, from /proc/pressure.", "resource"
)
FILES = (
    gauge("file_descriptors", "Open files of all processes, the first number of /proc/sys/fs/file-nr."),
    gauge("file_descriptors_limit", "How many there may be, the third number of /proc/sys/fs/file-nr."),
)
FAMILIES = (*LOAD, WAITING_SECONDS, STALLED_SECONDS, *FILES)
# some avg10 0.00 avg60 0.00 avg300 0.00 total 1234, once = counts as a blank
_TOTAL_COLUMN = 8
_DECIMAL = re.compile(rb"\d+(\.\d+)?")


class LoadFile:
    """/proc/loadavg: the one file with decimals."""

    def __init__(self, file: KernelFile, *, aliases: Aliases | None = None) -> None:
        self._file, self._block = file, Block(LOAD, aliases=aliases)

    def read(self) -> Samples:
        """Read the file. Raises OSError and Garbled."""
        first = self._file.read().split()[:3]
        # Not by float(), which takes 0_0 and nan as well.
        if len(first) != len(LOAD) or not all(map(_DECIMAL.fullmatch, first)):
            raise Garbled(f"three numbers expected, got {first!r}")
        return self._block.render_row(first)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def survey_pressure(resource: str) -> Survey:
    """Return the survey of one file of /proc/pressure; `full` has no meaning for the CPUs of a whole host."""
    shown = {b"some": WAITING_SECONDS} if resource == "cpu" else {b"some": WAITING_SECONDS, b"full": STALLED_SECONDS}

    def survey(rows: Rows) -> Iterator[Part]:
        places = {row.fields[0]: row.start + _TOTAL_COLUMN for row in rows if len(row.fields) > _TOTAL_COLUMN}
        there = {family: places[key] for key, family in shown.items() if key in places}
        yield Part(list(there), [(resource,)], list(there.values()), exponents=dict.fromkeys(there, -6))

    return survey


def survey_files(rows: Rows) -> Iterator[Part]:
    """Find the first and the third number; the second is always 0."""
    if rows and len(rows[0].fields) == 3:
        yield Part(FILES, [()], [0, 2])
