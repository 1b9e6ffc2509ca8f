"""WSGI applications under wsgiref, as a client sees them, and what both middlewares share with access logs."""

from __future__ import annotations

import http.client
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from prometheus_client import CollectorRegistry
from werkzeug.wrappers import Request

from perfloop.collectors.logs import counts
from perfloop.instrument import WsgiMiddleware, meter, wsgi_metrics_app
from tests.collectors.pages import Page, lint
from tests.support import eventually

NAME = "perfloop_http_requests_total"
LARGE = 50_000_000


class Threads(ThreadingMixIn, WSGIServer):
    """wsgiref with a thread for each request."""

    daemon_threads = True


class Quiet(WSGIRequestHandler):
    """Says nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def get_stderr(self) -> Any:
        return open("/dev/null", "w", encoding="utf-8")  # noqa: PTH123


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    path = environ["PATH_INFO"]
    environ["perfloop.route"] = "/" + path.strip("/").partition("/")[0]
    if path == "/raise":
        raise RuntimeError("as asked")
    start_response("404 Not Found" if path == "/missing" else "200 OK", [("Content-Type", "text/plain")])
    return {"/stream": _stream, "/break": _break, "/large": _large}.get(path, lambda: [b"welcome"])()


def _stream() -> Iterator[bytes]:
    for _ in range(3):
        yield b"part"
        time.sleep(0.05)


def _break() -> Iterator[bytes]:
    yield b"part"
    raise RuntimeError("as asked")


def _large() -> Iterator[bytes]:
    for _ in range(LARGE // 100_000):
        yield b"x" * 100_000


@contextmanager
def serving(app: Any) -> Iterator[str]:
    with make_server("127.0.0.1", 0, app, server_class=Threads, handler_class=Quiet) as server:
        threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def address() -> Iterator[str]:
    registry = CollectorRegistry()
    measured = WsgiMiddleware(application, component="shop", max_routes=5, registry=registry)
    metrics = wsgi_metrics_app(registry)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        return (metrics if environ["PATH_INFO"] == "/metrics" else measured)(environ, start_response)

    with serving(app) as address:
        yield address


def get(address: str, path: str, method: str = "GET") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined]
    connection.close()
    return answer


def page(address: str) -> Page:
    """Return the page when all requests have ended: a client has its answer a moment before it is counted."""

    def settled() -> Page | None:
        seen = Page(get(address, "/metrics").body)  # type: ignore[attr-defined]
        return None if seen.value("perfloop_http_requests_in_progress", component="shop") else seen

    return eventually(settled)


def test_requests_are_counted_by_the_route_that_the_application_names(address: str) -> None:
    for path in ("/users/1?q=secret", "/users/2", "/missing"):
        get(address, path)

    seen = page(address)

    assert seen.value(NAME, component="shop", route="/users", method="GET", code="2xx") == 2
    assert seen.value(NAME, component="shop", route="/missing", method="GET", code="4xx") == 1
    assert seen.value("perfloop_http_request_duration_seconds_count", component="shop", route="/users") == 2
    assert seen.value("perfloop_http_requests_in_progress", component="shop") == 0
    assert "secret" not in seen.text
    assert [line for line in lint(seen.text).splitlines() if "perfloop" in line and "_created" not in line] == []


def test_an_answer_keeps_its_length(address: str) -> None:
    assert get(address, "/users/1").getheader("Content-Length") == str(len("welcome"))


def test_a_head_request_is_no_client_that_went_away(address: str) -> None:
    get(address, "/users/1", method="HEAD")

    seen = page(address)

    assert seen.value(NAME, component="shop", route="/users", method="HEAD", code="2xx") == 1
    assert seen.value("perfloop_http_disconnects_total", component="shop") == 0


def test_exceptions_and_broken_answers_are_errors(address: str) -> None:
    for path in ("/raise", "/break"):
        get(address, path)

    seen = page(address)

    for route in ("other", "/break"):
        assert seen.values(NAME, component="shop", route=route, method="GET", code="5xx") in ([1], [])
    assert sum(seen.values(NAME, code="5xx")) == 2
    assert seen.value("perfloop_http_disconnects_total", component="shop") == 0


def test_an_answer_in_parts_is_timed_to_its_end(address: str) -> None:
    get(address, "/stream")

    assert page(address).value("perfloop_http_request_duration_seconds_sum", component="shop", route="/stream") >= 0.15


def test_who_goes_away_is_counted(address: str) -> None:
    host, port = address.split(":")
    with socket.create_connection((host, int(port))) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(1000)

    eventually(lambda: page(address).value("perfloop_http_disconnects_total", component="shop") == 1)
    assert page(address).value("perfloop_http_requests_in_progress", component="shop") == 0


def test_the_rule_of_flask_is_the_route() -> None:
    class Rule:
        rule = "/users/<int:id>"

    class FlaskRequest(Request):
        url_rule = Rule()

    def flask(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        FlaskRequest(environ)
        return application(environ | {}, start_response)

    registry = CollectorRegistry()
    with serving(WsgiMiddleware(flask, component="shop", registry=registry)) as address:
        get(address, "/users/1")
        labels = {"component": "shop", "route": "/users/<int:id>", "method": "GET", "code": "2xx"}
        eventually(lambda: registry.get_sample_value(NAME, labels) == 1)


def test_a_route_that_raises_breaks_nothing() -> None:
    def resolve(_: dict[str, Any]) -> str:
        raise LookupError("no such path")

    registry = CollectorRegistry()
    with serving(WsgiMiddleware(application, component="shop", route=resolve, registry=registry)) as address:
        assert get(address, "/users/1").status == 200
        labels = {"component": "shop", "route": "other", "method": "GET", "code": "2xx"}
        eventually(lambda: registry.get_sample_value(NAME, labels) == 1)


def test_names_are_those_of_the_access_logs() -> None:
    registry = CollectorRegistry()
    metrics = meter.Metrics(registry)
    metrics.requests.labels("shop", "/", "GET", "2xx")
    metrics.duration.labels("shop", "/")
    labels = {
        f"{f.name}{'_total' * (f.type == 'counter')}": set(f.samples[0].labels) - {"le"}
        for f in registry.collect()
        if f.samples
    }

    assert labels[counts.REQUESTS.name] == set(counts.REQUESTS.labels)
    assert labels[counts.DURATION.name] == set(counts.DURATION.labels)
    assert meter.BOUNDS_SECONDS == counts.BOUNDS_SECONDS
    assert set(counts.METHODS) == meter.METHODS


def test_importing_it_imports_nothing_of_the_exporter() -> None:
    code = (
        "import sys, perfloop.instrument\n"
        "print(*sorted(name for name in sys.modules if name.startswith('perfloop')), 'msgspec' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == [
        "perfloop",
        *(f"perfloop.instrument{part}" for part in ("", ".asgi", ".meter", ".page", ".wsgi")),
        "False",
    ]
