"""A DNS server that answers as a test wants: by the book, with errors, with nonsense, or not at all."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

# Names under `test.`, with what they answer: rcode and records.
ZONE = {
    "a.test.": ["a.test. 60 IN A 192.0.2.1", "a.test. 60 IN A 192.0.2.2"],
    "alias.test.": ["alias.test. 60 IN CNAME A.test.", "A.test. 60 IN A 192.0.2.1"],
    "mail.test.": ["mail.test. 60 IN MX 10 MX.test."],
    "text.test.": ['text.test. 60 IN TXT "v=spf1 -all"'],
    "empty.test.": [],
    "long.test.": [f'long.test. 60 IN TXT "{"x" * 200}{i}"' for i in range(20)],
    "slow.test.": [],
}


class NameServer:
    """Listens on UDP and TCP with one port. `silent.test.` and `nonsense.test.` are what they say."""

    def __init__(self) -> None:
        self._udp, self._tcp = _one_port_for_both()
        self.address = f"127.0.0.1:{self._udp.getsockname()[1]}"
        self.asked: list[str] = []
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def __enter__(self) -> NameServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for listener in (self._udp, self._tcp):
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _serve_udp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                wire, client = self._udp.recvfrom(4096)
                if not wire:
                    return
                query = dns.message.from_wire(wire)
                name = query.question[0].name.to_text()
                self.asked.append(f"udp {name}")
                if name == "nonsense.test.":
                    self._mislead(query, client)
                if name != "silent.test.":
                    self._udp.sendto(_answer(query, most_bytes=1232), client)

    def _mislead(self, query: dns.message.Message, client: object) -> None:
        """Send what is no answer to the question, before the answer."""
        other = dns.message.make_query("other.test.", "A", id=query.id)
        wrong_id = dns.message.make_response(query)
        wrong_id.id ^= 1
        for wire in (b"", b"\xff" * 40, dns.message.make_response(other).to_wire(), wrong_id.to_wire()):
            self._udp.sendto(wire, client)  # type: ignore[arg-type]

    def _serve_tcp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._tcp.accept()
                with client:
                    query = dns.message.from_wire(client.recv(4096)[2:])
                    self.asked.append(f"tcp {query.question[0].name.to_text()}")
                    wire = _answer(query, most_bytes=65535)
                    client.sendall(len(wire).to_bytes(2, "big") + wire)


def _one_port_for_both() -> tuple[socket.socket, socket.socket]:
    """Return a bound UDP socket and a listening TCP socket; the first port that is free for one may not be for both."""
    while True:
        udp, tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
        tcp.bind(("127.0.0.1", 0))
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            udp.close()
            tcp.close()
            continue
        tcp.listen()
        return udp, tcp


def _answer(query: dns.message.Message, *, most_bytes: int) -> bytes:
    name = query.question[0].name.to_text()
    answer = dns.message.make_response(query)
    records = ["nonsense.test. 60 IN A 192.0.2.9"] if name == "nonsense.test." else ZONE.get(name.lower())
    if records is None:
        answer.set_rcode(dns.rcode.SERVFAIL if name == "broken.test." else dns.rcode.NXDOMAIN)
    for record in records or ():
        owner, ttl, rdclass, rdtype, data = record.split(" ", 4)
        answer.answer.append(dns.rrset.from_text(owner, int(ttl), rdclass, rdtype, data))
    wire = answer.to_wire(max_size=65535)
    if len(wire) <= most_bytes:
        return wire
    answer.answer.clear()
    answer.flags |= dns.flags.TC
    return answer.to_wire()
