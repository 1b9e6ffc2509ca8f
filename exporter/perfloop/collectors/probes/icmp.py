"""ICMP echo (RFC 792, RFC 4443): the sockets that may send it, the packets, and the wait for the right answer."""

from __future__ import annotations

import errno
import os
import socket
import struct
import time

from perfloop.collectors.probes.probing import Deadline, Found, Outcome, ProbeFailed, Reason, resolve

_HEADER = struct.Struct("!BBHHH")
_NONCE_BYTES = 16
_PAYLOAD_BYTES = 56
_MAX_PACKET_BYTES = 1 << 16
# Types of a request and of its answer.
_ECHO = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}
_PROTOCOL = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EPROTONOSUPPORT}


def ping(host: str, *, ip_version: int, sequence: int, deadline: Deadline) -> Outcome:
    """Send one echo request to the first address of the host and say how long its answer took."""
    phases: dict[str, float] = {}
    started_at = time.perf_counter()
    try:
        target = resolve(host, 0, kind=socket.SOCK_DGRAM, ip_version=ip_version)[0]
        phases["dns"] = time.perf_counter() - started_at
        phases["echo"] = seconds = _ping(target, sequence, deadline)
    except ProbeFailed as error:
        return Outcome(failure=error, phases=phases)
    except TimeoutError:
        return Outcome(failure=deadline.passed(), phases=phases)
    except OSError as error:
        return Outcome(failure=ProbeFailed(Reason.CONNECT, str(error)), phases=phases)
    return Outcome(seconds=seconds, phases=phases)


def request(family: int, *, identifier: int, sequence: int, payload: bytes) -> bytes:
    """Return an echo request."""
    kind, _ = _ECHO[socket.AddressFamily(family)]
    packet = _HEADER.pack(kind, 0, 0, identifier, sequence) + payload
    return _HEADER.pack(kind, 0, _checksum(packet), identifier, sequence) + payload


def answers(packet: bytes, asked: bytes, *, family: int, kind: int) -> bool:
    """Say whether a received packet is the echo of what was asked."""
    if family == socket.AF_INET and kind == socket.SOCK_RAW:
        # Raw IPv4 sockets show the IP header, too.
        packet = packet[4 * (packet[0] & 0x0F) :] if packet else b""
    if len(packet) < _HEADER.size:
        return False
    kind_of_answer, code, _, identifier, sequence = _HEADER.unpack_from(packet)
    _, _, _, asked_identifier, asked_sequence = _HEADER.unpack_from(asked)
    return (
        (kind_of_answer, code) == (_ECHO[socket.AddressFamily(family)][1], 0)
        and sequence == asked_sequence
        # The kernel puts its own identifier on the packets of an unprivileged socket, and hands out no others.
        and (kind == socket.SOCK_DGRAM or identifier == asked_identifier)
        and packet[_HEADER.size :] == asked[_HEADER.size :]
    )


def _ping(target: Found, sequence: int, deadline: Deadline) -> float:
    family, address = target
    payload = os.urandom(_NONCE_BYTES).ljust(_PAYLOAD_BYTES, b"\0")
    identifier = int.from_bytes(os.urandom(2), "big")
    packet = request(family, identifier=identifier, sequence=sequence % (1 << 16), payload=payload)
    with _open(family) as connection:
        # Only a connected socket hears that the host cannot be reached.
        connection.connect(address)
        started_at = time.perf_counter()
        connection.send(packet)
        while True:
            connection.settimeout(deadline.left_seconds())
            answer, source = connection.recvfrom(_MAX_PACKET_BYTES)
            if source[0] == address[0] and answers(answer, packet, family=family, kind=connection.type):
                return time.perf_counter() - started_at


def _open(family: socket.AddressFamily) -> socket.socket:
    """Open an unprivileged ping socket, else a raw one. Raises ProbeFailed that says what either needs."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            return socket.socket(family, kind, _PROTOCOL[family])
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
    raise ProbeFailed(
        Reason.CONNECT,
        f"neither an unprivileged nor a raw ICMP socket is allowed; let group {os.getegid()} ping by "
        "sysctl net.ipv4.ping_group_range (for IPv6, too), or give the process CAP_NET_RAW",
    )


def _checksum(data: bytes) -> int:
    """Return the checksum of RFC 1071; for ICMPv6 the kernel writes its own."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) // 2 * 2]))
    if len(data) % 2:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
