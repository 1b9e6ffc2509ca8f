"""Bytes from and to one client over a plain socket, without ever waiting."""

from __future__ import annotations

import select
import socket
from contextlib import suppress

CHUNK_BYTES = 1 << 16


class Transport:
    """A plain connection; `interest` says what its socket has to be watched for next."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.interest = select.EPOLLIN

    def read(self) -> bytes | None:
        """Return what has arrived, nothing at the end, None if it is not there yet. Raises OSError."""
        self.interest = select.EPOLLIN
        try:
            return self.client.recv(CHUNK_BYTES)
        except BlockingIOError:
            return None

    def write(self, data: memoryview) -> memoryview:
        """Send what the client takes now and return the rest. Raises OSError."""
        with suppress(BlockingIOError):
            data = data[self.client.send(data) :]
        self.interest = select.EPOLLOUT if data else select.EPOLLIN
        return data

    def end_writing(self) -> None:
        """Say that nothing more comes, so that the client reads the last answer before it learns of the end."""
        self.client.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close at once."""
        self.client.close()
