"""Addresses as perfloop.yml writes them."""

from __future__ import annotations

_MAX_PORT = 65535


def split_address(address: str) -> tuple[str, int]:
    """Split HOST:PORT, [IPV6]:PORT or the folder of a UNIX socket, a colon and the port.

    Raises ValueError if the port is none.
    """
    host, _, text = address.rpartition(":")
    port = int(text)
    if not 0 <= port <= _MAX_PORT:
        # The system would take the lowest 16 bits of it.
        raise ValueError(f"{port} is not a port, which is at most {_MAX_PORT}")
    return host.removeprefix("[").removesuffix("]"), port
