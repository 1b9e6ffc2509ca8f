"""What IP, ICMP, TCP and UDP count: /proc/net/snmp, /proc/net/netstat and, for version 6, /proc/net/snmp6."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from perfloop.collectors.net.family import counter, gauge
from perfloop.collectors.table import Part, Rows, Survey
from perfloop.model import Family

Fields = Mapping[tuple[bytes, bytes], Family]


def _count(protocol: str, field: str, name: str, text: str) -> dict[tuple[bytes, bytes], Family]:
    return {(protocol.encode(), field.encode()): counter(name, f"{text}, {protocol} {field} of the kernel's counters.")}


def _gauge(protocol: str, field: str, name: str, text: str) -> dict[tuple[bytes, bytes], Family]:
    return {(protocol.encode(), field.encode()): gauge(name, f"{text}, {protocol} {field} of the kernel's counters.")}


def _udp(protocol: str, name: str, version: str = "") -> dict[tuple[bytes, bytes], Family]:
    what = f"over IPv{version}" if version else "over IPv4"
    return (
        _count(protocol, "InDatagrams", f"{name}_receive_datagrams", f"Datagrams delivered {what}")
        | _count(protocol, "NoPorts", f"{name}_no_ports", f"Datagrams {what} for which nobody listened")
        | _count(protocol, "InErrors", f"{name}_receive_errors", f"Datagrams {what} that could not be delivered")
        | _count(protocol, "OutDatagrams", f"{name}_transmit_datagrams", f"Datagrams sent {what}")
        | _count(protocol, "RcvbufErrors", f"{name}_receive_buffer_errors", f"Datagrams {what} lost to full buffers")
        | _count(protocol, "SndbufErrors", f"{name}_transmit_buffer_errors", f"Datagrams {what} not sent for buffers")
    )


def _icmp(protocol: str, name: str) -> dict[tuple[bytes, bytes], Family]:
    return (
        _count(protocol, "InMsgs", f"{name}_receive_messages", "Messages received")
        | _count(protocol, "InErrors", f"{name}_receive_errors", "Messages received with an error")
        | _count(protocol, "OutMsgs", f"{name}_transmit_messages", "Messages sent")
    )


# Protocol and field: family.
SNMP: Fields = (
    _gauge("Ip", "Forwarding", "ip_forwarding", "Is 1 where this host forwards packets, else 2")
    | _icmp("Icmp", "icmp")
    | _count("Tcp", "ActiveOpens", "tcp_active_opens", "Connections that this host began to open")
    | _count("Tcp", "PassiveOpens", "tcp_passive_opens", "Connections that others opened to this host")
    | _count("Tcp", "AttemptFails", "tcp_failed_opens", "Connections that were not established")
    | _count("Tcp", "EstabResets", "tcp_resets", "Established connections that were reset")
    | _gauge("Tcp", "CurrEstab", "tcp_established", "Connections in the states ESTABLISHED and CLOSE-WAIT")
    | _count("Tcp", "InSegs", "tcp_receive_segments", "Segments received")
    | _count("Tcp", "OutSegs", "tcp_transmit_segments", "Segments sent, without those sent again")
    | _count("Tcp", "RetransSegs", "tcp_retransmitted_segments", "Segments sent again")
    | _count("Tcp", "InErrs", "tcp_receive_errors", "Segments received with an error")
    | _count("Tcp", "OutRsts", "tcp_transmit_resets", "Segments sent that reset a connection")
    | _udp("Udp", "udp")
    | _count("UdpLite", "InErrors", "udplite_receive_errors", "Datagrams that could not be delivered")
)
NETSTAT: Fields = (
    _count("TcpExt", "ListenOverflows", "tcp_listen_overflows", "Connections lost as a program accepted too slowly")
    | _count("TcpExt", "ListenDrops", "tcp_listen_drops", "Connections lost before they were accepted, overflows too")
    | _count("TcpExt", "SyncookiesSent", "tcp_syncookies_sent", "SYN cookies sent")
    | _count("TcpExt", "SyncookiesRecv", "tcp_syncookies_received", "SYN cookies that came back")
    | _count("TcpExt", "SyncookiesFailed", "tcp_syncookies_failed", "SYN cookies that came back and were wrong")
    | _count("TcpExt", "TCPSynRetrans", "tcp_retransmitted_opens", "SYN and SYN/ACK segments sent again")
    | _count("TcpExt", "TCPTimeouts", "tcp_retransmission_timeouts", "Retransmission timers that ran out")
    | _count("TcpExt", "TCPFastRetrans", "tcp_fast_retransmitted_segments", "Segments sent again before a timeout")
    | _count("TcpExt", "TCPOFOQueue", "tcp_out_of_order_segments", "Segments received out of order")
    | _count("TcpExt", "TCPRcvQDrop", "tcp_receive_queue_drops", "Segments lost to a full receive queue")
    | _count("TcpExt", "TCPBacklogDrop", "tcp_backlog_drops", "Segments lost to a socket's full backlog")
    | _count("TcpExt", "TCPReqQFullDrop", "tcp_request_queue_drops", "Opening connections lost to a full SYN queue")
    | _count("TcpExt", "TCPTimeWaitOverflow", "tcp_time_wait_overflows", "Sockets that found no room in TIME-WAIT")
    | _count("TcpExt", "TCPAbortOnTimeout", "tcp_timeout_aborts", "Connections given up after timeouts")
    | _count("TcpExt", "TCPAbortOnMemory", "tcp_memory_aborts", "Connections given up for want of memory")
    | _count("TcpExt", "TCPMemoryPressures", "tcp_memory_pressures", "Times TCP ran short of memory")
    | _count("IpExt", "InOctets", "ip_receive_bytes", "Bytes received over IPv4, headers included")
    | _count("IpExt", "OutOctets", "ip_transmit_bytes", "Bytes sent over IPv4, headers included")
)
# /proc/net/snmp6 writes both in one word; in its order they are found fastest.
SNMP6: Fields = (
    _count("Ip6", "InOctets", "ip6_receive_bytes", "Bytes received over IPv6, headers included")
    | _count("Ip6", "OutOctets", "ip6_transmit_bytes", "Bytes sent over IPv6, headers included")
    | _icmp("Icmp6", "icmp6")
    | _udp("Udp6", "udp6", "6")
    | _count("UdpLite6", "InErrors", "udplite6_receive_errors", "Datagrams that could not be delivered")
)
FAMILIES = (*SNMP.values(), *NETSTAT.values(), *SNMP6.values())
SNMP6_KEYS = {protocol + field: family for (protocol, field), family in SNMP6.items()}


def survey_fields(families: Fields) -> Survey:
    """Return the survey of lines in pairs: a protocol and its fields, then the protocol and their values."""

    def survey(rows: Rows) -> Iterator[Part]:
        said: dict[Family, int] = {}
        for head, values in pairwise(rows):
            if head.fields[0] != values.fields[0] or len(head.fields) != len(values.fields):
                continue
            protocol = head.fields[0].rstrip(b":")
            for i, (field, value) in enumerate(zip(head.fields, values.fields, strict=True)):
                if (family := families.get((protocol, field))) and value.isdigit():
                    said.setdefault(family, values.start + i)
        if said:
            yield Part(list(said), [()], list(said.values()))

    return survey
