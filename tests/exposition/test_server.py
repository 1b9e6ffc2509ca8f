"""The HTTP server against real sockets: good clients, slow ones, many, and garbage."""

from __future__ import annotations

import errno
import gzip
import http.client
import math
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http import HTTPStatus

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from perfloop.exposition.connection import Connection, Deferred
from perfloop.exposition.http import Request, RequestReader, Response
from perfloop.exposition.http import gzip as compress
from perfloop.exposition.server import Server
from perfloop.exposition.transport import Transport
from tests.exposition.test_http import messages
from tests.support import eventually

LARGE = b"x" * 20_000_000


class Later:
    """An answer that is ready when the test says so."""

    def __init__(self, seconds: float) -> None:
        self.deadline, self.ready = time.monotonic() + seconds, False

    def response(self) -> Response:
        return Response(body=b"ready" if self.ready else b"too late")


class Chain:
    """An answer that is ready at once, and then turns out to be another that is not."""

    deadline, ready = math.inf, True

    def __init__(self, following: Response | Deferred) -> None:
        self._following = following

    def response(self) -> Response | Deferred:
        return self._following


class Running:
    """A server in a thread; `later` holds the deferred answers that it gave."""

    def __init__(self, listener: socket.socket | None = None, **limits: float) -> None:
        listener = listener or socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = listener.getsockname()[1]
        self.later: list[Later] = []
        self.server = Server([listener], self._handle, **limits)  # type: ignore[arg-type]
        self._thread = threading.Thread(target=self.server.serve, daemon=True)
        self._thread.start()

    def _handle(self, request: Request) -> Response | Deferred:
        if request.path == "/later":
            self.later.append(Later(0.2))
            return self.later[-1]
        if request.path == "/later-still":
            return Chain(self._handle(replace(request, path="/later")))
        if request.path == "/bug":
            raise KeyError(request.path)
        if request.path == "/echo":
            return Response(body=f"{request.method} {request.query} {request.body!r}".encode())
        return Response(body=LARGE if request.path == "/large" else f"{request.method} {request.path}".encode())

    def client(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)

    def get(self, path: str = "/") -> bytes:
        client = self.client()
        client.request("GET", path)
        try:
            return client.getresponse().read()
        finally:
            client.close()

    def stop(self) -> None:
        self.server.stop()
        self._thread.join(5)
        assert not self._thread.is_alive()


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    running = Running()
    yield running
    running.stop()


@pytest.fixture
def limited() -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def make(listener: socket.socket | None = None, **limits: float) -> Running:
        made.append(Running(listener, **limits))
        return made[-1]

    yield make
    for running in made:
        running.stop()


class Faulty(socket.socket):
    """A listener whose next `accept` fails as the test says."""

    error: int | None = None

    def accept(self) -> tuple[socket.socket, object]:
        if self.error is not None:
            error, self.error = self.error, None
            raise OSError(error, "as the test says")
        return super().accept()


@pytest.mark.parametrize(
    ("error", "closed"),
    [
        pytest.param(errno.ECONNABORTED, False, id="a client that has left already"),
        pytest.param(errno.EPERM, False, id="a client that the firewall refuses"),
        pytest.param(errno.EMFILE, True, id="no descriptor of the process is left"),
        pytest.param(errno.ENOBUFS, True, id="no memory is left"),
    ],
)
def test_only_where_room_is_missing_a_client_is_closed_for_the_next(
    limited: Callable[..., Running], error: int, *, closed: bool
) -> None:
    listener = Faulty()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    running = limited(listener)
    with running.connect() as idle:
        idle.sendall(b"GET /first HTTP/1.1\r\n\r\n")
        assert b"GET /first" in idle.recv(1000)

        listener.error = error
        assert running.get("/next") == b"GET /next"

        idle.sendall(b"GET /again HTTP/1.1\r\n\r\n")
        with suppress(ConnectionResetError, BrokenPipeError):
            assert (idle.recv(1000) == b"") is closed


def test_a_connection_is_kept_and_used_again(shared: Running) -> None:
    client = shared.client()

    for path in ("/a", "/b?c=d"):
        client.request("GET", path)
        port = client.sock.getsockname()[1]
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (200, f"GET {path.partition('?')[0]}".encode())
        assert client.sock.getsockname()[1] == port
    client.close()


def test_head_has_the_head_of_get_and_no_body(shared: Running) -> None:
    client = shared.client()
    client.request("HEAD", "/a")
    answer = client.getresponse()

    assert (answer.headers["Content-Length"], answer.read()) == (str(len(b"HEAD /a")), b"")
    client.request("GET", "/next")
    assert client.getresponse().read() == b"GET /next"
    client.close()


@pytest.mark.parametrize(
    "request_text",
    [
        pytest.param(b"GET / HTTP/1.0\r\n\r\n", id="HTTP/1.0"),
        pytest.param(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", id="connection: close"),
        pytest.param(b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", id="no upgrade with us"),
    ],
)
def test_the_connection_ends_when_it_should(shared: Running, request_text: bytes) -> None:
    with shared.connect() as client:
        client.sendall(request_text)

        answer = read_all(client)

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close" in answer


def test_pipelined_requests_are_answered_in_order(shared: Running) -> None:
    with shared.connect() as client:
        client.sendall(b"GET /later HTTP/1.1\r\n\r\nGET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.0\r\n\r\n")

        answer = read_all(client)

    assert answer.index(b"too late") < answer.index(b"GET /1") < answer.index(b"GET /2")


def test_a_late_answer_comes_when_it_is_ready(limited: Callable[..., Running]) -> None:
    running = limited()
    client = running.client()
    client.request("GET", "/later")
    eventually(lambda: running.later)
    assert running.get("/a") == b"GET /a", "nobody else waits"

    running.later[0].ready = True
    running.server.wake()

    assert client.getresponse().read() == b"ready"
    client.close()


def test_a_late_answer_comes_at_its_deadline_at_the_latest(shared: Running) -> None:
    assert shared.get("/later") == b"too late"


def test_a_client_that_leaves_while_it_waits_is_forgotten(shared: Running) -> None:
    with shared.connect() as client:
        client.sendall(b"GET /later HTTP/1.1\r\n\r\n")

    assert shared.get("/later") == b"too late"


def test_a_client_that_ended_its_half_still_gets_its_answer(shared: Running) -> None:
    with shared.connect() as client:
        client.sendall(b"GET /later HTTP/1.1\r\n\r\n")
        client.shutdown(socket.SHUT_WR)

        assert read_all(client).endswith(b"too late")


def test_an_answer_may_lead_to_another_that_is_not_there_yet(shared: Running) -> None:
    assert shared.get("/later-still") == b"too late"


def test_what_came_before_garbage_is_answered_before_it_is_refused(shared: Running) -> None:
    with shared.connect() as client:
        client.sendall(b"GET /later HTTP/1.1\r\n\r\nGET /1 HTTP/1.1\r\n\r\ngarbage\r\n\r\n")

        answer = read_all(client)

    assert answer.index(b"too late") < answer.index(b"GET /1") < answer.index(b"HTTP/1.1 400 ")


def test_query_and_body_reach_the_handler(shared: Running) -> None:
    client = shared.client()
    client.request("PUT", "/echo?a=1&a=2", body=b"body")

    assert client.getresponse().read() == b"PUT {'a': ('1', '2')} b'body'"
    client.close()


def test_a_bug_is_500_and_the_server_goes_on(shared: Running) -> None:
    client = shared.client()
    client.request("GET", "/bug")

    assert client.getresponse().status == HTTPStatus.INTERNAL_SERVER_ERROR
    assert shared.get("/a") == b"GET /a"
    client.close()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"\x16\x03\x01 hello TLS\r\n\r\n", b"400", id="TLS"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000, b"431", id="a header without end"),
        pytest.param(b"GET /" + b"x" * 20_000, b"431", id="a path without end"),
        pytest.param(b"GET /later HTTP/1.1\r\n\r\n" * 40, b"431", id="too many at once"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n", b"413", id="a large body"),
    ],
)
def test_what_is_no_fit_request_is_refused(shared: Running, data: bytes, status: bytes) -> None:
    with shared.connect() as client:
        client.sendall(data)

        assert read_all(client).startswith(b"HTTP/1.1 " + status)

    assert shared.get("/a") == b"GET /a"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=100).map(lambda data: b"GET / HTTP/1.1\r\n" + data),
        st.lists(messages(), max_size=4).map(b"".join),
    )
)
@example(b"GET \xff\xfe HTTP/1.1\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
def test_garbage_never_hurts_the_next_client(shared: Running, data: bytes) -> None:
    with shared.connect() as client:
        client.sendall(data)
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR)
        read_all(client)

    assert shared.get("/a") == b"GET /a"


def test_a_client_that_does_not_read_blocks_nobody(shared: Running) -> None:
    with shared.connect() as lazy:
        lazy.sendall(b"GET /large HTTP/1.0\r\n\r\n")
        started_at = time.monotonic()

        assert shared.get("/a") == b"GET /a"

        assert time.monotonic() - started_at < 1
        assert read_all(lazy).endswith(LARGE[-1000:])


def test_a_client_that_sends_too_slowly_is_closed(limited: Callable[..., Running]) -> None:
    running = limited(request_seconds=0.2)
    with running.connect() as slow, running.connect() as silent:
        slow.sendall(b"GET /a HTT")

        assert (read_all(slow), read_all(silent)) == (b"", b"")

    assert running.get("/a") == b"GET /a"


def test_a_thousand_idle_connections_block_nobody(shared: Running) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    idle = [shared.connect() for _ in range(1000)]
    started_at = time.monotonic()

    assert shared.get("/a") == b"GET /a"

    assert time.monotonic() - started_at < 1
    for client in idle:
        client.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_beyond_the_limit_the_longest_idle_connection_makes_room(limited: Callable[..., Running]) -> None:
    running = limited(max_connections=2)
    with running.connect() as second, running.connect() as first:
        # Only a complete exchange counts as being in use.
        second.sendall(b"GET /sec")
        first.sendall(b"GET /first HTTP/1.1\r\n\r\n")
        assert b"GET /first" in first.recv(1000)

        assert running.get("/a") == b"GET /a"

        assert read_all(second) == b""
        first.sendall(b"GET /again HTTP/1.1\r\n\r\n")
        assert b"GET /again" in first.recv(1000)


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        pytest.param("gzip", True, id="plain"),
        pytest.param("deflate, gzip;q=0.5, br", True, id="among others"),
        pytest.param("*", True, id="anything"),
        pytest.param("gzip;q=0", False, id="explicitly not"),
        pytest.param("gzip; q=0.000", False, id="not at all"),
        pytest.param("identity", False, id="another"),
        pytest.param("", False, id="empty"),
    ],
)
def test_gzip_is_used_only_when_it_is_accepted(header: str, *, accepted: bool) -> None:
    request = Request(method="GET", path="/", headers={"accept-encoding": header}, keep_alive=True)

    assert request.accepts_gzip is accepted


def test_compressed_bodies_come_back_whole() -> None:
    assert gzip.decompress(compress(LARGE[:5000])) == LARGE[:5000]


def read_all(client: socket.socket) -> bytes:
    data = b""
    try:
        while received := client.recv(1 << 20):
            data += received
    except ConnectionResetError:
        pass
    return data


def test_a_body_counts_as_held_until_its_request_is_answered() -> None:
    ours, theirs = socket.socketpair()
    later = Later(60)
    with ours, theirs:
        ours.settimeout(0)
        connection = Connection(Transport(ours), RequestReader(), lambda _: later, headers=tuple, request_seconds=10)
        theirs.sendall(b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd")

        connection.on_ready()
        assert connection.held_bytes == 4

        connection.resume()
        assert connection.held_bytes == 0
