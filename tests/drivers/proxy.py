"""A TCP proxy that can lose answers: what a dying connection does to a write that already took place."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Proxy:
    """Forwards connections to an address; once a client has sent `lose_after`, no answer comes through any more."""

    def __init__(self, address: str, *, lose_after: bytes) -> None:
        host, _, port = address.rpartition(":")
        self._target, self._lose_after = (host, int(port)), lose_after
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening and cut all connections."""
        for connection in (self._listener, *self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            self._open += [client, server]
            lost = threading.Event()
            threading.Thread(target=self._requests, args=(client, server, lost), daemon=True).start()
            threading.Thread(target=self._answers, args=(server, client, lost), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        while request := receive(client):
            if self._lose_after in request:
                lost.set()
            send(server, request)

    @staticmethod
    def _answers(server: socket.socket, client: socket.socket, lost: threading.Event) -> None:
        while answer := receive(server):
            if not lost.is_set():
                send(client, answer)


def send(connection: socket.socket, data: bytes) -> None:
    """Send, unless the other side has gone: then nobody waits for it."""
    with suppress(OSError):
        connection.sendall(data)


def receive(connection: socket.socket) -> bytes:
    """Return what comes, or nothing when the connection is gone."""
    try:
        return connection.recv(65536)
    except OSError:
        return b""
