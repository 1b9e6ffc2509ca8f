"""One kept connection to something that speaks Redis' protocol."""

from __future__ import annotations

import socket

from perfloop.collectors.address import split_address
from perfloop.errors import Rejected, Unavailable
from perfloop.model import Component

_CHUNK_BYTES = 1 << 16


class Connection:
    """Connects at the first command, keeps the connection, and connects anew after an error."""

    def __init__(self, component: Component, *, timeout_seconds: float) -> None:
        self._component, self._timeout_seconds = component, timeout_seconds
        self._socket: socket.socket | None = None

    def ask(self, *command: str) -> bytes:
        """Send a command and return its reply. Raises Unavailable, or Rejected with the server's words."""
        try:
            return _exchange(self._open(), command)
        except OSError as error:
            self.close()
            raise Unavailable(f"{self._component.address}: {error}") from error
        except Rejected:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection. Twice is harmless."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _open(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(split_address(self._component.address), self._timeout_seconds)
            if self._component.password:
                user = (self._component.user,) if self._component.user else ()
                _exchange(self._socket, ("AUTH", *user, self._component.password))
        return self._socket


def _exchange(connection: socket.socket, command: tuple[str, ...]) -> bytes:
    import hiredis  # noqa: PLC0415 - only if such a component is configured

    connection.sendall(hiredis.pack_command(command))  # type: ignore[arg-type]  # the stub says 1-tuple
    reader = hiredis.Reader()
    while (reply := reader.gets()) is False:
        received = connection.recv(_CHUNK_BYTES)
        if not received:
            raise ConnectionResetError("the connection was closed")
        reader.feed(received)
    if isinstance(reply, hiredis.ReplyError):
        raise Rejected(f"Redis: {reply}")
    if not isinstance(reply, bytes):
        raise Rejected(f"Redis: expected text, got {type(reply).__name__}")
    return reply
