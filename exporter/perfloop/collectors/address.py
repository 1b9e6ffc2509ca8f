"""Addresses as perfloop.yml writes them."""

from __future__ import annotations


def split_address(address: str) -> tuple[str, int]:
    """Split HOST:PORT, [IPV6]:PORT or the folder of a UNIX socket, a colon and the port."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)
