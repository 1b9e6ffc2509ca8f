"""Sockets one by one, as the kernel's sock_diag lists them over netlink: TCP's states, UDP's queues."""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Generator, Iterator
from struct import Struct, error, pack

from perfloop.collectors.kernel import KernelFile
from perfloop.collectors.net.family import gauge
from perfloop.collectors.table import Garbled
from perfloop.exposition.block import Aliases, Block
from perfloop.exposition.text import Samples, number

STATES = {
    1: "established",
    2: "syn_sent",
    3: "syn_recv",
    4: "fin_wait1",
    5: "fin_wait2",
    6: "time_wait",
    7: "close",
    8: "close_wait",
    9: "last_ack",
    10: "listen",
    11: "closing",
}
TCP_STATES = gauge("tcp_connections", "TCP sockets in each state, from sock_diag and /proc/net/sockstat.", "state")
UDP_QUEUES = gauge("udp_queue_bytes", "Bytes that wait in UDP sockets, from sock_diag.", "ip", "queue")
FAMILIES = (TCP_STATES, UDP_QUEUES)
_NEW_SYN_RECV, _SYN_RECV, _TIME_WAIT = 12, 3, 6
# There may be a hundred thousand of them, and sockstat knows how many.
_COUNTED = sum(1 << state for state in (*STATES, _NEW_SYN_RECV) if state != _TIME_WAIT)
_IN_USE, _WAITING = re.compile(rb"^TCP6?: inuse (\d{1,18})\b", re.MULTILINE), re.compile(rb" tw (\d{1,18})\b")
_UDP_IN_USE = re.compile(rb"^UDP6?: inuse (\d{1,18})\b", re.MULTILINE)
_UDP_LABELS = [("v4", "rx"), ("v4", "tx"), ("v6", "rx"), ("v6", "tx")]

_NETLINK_SOCK_DIAG = 4
_TCP_OF_ALL_VERSIONS, _BY_FAMILY = 18, 20
_REQUEST_AND_DUMP = 0x301
_ERROR, _DONE = 2, 3
_CHUNK_BYTES = 1 << 16
_HEAD = Struct("=IHHII")
# After the head: (version), state, timer, (retransmissions, addresses, expiry), receive queue, send queue.
_SOCKET = Struct("=IHHII x BB x 48x 4x II")
# The timer of what is left of a closed socket: it takes part in sockstat's count, and may be in FIN-WAIT-2 still.
_REMNANT = 3
_SECONDS = 1.0
Listed = tuple[int, int, int, int]


class Diag:
    """Asks the kernel for lists of sockets, those of the network that this process is in."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def tcp(self) -> Iterator[Listed]:
        """Return state, timer and queues of TCP sockets that are not in TIME-WAIT. Raises OSError."""
        # The older request has both versions in one walk through the kernel's table, which is what costs.
        return self._dump(_TCP_OF_ALL_VERSIONS, pack("=BBBB48xII", 0, 0, 0, 0, _COUNTED, 0))

    def udp(self, version: socket.AddressFamily) -> Iterator[Listed]:
        """Return state, timer and queues of UDP sockets. Raises OSError."""
        return self._dump(_BY_FAMILY, pack("=BBBxI48x", version, socket.IPPROTO_UDP, 0, 0xFFFFFFFF))

    def close(self) -> None:
        """Close the connection to the kernel. Twice is harmless."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _dump(self, kind: int, request: bytes) -> Iterator[Listed]:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
            self._socket.settimeout(_SECONDS)
        complete = False
        try:
            self._socket.send(_HEAD.pack(_HEAD.size + len(request), kind, _REQUEST_AND_DUMP, 0, 0) + request)
            while not complete:
                complete = yield from sockets_of(self._socket.recv(_CHUNK_BYTES))
        finally:
            # What is left of an answer would be taken for the next one.
            if not complete:
                self.close()


def sockets_of(answer: bytes) -> Generator[Listed, None, bool]:
    """Yield the sockets of one piece of an answer; return whether it is the last. Raises OSError and Garbled."""
    start = 0
    try:
        while start < len(answer):
            size, kind, *_ = _HEAD.unpack_from(answer, start)
            if kind == _DONE:
                return True
            if kind == _ERROR:
                (code,) = Struct("=i").unpack_from(answer, start + _HEAD.size)
                raise OSError(-code, "sock_diag")
            if size < _HEAD.size:
                raise Garbled("sock_diag: a message without a size")
            yield _SOCKET.unpack_from(answer, start)[5:]
            start += (size + 3) & ~3
    except error as cause:
        raise Garbled("sock_diag: an answer that is too short") from cause
    return False


class TcpStates:
    """TCP sockets by state; more than `most` are not listed, for the time that would take, and have no samples."""

    def __init__(self, sockstat: KernelFile, sockstat6: KernelFile, *, most: int, aliases: Aliases | None) -> None:
        self._files, self._most, self._diag = (sockstat, sockstat6), most, Diag()
        self._block, self._labels = Block([TCP_STATES], aliases=aliases), [(name,) for name in STATES.values()]

    def read(self) -> Samples:
        """List them. Raises OSError and Garbled."""
        text = b"".join(file.read_or_nothing() for file in self._files)
        waiting = int(found[1]) if (found := _WAITING.search(text)) else 0
        if sum(map(int, _IN_USE.findall(text))) > self._most:
            return ()
        remnants = 0
        counts: Counter[int] = Counter()
        for state, timer, _, _ in self._diag.tcp():
            counts[state] += 1
            remnants += timer == _REMNANT
        counts[_TIME_WAIT], counts[_SYN_RECV] = max(waiting - remnants, 0), counts[_SYN_RECV] + counts[_NEW_SYN_RECV]
        return self._block.render_tokens(self._labels, tuple(number(counts[state]) for state in STATES))

    def close(self) -> None:
        """Close everything."""
        self._diag.close()
        for file in self._files:
            file.close()


class UdpQueues:
    """Bytes in the queues of all UDP sockets; sockstat says whether there are any."""

    def __init__(self, sockstat: KernelFile, sockstat6: KernelFile, *, aliases: Aliases | None) -> None:
        self._files = {socket.AF_INET: sockstat, socket.AF_INET6: sockstat6}
        self._diag, self._block = Diag(), Block([UDP_QUEUES], aliases=aliases)

    def read(self) -> Samples:
        """List the sockets. Raises OSError and Garbled."""
        tokens: list[bytes] = []
        for version, file in self._files.items():
            found = _UDP_IN_USE.search(file.read_or_nothing())
            if not found:
                # A kernel without IPv6.
                tokens += (b"", b"")
                continue
            queues = list(self._diag.udp(version)) if int(found[1]) else []
            tokens += (number(sum(received for *_, received, _ in queues)), number(sum(sent for *_, sent in queues)))
        return self._block.render_tokens(_UDP_LABELS, tuple(tokens))

    def close(self) -> None:
        """Close everything."""
        self._diag.close()
        for file in self._files.values():
            file.close()
