"""Sockets and their memory: /proc/net/sockstat and /proc/net/sockstat6."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from perfloop.collectors.net.family import gauge
from perfloop.collectors.table import Part, Rows, Survey
from perfloop.model import Family

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
Fields = Mapping[tuple[bytes, bytes], Family]


def _gauge(protocol: str, field: str, name: str, text: str) -> dict[tuple[bytes, bytes], Family]:
    return {(protocol.encode(), field.encode()): gauge(name, f"{text}, {protocol} {field} of /proc/net/sockstat.")}


def _gauge6(protocol: str, field: str, name: str, text: str) -> dict[tuple[bytes, bytes], Family]:
    return {(protocol.encode(), field.encode()): gauge(name, f"{text}, {protocol} {field} of /proc/net/sockstat6.")}


# Protocol and field: family.
SOCKSTAT: Fields = (
    _gauge("sockets", "used", "sockets", "Sockets of all kinds")
    | _gauge("TCP", "inuse", "tcp_sockets", "TCP sockets of IPv4, without those in TIME-WAIT")
    | _gauge("TCP", "orphan", "tcp_orphaned_sockets", "TCP sockets that no program has open any more")
    | _gauge("TCP", "tw", "tcp_time_wait_sockets", "TCP sockets in TIME-WAIT")
    | _gauge("TCP", "alloc", "tcp_allocated_sockets", "TCP sockets of both versions that hold memory")
    | _gauge("UDP", "inuse", "udp_sockets", "UDP sockets of IPv4")
    | _gauge("UDPLITE", "inuse", "udplite_sockets", "UDP-Lite sockets of IPv4")
    | _gauge("RAW", "inuse", "raw_sockets", "Raw sockets of IPv4")
    | _gauge("FRAG", "inuse", "fragmented_packets", "Packets of IPv4 of which fragments are missing")
    | _gauge("FRAG", "memory", "fragment_bytes", "Memory of fragments of IPv4")
)
PAGES: Fields = _gauge("TCP", "mem", "tcp_memory_bytes", "Memory of TCP's buffers") | _gauge(
    "UDP", "mem", "udp_memory_bytes", "Memory of UDP's buffers"
)
SOCKSTAT6: Fields = (
    _gauge6("TCP6", "inuse", "tcp6_sockets", "TCP sockets of IPv6")
    | _gauge6("UDP6", "inuse", "udp6_sockets", "UDP sockets of IPv6")
    | _gauge6("UDPLITE6", "inuse", "udplite6_sockets", "UDP-Lite sockets of IPv6")
    | _gauge6("RAW6", "inuse", "raw6_sockets", "Raw sockets of IPv6")
    | _gauge6("FRAG6", "inuse", "fragmented6_packets", "Packets of IPv6 of which fragments are missing")
    | _gauge6("FRAG6", "memory", "fragment6_bytes", "Memory of fragments of IPv6")
)
FAMILIES = (*SOCKSTAT.values(), *PAGES.values(), *SOCKSTAT6.values())


def survey_sockets(families: Fields, *, factor: int = 1) -> Survey:
    """Return the survey of lines with a protocol, then words and numbers by turns."""

    def survey(rows: Rows) -> Iterator[Part]:
        said: dict[Family, int] = {}
        for row in rows:
            protocol = row.fields[0].rstrip(b":")
            for i in range(1, len(row.fields) - 1, 2):
                if family := families.get((protocol, row.fields[i])):
                    said.setdefault(family, row.start + i + 1)
        if said:
            yield Part(list(said), [()], list(said.values()), factor=factor)

    return survey
