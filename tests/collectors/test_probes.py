"""TCP connects and HTTP probes of real listeners: what is counted when they answer, refuse, or stay silent."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

from perfloop.collectors.application import ApplicationCollector
from perfloop.collectors.connect import ConnectCollector
from perfloop.errors import Unavailable
from perfloop.stack.process import Child
from tests.collectors.pages import lint, page_of


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the path names."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/").partition("?")[0] or 200))
        self.end_headers()
        self.wfile.write(b"x" * 100_000)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def application() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_connect_is_timed(application: str) -> None:
    collector = ConnectCollector("web", application)
    collector.collect()

    page = page_of(collector.collect())

    assert page.value("perfloop_network_up", component="web") == 1
    assert page.value("perfloop_network_connects_total", component="web") == 2
    assert page.value("perfloop_network_connect_failures_total", component="web") == 0
    assert page.value("perfloop_network_connect_duration_seconds_count", component="web") == 2
    assert 0 < page.value("perfloop_network_connect_duration_seconds_sum", component="web") < 1
    assert page.value("perfloop_network_connect_duration_seconds_bucket", component="web", le="+Inf") == 2
    assert lint(page.text) == ""


def test_a_refused_connect_is_a_failure_without_a_duration(dead_address: str) -> None:
    collector = ConnectCollector("web", dead_address)

    with pytest.raises(Unavailable, match="refused"):
        collector.collect()

    page = page_of(collector.down())
    assert page.value("perfloop_network_up", component="web") == 0
    assert page.value("perfloop_network_connect_failures_total", component="web") == 1
    assert page.value("perfloop_network_connect_duration_seconds_count", component="web") == 0


@pytest.mark.parametrize(
    ("path", "expected", "up"),
    [
        pytest.param("/", None, 1, id="200 is fine"),
        pytest.param("/302", None, 1, id="a redirect is an answer"),
        pytest.param("/404", None, 0, id="404 is not what one expects"),
        pytest.param("/503", None, 0, id="503 is a failure"),
        pytest.param("/404", 404, 1, id="404 when it is expected"),
        pytest.param("/200?a=b", 201, 0, id="200 when 201 is expected"),
    ],
)
def test_a_probe_is_judged_by_its_status(application: str, path: str, expected: int | None, up: int) -> None:
    collector = ApplicationCollector("web", f"http://{application}{path}", expect_status=expected)

    page = page_of(collector.collect())

    assert page.value("perfloop_application_up", component="web") == up
    assert page.value("perfloop_application_probes_total", component="web") == 1
    assert page.value("perfloop_application_probe_failures_total", component="web") == 1 - up
    assert page.value("perfloop_application_response_duration_seconds_count", component="web") == 1
    assert page.value("perfloop_application_status_code", component="web") == int(
        path.strip("/").partition("?")[0] or 200
    )
    assert lint(page.text) == ""


def test_a_probe_without_an_answer_has_no_status_and_no_duration(dead_address: str) -> None:
    collector = ApplicationCollector("web", f"http://{dead_address}/")

    with pytest.raises(Unavailable, match="refused"):
        collector.collect()

    page = page_of(collector.down())
    assert page.value("perfloop_application_probe_failures_total", component="web") == 1
    assert page.value("perfloop_application_response_duration_seconds_count", component="web") == 0
    assert "perfloop_application_status_code" not in page.names()


def test_a_silent_application_is_given_up(black_hole: str) -> None:
    collector = ApplicationCollector("web", f"http://{black_hole}/", timeout_seconds=0.1)

    with pytest.raises(Unavailable, match="timed out"):
        collector.collect()


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://127.0.0.1:port/", id="a port that is none"),
        pytest.param("http://127.0.0.1:1/ü", id="a path that is not ASCII"),
        pytest.param("http://[::1/", id="an address that is none"),
    ],
)
def test_an_odd_url_is_a_failed_probe_and_its_token_stays_secret(url: str) -> None:
    collector = ApplicationCollector("web", f"{url}?token=s3cret")

    with pytest.raises(Unavailable) as caught:
        collector.collect()

    assert "s3cret" not in str(caught.value)
    assert page_of(collector.down()).value("perfloop_application_probe_failures_total", component="web") == 1


def test_something_that_is_not_http_is_unavailable(redis: Child) -> None:
    collector = ApplicationCollector("web", f"http://{redis.address}/", timeout_seconds=1)

    with pytest.raises(Unavailable):
        collector.collect()
