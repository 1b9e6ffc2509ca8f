"""CPU time, interrupts, context switches, forks and boot time: /proc/stat; time in run queues: /proc/schedstat."""

from __future__ import annotations

import re
from collections.abc import Iterator

from perfloop.collectors.host.family import counter, gauge
from perfloop.collectors.kernel import KernelFile
from perfloop.collectors.table import Part, Row, Rows, Table, keyed, unique
from perfloop.exposition.block import Aliases
from perfloop.exposition.text import Samples

# guest and guest_nice are part of user and nice already: with them the sum over modes would count them twice.
MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
GUEST_MODES = ("user", "nice")
_GUEST_COLUMN = 1 + len(MODES)
_CPU = re.compile(rb"cpu\d+")

CPU_SECONDS = counter("cpu_seconds", "Time each CPU spent in each mode, from /proc/stat.", "cpu", "mode")
GUEST_SECONDS = counter(
    "cpu_guest_seconds", "Time each CPU spent in virtual machines, part of user and nice, /proc/stat.", "cpu", "mode"
)
BOOT_TIMESTAMP = gauge("boot_timestamp_seconds", "When this host was booted, btime of /proc/stat.")
COUNTS = {
    b"btime": BOOT_TIMESTAMP,
    b"intr": counter("interrupts", "Interrupts that were served, intr of /proc/stat."),
    b"ctxt": counter("context_switches", "Switches from one task to another, ctxt of /proc/stat."),
    b"processes": counter("forks", "Processes and threads that were started, processes of /proc/stat."),
    b"procs_running": gauge("tasks_running", "Tasks that run or are ready to, procs_running of /proc/stat."),
    b"procs_blocked": gauge("tasks_blocked", "Tasks that wait for disks, procs_blocked of /proc/stat."),
}
RUNNING_SECONDS = counter("schedule_running_seconds", "Time in which tasks ran, /proc/schedstat.", "cpu")
WAITING_SECONDS = counter("schedule_waiting_seconds", "Time for which ready tasks waited, /proc/schedstat.", "cpu")
TIMESLICES = counter("schedule_timeslices", "Slices of time that were given to tasks, /proc/schedstat.", "cpu")
SCHEDULE = (RUNNING_SECONDS, WAITING_SECONDS, TIMESLICES)
FAMILIES = (CPU_SECONDS, GUEST_SECONDS, *COUNTS.values(), *SCHEDULE)


class StatFile:
    """/proc/stat: a table of CPUs, a line of thousands of interrupts that is cut short, and keys with values."""

    def __init__(self, file: KernelFile, *, aliases: Aliases | None = None) -> None:
        self._file, self._table = file, Table([survey_cpus, keyed(COUNTS)], aliases=aliases)

    def read(self) -> Samples:
        """Read the file. Raises OSError and Garbled."""
        cpus, _, rest = self._file.read().partition(b"\nintr ")
        interrupts, _, counts = rest.partition(b"\n")
        return self._table.render(b"%b\nintr %b\n%b" % (cpus, interrupts.partition(b" ")[0], counts))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def survey_cpus(rows: Rows) -> Iterator[Part]:
    """Find the CPUs that are there now; the first line sums them up, which sum() can do."""
    cpus = _cpus(rows, columns=5)
    times = [(row, i) for row in cpus for i in range(min(len(row.fields) - 1, len(MODES)))]
    yield Part(
        [CPU_SECONDS],
        [(row.fields[0][3:], MODES[i]) for row, i in times],
        [row.start + 1 + i for row, i in times],
        # USER_HZ, the unit of /proc/stat, is 1/100 s wherever Linux and Python run today.
        exponents={CPU_SECONDS: -2},
    )
    guests = [row for row in cpus if len(row.fields) >= _GUEST_COLUMN + len(GUEST_MODES)]
    yield Part(
        [GUEST_SECONDS],
        [(row.fields[0][3:], mode) for row in guests for mode in GUEST_MODES],
        [row.start + _GUEST_COLUMN + i for row in guests for i in range(len(GUEST_MODES))],
        exponents={GUEST_SECONDS: -2},
    )


def survey_schedstat(rows: Rows) -> Iterator[Part]:
    """Find the last three columns of each CPU; those before them belong to the scheduler's developers."""
    cpus = _cpus(rows, columns=10)
    yield Part(
        SCHEDULE,
        [(row.fields[0][3:],) for row in cpus],
        [row.start + column for column in (7, 8, 9) for row in cpus],
        exponents={RUNNING_SECONDS: -9, WAITING_SECONDS: -9},
    )


def _cpus(rows: Rows, *, columns: int) -> list[Row]:
    return unique((row for row in rows if len(row.fields) >= columns and _CPU.fullmatch(row.fields[0])), column=0)
