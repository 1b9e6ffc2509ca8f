"""Where packets queue and neighbours are kept: softnet, conntrack and ARP, below /proc/net."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from perfloop.collectors.kernel import KernelFile
from perfloop.collectors.net.family import counter, gauge
from perfloop.collectors.table import Garbled
from perfloop.exposition.block import Aliases, Block
from perfloop.exposition.text import Samples, number

# By the column of /proc/net/softnet_stat.
SOFTNET = {
    0: counter("softnet_processed", "Packets each CPU processed, /proc/net/softnet_stat.", "cpu"),
    1: counter("softnet_dropped", "Packets lost to a CPU's full backlog, /proc/net/softnet_stat.", "cpu"),
    2: counter("softnet_squeezed", "Times a CPU left packets for later, /proc/net/softnet_stat.", "cpu"),
}
_CPU_COLUMN = 12
ENTRIES = gauge("conntrack_entries", "Connections that are tracked, nf_conntrack_count.")
LIMIT = gauge("conntrack_limit", "Connections that can be tracked, nf_conntrack_max.")
# By the head of /proc/net/stat/nf_conntrack.
CONNTRACK = {
    b"found": counter("conntrack_found", "Look-ups that found a connection, /proc/net/stat/nf_conntrack."),
    b"invalid": counter("conntrack_invalid", "Packets that cannot be tracked, /proc/net/stat/nf_conntrack."),
    b"ignore": counter("conntrack_ignored", "Packets that need not be tracked, /proc/net/stat/nf_conntrack."),
    b"insert": counter("conntrack_inserts", "Connections inserted, /proc/net/stat/nf_conntrack."),
    b"insert_failed": counter("conntrack_insert_failures", "Inserts that failed, /proc/net/stat/nf_conntrack."),
    b"drop": counter("conntrack_drops", "Packets lost as tracking failed, /proc/net/stat/nf_conntrack."),
    b"early_drop": counter("conntrack_early_drops", "Entries dropped to make room, /proc/net/stat/nf_conntrack."),
    b"search_restart": counter("conntrack_restarts", "Look-ups begun anew, /proc/net/stat/nf_conntrack."),
}
ARP = gauge("arp_entries", "Neighbours in the ARP table, /proc/net/arp.", "device")
FAMILIES = (*SOFTNET.values(), ENTRIES, LIMIT, *CONNTRACK.values(), ARP)


class Softnet:
    """A line of hexadecimal numbers for each CPU that is on."""

    def __init__(self, file: KernelFile, *, aliases: Aliases | None = None) -> None:
        self._file, self._block = file, Block(tuple(SOFTNET.values()), aliases=aliases)

    def read(self) -> Samples:
        """Read the file. Raises OSError and Garbled."""
        rows = {}
        for i, line in enumerate(self._file.read().splitlines()):
            fields = line.split()
            if len(fields) <= max(SOFTNET):
                raise Garbled("softnet_stat: too few columns")
            # Before Linux 5.10 lines are not numbered; then they are those of all CPUs.
            cpu = _hexadecimal(fields[_CPU_COLUMN:][:1]) or [i]
            rows[number(cpu[0])] = list(map(number, _hexadecimal([fields[column] for column in SOFTNET])))
        return self._block.render([(cpu,) for cpu in rows], rows.values())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Conntrack:
    """Counters for each CPU below a head; entries and limit in files of their own."""

    def __init__(
        self, table: KernelFile, *, count: KernelFile, limit: KernelFile, aliases: Aliases | None = None
    ) -> None:
        self._table, self._count, self._limit = table, count, limit
        self._block = Block((ENTRIES, LIMIT, *CONNTRACK.values()), aliases=aliases)

    def read(self) -> Samples:
        """Read the files; there are none until something tracks connections. Raises OSError and Garbled."""
        limit, text = self._limit.read().strip(), self._table.read_or_nothing()
        head, *rows = [line.split() for line in text.splitlines()] or [[]]
        columns = dict(zip(head, zip(*rows, strict=False), strict=False))
        # Every line has the sum in this column. It is that of the table's own network, which the file's need not be.
        entries = _hexadecimal(columns.get(b"entries", ()))
        count = number(entries[0]) if entries else self._count.read_or_nothing().strip()
        if not (limit.isdigit() and (count.isdigit() or not count)):
            raise Garbled("nf_conntrack: not a number")
        sums = [number(sum(_hexadecimal(columns[key]))) if key in columns else b"" for key in CONNTRACK]
        return self._block.render_row([count, limit, *sums])

    def close(self) -> None:
        """Close the files."""
        for file in (self._table, self._count, self._limit):
            file.close()


class Neighbours:
    """A line for each neighbour, which ends with the device."""

    def __init__(self, file: KernelFile, *, aliases: Aliases | None = None) -> None:
        self._file, self._block = file, Block([ARP], aliases=aliases)

    def read(self) -> Samples:
        """Read the file. Raises OSError."""
        lines = [line.split() for line in self._file.read().splitlines()[1:]]
        counts = Counter(fields[-1] for fields in lines if fields)
        return self._block.render_tokens([(device,) for device in counts], tuple(map(number, counts.values())))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _hexadecimal(fields: Sequence[bytes]) -> list[int]:
    """Return the numbers. Raises Garbled."""
    try:
        return [int(field, 16) for field in fields]
    except ValueError as error:
        raise Garbled("not hexadecimal") from error
