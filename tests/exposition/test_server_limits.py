"""Clients that are many, slow, or stop half-way, against a server in a process of its own with few file descriptors."""

from __future__ import annotations

import http.client
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.support import eventually

SERVER = """
import resource, socket, sys, threading, time
from perfloop.exposition.http import Response
from perfloop.exposition.server import Server

class Later:
    ready = False
    def __init__(self):
        self.deadline = time.monotonic() + 0.3
    def response(self):
        return Response(body=b"later")

PAGES = {"/": Response(body=b"page"), "/large": Response(body=b"x" * 30_000_000)}
descriptors, seconds = int(sys.argv[1]), float(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
print(listener.getsockname()[1], flush=True)
answer = lambda request: PAGES.get(request.path) or Later()
Server([listener], answer, request_seconds=seconds, body_limit=lambda path: 1_000_000).serve()
"""
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Process:
    """The server's process."""

    def __init__(self, *, descriptors: int, request_seconds: float) -> None:
        command = [sys.executable, "-c", SERVER, str(descriptors), str(request_seconds)]
        self._child = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._child.stdout is not None
        self.port = int(self._child.stdout.readline())

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def get(self, path: str = "/") -> tuple[int, bytes, float]:
        started_at = time.monotonic()
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        client.request("GET", path)
        answer = client.getresponse()
        status, body = answer.status, answer.read()
        client.close()
        return status, body, time.monotonic() - started_at

    def post(self, size_bytes: int) -> int:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with suppress(OSError):
            client.request("POST", "/", body=b"x" * size_bytes)
        status = client.getresponse().status
        client.close()
        return status

    def runs(self) -> int:
        """Return how often the process was given a CPU."""
        return int(Path(f"/proc/{self._child.pid}/schedstat").read_text().split()[2])

    def stop(self) -> None:
        self._child.kill()
        self._child.communicate()


@pytest.fixture
def process() -> Iterator[Callable[..., Process]]:
    made: list[Process] = []

    def make(*, descriptors: int = 2048, request_seconds: float = 10.0) -> Process:
        made.append(Process(descriptors=descriptors, request_seconds=request_seconds))
        return made[-1]

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    yield make
    for running in made:
        running.stop()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    "sent", [pytest.param(b"", id="silent"), pytest.param(b"GET / HTTP/1.1\r\nHo", id="half-sent")]
)
@pytest.mark.parametrize("descriptors", [2048, 64])
def test_a_thousand_clients_that_never_finish_stop_no_scrape(
    process: Callable[..., Process], descriptors: int, sent: bytes
) -> None:
    running = process(descriptors=descriptors)
    clients = [running.connect() for _ in range(1000)]
    for client in clients:
        with suppress(OSError):
            client.sendall(sent)

    answers = [running.get() for _ in range(10)]

    assert [answer[:2] for answer in answers] == [(200, b"page")] * 10
    assert max(seconds for _, _, seconds in answers) < 1
    for client in clients:
        client.close()


def test_slow_readers_of_a_large_page_stop_no_scrape(process: Callable[..., Process]) -> None:
    running = process(descriptors=32)
    readers = [running.connect() for _ in range(60)]
    for reader in readers:
        with suppress(OSError):
            reader.sendall(b"GET /large HTTP/1.1\r\n\r\n")
            reader.recv(1)

    status, body, seconds = running.get()

    assert (status, body) == (200, b"page")
    assert seconds < 1
    for reader in readers:
        reader.close()


def test_a_request_byte_by_byte_has_no_more_time_than_another(process: Callable[..., Process]) -> None:
    running = process(request_seconds=0.5)

    with running.connect() as client:
        seconds = trickle(client, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1000)

    assert 0.4 < seconds < 3


def trickle(client: socket.socket, request: bytes) -> float:
    """Send a byte each 10 ms until the server has had enough, and return how long that took."""
    started_at = time.monotonic()
    client.settimeout(0.01)
    with suppress(ConnectionError):
        for byte in request:
            client.send(bytes([byte]))
            with suppress(TimeoutError):
                if not client.recv(1):
                    break
    return time.monotonic() - started_at


def test_a_hundred_scrapes_at_once_all_get_their_page(process: Callable[..., Process]) -> None:
    running = process()

    with ThreadPoolExecutor(100) as scrapers:
        answers = list(scrapers.map(running.get, ["/later"] * 100))

    assert {answer[:2] for answer in answers} == {(200, b"later")}
    assert max(seconds for _, _, seconds in answers) < 5


def test_more_scrapes_than_connections_wait_for_their_turn(process: Callable[..., Process]) -> None:
    running = process(descriptors=32)

    with ThreadPoolExecutor(60) as scrapers:
        answers = list(scrapers.map(running.get, ["/later"] * 60))

    assert {answer[:2] for answer in answers} == {(200, b"later")}


def test_between_requests_the_process_does_not_run(process: Callable[..., Process]) -> None:
    running = process()
    clients = [running.connect() for _ in range(200)]
    for client in clients:
        client.sendall(GET)
        assert client.recv(1000).endswith(b"page")

    before = eventually(lambda: settled(running))

    assert running.runs() == before
    for client in clients:
        client.close()


def settled(running: Process) -> int:
    """Return how often the process ran, once it has not for a second."""
    before, since = running.runs(), time.monotonic()
    while running.runs() == before and time.monotonic() - since < 1:
        time.sleep(0.05)
    return before if running.runs() == before else 0


def test_bodies_have_a_limit_together(process: Callable[..., Process]) -> None:
    running = process()
    clients = [running.connect() for _ in range(70)]
    for client in clients:
        client.sendall(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n")

    answers = [client.recv(1000)[9:12] for client in clients]

    assert answers == [b"100"] * 67 + [b"413"] * 3
    clients[0].close()
    assert eventually(lambda: running.post(1_000_000) == HTTPStatus.OK)
    for client in clients:
        client.close()


def test_a_refused_body_is_told_so_though_it_is_still_being_sent(process: Callable[..., Process]) -> None:
    running = process()

    with running.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 50000000\r\n\r\n")
        with suppress(OSError):
            for _ in range(50):
                client.sendall(b"x" * 100_000)
        answer = client.recv(1000)

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_curl_asks_before_it_sends_a_body(process: Callable[..., Process], tmp_path: Path) -> None:
    running = process()
    (tmp_path / "body").write_bytes(b"x" * 900_000)

    done = subprocess.run(
        ["curl", "-sv", "-H", "Expect: 100-continue", "--data-binary", "@body", f"http://127.0.0.1:{running.port}/"],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=20,
    )  # fmt: skip

    assert done.stdout == "page"
    assert "HTTP/1.1 100 Continue" in done.stderr
