"""ASGI applications under real uvicorn, in one process and in several."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from perfloop.instrument import AsgiMiddleware
from perfloop.stack.process import Child, free_port
from perfloop.stack.servers import tcp_ready
from tests.collectors.pages import Page, lint
from tests.support import eventually

ROOT = Path(__file__).parents[2]
NAME = "perfloop_http_requests_total"


def uvicorn(folder: Path, *options: str, env: dict[str, str] | None = None) -> Child:
    port = free_port()
    argv = [sys.executable, "-m", "uvicorn", "tests.instrument.served:app", f"--port={port}", "--log-level=error"]
    return Child(
        "uvicorn",
        [*argv, f"--app-dir={ROOT}", *options],
        log=folder / "uvicorn.log",
        ready=lambda: tcp_ready(port),
        env={**os.environ, **(env or {})},
        address=f"127.0.0.1:{port}",
    )


def _running(server: Child) -> Iterator[Child]:
    server.start()
    server.wait_ready()
    yield server
    server.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Child]:
    yield from _running(uvicorn(tmp_path))


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Child]:
    folder = tmp_path / "multiproc"
    folder.mkdir()
    env = {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    yield from _running(uvicorn(tmp_path, "--workers=2", "--timeout-worker-healthcheck=20", env=env))


def get(server: Child, path: str) -> bytes:
    """Fetch a path; an answer that breaks off, or none, is empty."""
    try:
        with urllib.request.urlopen(f"http://{server.address}{path}", timeout=10) as answer:
            return bytes(answer.read())
    except (urllib.error.HTTPError, OSError, ValueError):
        return b""
    except Exception as error:
        if type(error).__module__ != "http.client":
            raise
        return b""


def page(server: Child) -> Page:
    return Page(get(server, "/metrics"))


def test_requests_are_counted_by_the_route_that_the_framework_matched(server: Child) -> None:
    for path in ("/users/1?q=secret", "/users/2", "/orders/1"):
        get(server, path)

    seen = page(server)

    assert seen.value(NAME, component="shop", route="/users", method="GET", code="2xx") == 2
    assert seen.value(NAME, component="shop", route="/users", method="GET", code="5xx") == 0
    assert seen.value("perfloop_http_request_duration_seconds_count", component="shop", route="/users") == 2
    assert seen.value("perfloop_http_requests_in_progress", component="shop") == 0
    assert "secret" not in seen.text
    assert [line for line in lint(seen.text).splitlines() if "perfloop" in line and "_created" not in line] == []


def test_exceptions_and_broken_answers_are_errors(server: Child) -> None:
    get(server, "/raise")
    get(server, "/break")

    seen = page(server)

    for route in ("/raise", "/break"):
        assert seen.value(NAME, component="shop", route=route, method="GET", code="5xx") == 1
    assert seen.value("perfloop_http_requests_in_progress", component="shop") == 0


def test_an_answer_in_parts_is_timed_to_its_end(server: Child) -> None:
    get(server, "/stream")

    assert page(server).value("perfloop_http_request_duration_seconds_sum", component="shop", route="/stream") >= 0.15


def test_who_goes_away_is_counted(server: Child) -> None:
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(1000)
        assert page(server).value("perfloop_http_requests_in_progress", component="shop") == 1

    eventually(lambda: page(server).value("perfloop_http_disconnects_total", component="shop") == 1)
    assert page(server).value("perfloop_http_requests_in_progress", component="shop") == 0


def test_routes_are_capped(server: Child) -> None:
    for number in range(8):
        get(server, f"/route{number}")

    seen = page(server)

    assert seen.labels(NAME, "route") == {*(f"/route{number}" for number in range(5)), "other"}
    assert seen.value("perfloop_http_capped_requests_total", component="shop") == 3


def test_workers_are_counted_together_and_a_dead_one_has_nothing_in_progress(workers: Child) -> None:
    asked: list[bytes] = []
    eventually(lambda: asked.append(get(workers, "/who")) or len(set(asked)) == 2, what="an answer of both workers")

    def counted() -> float:
        return sum(page(workers).values(NAME, component="shop", route="/who"))

    # Another worker may show the page before the one that answered has counted.
    eventually(lambda: counted() == len(asked))
    get(workers, "/die")
    eventually(lambda: page(workers).value("perfloop_http_requests_in_progress", component="shop") == 0)
    assert counted() == len(asked)


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
def test_what_is_no_http_passes_untouched(kind: str) -> None:
    passed: list[object] = []

    async def application(*arguments: object) -> None:
        passed.extend(arguments)

    registry = CollectorRegistry()
    scope, receive, send = {"type": kind}, _never, _never
    asyncio.run(AsgiMiddleware(application, component="shop", registry=registry)(scope, receive, send))

    assert passed == [scope, receive, send]
    assert registry.get_sample_value("perfloop_http_requests_in_progress", {"component": "shop"}) == 0


async def _never(*_: object) -> dict[str, object]:
    raise AssertionError("nothing was to be sent or received")


def test_the_template_of_litestar_is_the_route() -> None:
    from litestar import Litestar, get
    from litestar.testing import TestClient

    @get("/users/{user:int}", sync_to_thread=False)
    def user(user: int) -> str:
        return str(user)

    registry = CollectorRegistry()
    measured = AsgiMiddleware(Litestar([user]), component="shop", registry=registry)  # type: ignore[arg-type]
    with TestClient(measured) as client:  # type: ignore[arg-type]
        assert client.get("/users/7").text == "7"
        client.get("/nowhere/7")

    for route, code in (("/users/{user}", "2xx"), ("other", "4xx")):
        labels = {"component": "shop", "route": route, "method": "GET", "code": code}
        assert registry.get_sample_value(NAME, labels) == 1
