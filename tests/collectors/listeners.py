"""Listeners whose every byte a test decides: what no real server would send."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from types import TracebackType

Talk = Callable[[socket.socket], None]


class Listener:
    """Hands each connection to `talk`, in a thread, and closes it afterwards."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            self.talk(client)


def says(answer: bytes) -> Talk:
    """Return a talk that reads a request and gives this answer."""

    def talk(client: socket.socket) -> None:
        client.recv(1 << 16)
        client.sendall(answer)

    return talk


def drips(beginning: bytes, drops: Iterator[bytes], *, seconds: float) -> Talk:
    """Return a talk that gives a beginning, and then a drop each so many seconds until the client has had enough."""

    def talk(client: socket.socket) -> None:
        client.recv(1 << 16)
        client.sendall(beginning)
        client.settimeout(seconds)
        for drop in drops:
            client.sendall(drop)
            with contextlib.suppress(TimeoutError):
                if not client.recv(1):
                    return

    return talk
