"""Targets that misbehave."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from perfloop.stack.process import free_port


@pytest.fixture
def dead_address() -> str:
    """Nobody listens there: connections are refused."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def black_hole() -> Iterator[str]:
    """Connections are accepted by the kernel, and nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
