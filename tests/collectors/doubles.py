"""Servers that answer what no server should: noise, drop by drop, without end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Conversation = Callable[[socket.socket], None]


@contextmanager
def talking(conversation: Conversation) -> Iterator[str]:
    """Listen, and have the conversation on each connection in turn, until its peer hangs up; yield the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, conversation), daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        # Wakes accept(), which closing alone does not.
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def answering(*answers: bytes) -> Conversation:
    """Answer the first message with the first of them, and so on; then hang up."""

    def converse(peer: socket.socket) -> None:
        for answer in answers:
            if not peer.recv(1 << 16):
                return
            peer.sendall(answer)

    return converse


def greeting(*answers: bytes) -> Conversation:
    """Speak first, as MySQL does, answer, and hang up after the last word."""

    def converse(peer: socket.socket) -> None:
        for answer in answers[:-1]:
            peer.sendall(answer)
            if not peer.recv(1 << 16):
                return
        peer.sendall(answers[-1])
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(1 << 16):
            pass

    return converse


def flooding(chunk: bytes) -> Conversation:
    """Never stop talking."""

    def converse(peer: socket.socket) -> None:
        while True:
            peer.sendall(chunk)

    return converse


def dripping(stop: threading.Event) -> Conversation:
    """Send one byte of a long answer every now and then."""

    def converse(peer: socket.socket) -> None:
        peer.sendall(b"$1000000\r\n")
        while not stop.wait(0.02):
            peer.sendall(b"x")

    return converse


def _serve(listener: socket.socket, conversation: Conversation) -> None:
    while True:
        try:
            peer, _ = listener.accept()
        except OSError:
            return
        with peer, suppress(OSError):
            conversation(peer)
