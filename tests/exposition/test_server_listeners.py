"""Where the server listens: several addresses, both families, UNIX sockets, and what systemd hands over."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from perfloop.app.listener import inherited, listen, listen_on_all, name_of
from perfloop.errors import StackFailed
from perfloop.exposition.http import Response
from perfloop.exposition.server import Server

GET = b"GET / HTTP/1.0\r\n\r\n"


@contextmanager
def serving(listeners: Sequence[socket.socket]) -> Iterator[None]:
    server = Server(listeners, lambda request: Response(body=request.path.encode()))
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    yield
    server.stop()
    thread.join(5)
    assert not thread.is_alive()


def answer_of(client: socket.socket) -> bytes:
    with client:
        client.settimeout(5)
        client.sendall(GET)
        return client.recv(1000)


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def test_several_addresses_are_served_at_once() -> None:
    listeners = listen_on_all("127.0.0.1:0", "[::1]:0")

    with serving(listeners):
        answers = [answer_of(socket.create_connection(listener.getsockname()[:2], 5)) for listener in listeners]

    assert all(answer.startswith(b"HTTP/1.1 200 OK") for answer in answers)


def test_a_port_alone_means_every_address_of_both_families() -> None:
    listener = listen(":0")

    with serving([listener]):
        for host in ("127.0.0.1", "::1"):
            assert answer_of(socket.create_connection((host, port_of(listener)), 5)).startswith(b"HTTP/1.1 200")


def test_if_one_address_is_taken_none_is_kept() -> None:
    with listen("127.0.0.1:0") as taken, listen("127.0.0.1:0") as probe:
        free = port_of(probe)
        probe.close()

        with pytest.raises(StackFailed, match="Address already in use"):
            listen_on_all(f"127.0.0.1:{free}", name_of(taken))

        listen(f"127.0.0.1:{free}").close()


def test_a_unix_socket_serves_like_any_other(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "web.sock"))
    listener.listen()

    with serving([listener]), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "web.sock"))

        assert answer_of(client).startswith(b"HTTP/1.1 200")
    assert name_of(socket.socket(socket.AF_UNIX)) == ""


def test_sockets_from_systemd_are_served() -> None:
    script = (
        "import os; from perfloop.app.listener import *; from perfloop.exposition.http import *\n"
        "from perfloop.exposition.server import Server\n"
        "os.environ['LISTEN_PID'] = str(os.getpid())\n"
        "listeners = inherited(os.environ, process_id=os.getpid())\n"
        "server = Server(listeners, lambda request: (server.stop(), Response(body=b'from systemd'))[1])\n"
        "server.serve()\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # As systemd does it: the socket becomes file descriptor 3 of the process.
        child = subprocess.Popen(
            [sys.executable, "-c", f"import os, sys; os.dup2({listener.fileno()}, 3); exec(sys.argv[1])", script],
            env={**os.environ, "LISTEN_FDS": "1"},
            pass_fds=[listener.fileno()],
        )
        answer = answer_of(socket.create_connection(listener.getsockname(), 10))

    assert answer.endswith(b"from systemd")
    assert child.wait(10) == 0


@pytest.mark.parametrize(
    "environ",
    [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_PID": "7", "LISTEN_FDS": "0"}, {"LISTEN_PID": "x"}],
)
def test_no_socket_from_systemd_is_said(environ: dict[str, str]) -> None:
    with pytest.raises(StackFailed, match="no socket"):
        inherited(environ, process_id=7)


def test_a_socket_from_systemd_that_does_not_listen_is_refused() -> None:
    with socket.socket() as idle:
        environ = {"LISTEN_PID": "7", "LISTEN_FDS": "1"}

        with pytest.raises(StackFailed, match="does not listen"):
            inherited(environ, process_id=7, first=os.dup(idle.fileno()))
