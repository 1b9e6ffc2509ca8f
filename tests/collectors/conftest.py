"""Targets that misbehave."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from perfloop.stack.process import free_port
from tests.collectors.recorded_host import RecordedHost, small_host
from tests.collectors.web_server import WebServer


@pytest.fixture
def dead_address() -> str:
    """Nobody listens there: connections are refused."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def black_hole() -> Iterator[str]:
    """Connections are accepted by the kernel, and nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def full_backlog() -> Iterator[str]:
    """Connections are not even accepted by the kernel: the queue is full, and nobody takes from it."""
    with socket.socket() as listener, contextlib.ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            client = waiting.enter_context(socket.socket())
            client.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                client.connect(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(scope="session")
def web_server(server_folder: Path) -> Iterator[WebServer]:
    """nginx with and without TLS; see there which pages and certificates it has."""
    folder = server_folder / "web-server"
    folder.mkdir()
    server = WebServer(folder)
    server.child.start()
    server.child.wait_ready()
    yield server
    server.child.stop()


@pytest.fixture
def recorded_host(tmp_path: Path) -> RecordedHost:
    """A small host that is made up; its files may be changed."""
    return small_host(tmp_path)
