"""One kept connection to a server, over TCP, TLS or a UNIX socket, with a deadline for each exchange."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from perfloop.collectors.address import split_address
from perfloop.errors import Unavailable
from perfloop.model import Component

_CHUNK_BYTES = 1 << 16
# No server has more to say about itself; what says more is no such server.
MAX_ANSWER_BYTES = 1 << 25


class Stream:
    """Connects when it is first needed, keeps the connection, and connects anew after an error.

    The whole of one exchange, connecting included, may take `timeout_seconds`, however slowly the bytes trickle in.
    """

    def __init__(
        self, component: Component, *, timeout_seconds: float, max_answer_bytes: int = MAX_ANSWER_BYTES
    ) -> None:
        self._component, self._timeout_seconds, self._max_bytes = component, timeout_seconds, max_answer_bytes
        self._socket: socket.socket | None = None
        self._deadline, self._received_bytes = 0.0, 0

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._socket is not None

    @contextmanager
    def exchange(self) -> Iterator[Stream]:
        """Begin an exchange: what goes wrong in it closes the connection. Raises Unavailable."""
        self._deadline, self._received_bytes = time.monotonic() + self._timeout_seconds, 0
        try:
            yield self
        except (OSError, UnicodeError) as error:  # a host name that no look-up accepts is a UnicodeError
            self.close()
            raise Unavailable(f"{self._component.address}: {error}") from error
        except BaseException:
            self.close()
            raise

    def connect(self) -> None:
        """Connect anew."""
        self.close()
        self._socket = _connected(self._component, self._timeout_seconds)

    def send(self, request: bytes) -> None:
        """Send a request."""
        self._ready().sendall(request)

    def receive(self) -> bytes:
        """Return the next bytes that come."""
        received = self._ready().recv(_CHUNK_BYTES)
        if not received:
            raise ConnectionResetError("the connection was closed")
        self._received_bytes += len(received)
        if self._received_bytes > self._max_bytes:
            raise ConnectionAbortedError("the answer does not end")
        return received

    def close(self) -> None:
        """Close the connection. Twice is harmless."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ready(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionResetError("there is no connection")
        left_seconds = self._deadline - time.monotonic()
        if left_seconds <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left_seconds)
        return self._socket


def _connected(component: Component, timeout_seconds: float) -> socket.socket:
    if component.address.startswith("/"):
        plain = socket.socket(socket.AF_UNIX)
        plain.settimeout(timeout_seconds)
        plain.connect(component.address)
        return plain
    host, port = split_address(component.address)
    plain = socket.create_connection((host, port), timeout_seconds)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if component.encryption is None:
        return plain
    from perfloop.collectors.encryption import tls_context  # noqa: PLC0415 - 5 MB, only if it is configured

    context = tls_context(component)
    assert context is not None  # noqa: S101 - it is configured
    return context.wrap_socket(plain, server_hostname=component.encryption.server_name or host)
