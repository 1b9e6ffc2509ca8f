"""The sockets that a process serves on: its own, or those that systemd hands over."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from perfloop.collectors.address import split_address
from perfloop.errors import StackFailed
from perfloop.exposition.server import BACKLOG

# systemd's file descriptors begin here, see sd_listen_fds(3).
_FIRST_INHERITED = 3
_MAX_PORT = 65535


def listen(address: str) -> socket.socket:
    """Listen on HOST:PORT, or on :PORT for all addresses. Raises StackFailed with the system's reason."""
    try:
        host, port = _split(address)
        if not host:
            return _listen_everywhere(port)
        # As bytes, as the codec for names in other scripts is a megabyte.
        name = host.encode() if host.isascii() else host
        family, _, _, _, place = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(place[:2], family=family, backlog=BACKLOG)
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StackFailed(f"cannot listen on {address}: {reason}") from error
    # Accepted connections inherit it. Else the second part of an answer waits for the client's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def listen_on_all(*addresses: str) -> list[socket.socket]:
    """Listen on several addresses, or, if one of them cannot be had, on none."""
    listeners: list[socket.socket] = []
    try:
        for address in addresses:
            listeners.append(listen(address))  # noqa: PERF401 - those before a failure have to be known
    except StackFailed:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def inherited(environ: Mapping[str, str], *, process_id: int, first: int = _FIRST_INHERITED) -> list[socket.socket]:
    """Return the listening sockets that systemd opened for this process. Raises StackFailed if there are none."""
    try:
        ours = int(environ.get("LISTEN_PID", "")) == process_id
        count = int(environ.get("LISTEN_FDS", ""))
    except ValueError:
        ours, count = False, 0
    if not ours or count < 1:
        raise StackFailed("systemd has handed over no socket (LISTEN_PID and LISTEN_FDS do not say so)")
    sockets = []
    for number in range(first, first + count):
        # Child processes shall not inherit it in their turn.
        os.set_inheritable(number, False)  # noqa: FBT003 - the system's name for it
        sockets.append(_listening(number))
    return sockets


def name_of(listener: socket.socket) -> str:
    """Return where a socket listens: HOST:PORT, [HOST]:PORT or a path."""
    if listener.family == socket.AF_UNIX:
        return str(listener.getsockname())
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _split(address: str) -> tuple[str, int]:
    host, port = split_address(address)
    if port > _MAX_PORT:
        # The system would take the lowest 16 bits of it.
        raise ValueError(f"there is no port {port}")
    return host, port


def _listen_everywhere(port: int) -> socket.socket:
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    return socket.create_server(("", port), family=family, backlog=BACKLOG, dualstack_ipv6=both)


def _listening(number: int) -> socket.socket:
    try:
        inherited_socket = socket.socket(fileno=number)
        listens = inherited_socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise StackFailed(f"file descriptor {number} from systemd: {error.strerror}") from error
    if not listens:
        raise StackFailed(
            f"file descriptor {number} from systemd does not listen; Accept=no and ListenStream= are needed"
        )
    return inherited_socket
