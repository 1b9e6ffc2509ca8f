"""The socket that a process serves on."""

from __future__ import annotations

import socket

from perfloop.collectors.address import split_address
from perfloop.errors import StackFailed
from perfloop.exposition.server import BACKLOG


def listen(address: str) -> socket.socket:
    """Listen on HOST:PORT. Raises StackFailed with the system's reason."""
    try:
        host, port = split_address(address)
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(place[:2], family=family, backlog=BACKLOG)
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StackFailed(f"cannot listen on {address}: {reason}") from error
    # Accepted connections inherit it. Else the second part of an answer waits for the client's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
