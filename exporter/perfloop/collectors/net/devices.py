"""Traffic of each network device: /proc/net/dev."""

from __future__ import annotations

from collections.abc import Iterator

from perfloop.collectors.net.family import counter
from perfloop.collectors.table import Part, Row, Rows, unique
from perfloop.model import Family

_COLUMNS = 17


def _counter(name: str, text: str) -> Family:
    return counter(name, f"{text}, from /proc/net/dev.", "device")


# By the column of /proc/net/dev, the device's name being 0.
DEVICES = {
    1: _counter("receive_bytes", "Bytes received"),
    2: _counter("receive_packets", "Packets received"),
    3: _counter("receive_errors", "Packets received with an error"),
    4: _counter("receive_drops", "Packets received and dropped"),
    5: _counter("receive_fifo_errors", "Packets lost to a full buffer of the device"),
    6: _counter("receive_frame_errors", "Packets received with a broken frame"),
    7: _counter("receive_compressed", "Compressed packets received"),
    8: _counter("receive_multicast", "Multicast packets received"),
    9: _counter("transmit_bytes", "Bytes sent"),
    10: _counter("transmit_packets", "Packets sent"),
    11: _counter("transmit_errors", "Packets that failed to be sent"),
    12: _counter("transmit_drops", "Packets dropped instead of sent"),
    13: _counter("transmit_fifo_errors", "Packets that failed to be sent for a buffer of the device"),
    14: _counter("transmit_collisions", "Collisions"),
    15: _counter("transmit_carrier_errors", "Packets that failed to be sent for the lack of a carrier"),
    16: _counter("transmit_compressed", "Compressed packets sent"),
}
FAMILIES = tuple(DEVICES.values())


def survey_devices(rows: Rows) -> Iterator[Part]:
    """Find the devices that are there now."""
    found = devices(rows)
    if found:
        places = [row.start + column for column in DEVICES for row in found]
        yield Part(FAMILIES, [(row.fields[0],) for row in found], places)


def devices(rows: Rows) -> list[Row]:
    """Return the lines below the head; a colon parts a device's name from its numbers."""
    return unique((row for row in rows if len(row.fields) == _COLUMNS and b"".join(row.fields[1:]).isdigit()), 0)
