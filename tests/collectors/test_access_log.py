"""Access logs that real nginx, Apache and HAProxy write, through rotations as logrotate makes them."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perfloop import config
from perfloop.app.collectors import build_collectors
from perfloop.collectors.access_log import AccessLogCollector
from perfloop.collectors.logs.formats import Format
from perfloop.stack.process import Child
from tests.collectors import webservers
from tests.collectors.pages import Page, lint, page_of
from tests.support import eventually

ROUTES = ("/users/{id}", "/broken", "/missing")
Rotate = Callable[[Child, Path], None]


def rename(server: Child, log: Path) -> None:
    """Rotate as logrotate does with a postrotate script; the server writes to the old file until it sees the signal."""
    log.rename(log.with_name(f"{log.name}.1"))
    webservers.ask(server, "/users/between")
    server.send(signal.SIGUSR1)
    eventually(log.exists, what="the server's new log")


def rename_and_compress_at_once(server: Child, log: Path) -> None:
    """The old file is gone as soon as the new one is there."""
    rename(server, log)
    log.with_name(f"{log.name}.1").unlink()


def copy_and_truncate(server: Child, log: Path) -> None:
    """Rotate as logrotate does with `copytruncate`."""
    webservers.ask(server, "/users/between")
    eventually(lambda: b"between" in log.read_bytes())
    shutil.copy(log, log.with_name(f"{log.name}.1"))
    with log.open("r+b") as file:
        file.truncate(0)


@pytest.fixture(scope="module")
def folder(server_folder: Path) -> Path:
    """Apache's workers, who are not root, read it too."""
    return server_folder


def _serving(server: Child) -> Iterator[Child]:
    server.start()
    server.wait_ready()
    yield server
    server.stop()


@pytest.fixture(params=["nginx", "apache", "haproxy"])
def web(request: pytest.FixtureRequest, folder: Path) -> Iterator[tuple[Child, Path, str]]:
    place = folder / f"{request.node.name.replace('/', ' ')}"
    place.mkdir()
    place.chmod(0o755)
    log = place / ("haproxy.out" if request.param == "haproxy" else "access.log")
    arguments = (place,) if request.param == "haproxy" else (place, log)
    for server in _serving(getattr(webservers, request.param)(*arguments)):
        yield server, log, request.param


def collector(log: Path, written: str, tmp_path: Path) -> AccessLogCollector:
    state = tmp_path / "state" / "shop.json"
    return AccessLogCollector("shop", log, state=state, written=Format(name=written), routes=ROUTES, from_start=True)


def requests(page: Page, **labels: str) -> float:
    return sum(page.values("perfloop_http_requests_total", component="shop", **labels))


def settled(source: AccessLogCollector, count: int, **labels: str) -> Page:
    """Scrape until the server has written what it was asked for: it may do so after its answer."""
    return eventually(
        lambda: page if requests(page := page_of(source.collect()), **labels) >= count else None,
        what=f"{count} requests",
    )


def test_what_a_server_answered_is_counted(web: tuple[Child, Path, str], tmp_path: Path) -> None:
    server, log, written = web
    statuses = [webservers.ask(server, path) for path in ("/users/1?secret=x", "/users/2", "/broken", "/missing")]
    webservers.ask(server, "/users/3", method="POST")
    source = collector(log, written, tmp_path)

    page = settled(source, 1, method="POST")

    assert statuses == [200, 200, 503, 404]
    assert requests(page, route="/users/{id}", method="GET", code="2xx") == 2
    assert requests(page, route="/users/{id}", method="POST", code="2xx") == 1
    assert requests(page, route="/users/{id}", method="GET", code="5xx") == 0
    assert requests(page, route="/broken", code="5xx") == 1
    assert requests(page, route="/missing", code="4xx") == 1
    count = page.value("perfloop_http_request_duration_seconds_count", component="shop", route="/users/{id}")
    seconds = page.value("perfloop_http_request_duration_seconds_sum", component="shop", route="/users/{id}")
    assert (count, seconds < 1) == (3, True)
    assert page.value("perfloop_http_response_bytes_total", component="shop", route="/users/{id}") >= 3 * len("welcome")
    assert page.value("perfloop_access_log_up", component="shop") == 1
    assert page.value("perfloop_access_log_unparsed_lines_total", component="shop") == 0
    assert "secret" not in page.text
    assert lint(page.text) == ""
    source.close()


@pytest.mark.parametrize("rotate", [rename, rename_and_compress_at_once, copy_and_truncate])
def test_no_rotation_loses_or_doubles_a_request(web: tuple[Child, Path, str], rotate: Rotate, tmp_path: Path) -> None:
    server, log, written = web
    if written == "haproxy":
        # It prints; what keeps that in a file has no signal for it.
        rotate = copy_and_truncate
    source = collector(log, written, tmp_path)
    webservers.ask(server, "/users/before")
    settled(source, 1, route="/users/{id}")
    webservers.ask(server, "/users/unread")

    rotate(server, log)
    webservers.ask(server, "/users/after")

    page = settled(source, 4, route="/users/{id}")
    assert requests(page, route="/users/{id}") == 4
    assert requests(page_of(source.collect()), route="/users/{id}") == 4
    assert page.value("perfloop_access_log_rotations_total", component="shop") == 1
    assert page.value("perfloop_access_log_lost_files_total", component="shop") == 0
    source.close()


def test_perfloop_yml_says_which_logs_are_read(tmp_path: Path) -> None:
    (tmp_path / "shop.log").write_text('{"code": 503, "took": 250, "request": {"uri": "/users/7"}}\n')
    text = """
        collectors:
          system: {enabled: false}
          network: {enabled: false}
          access_log:
            files:
              - component: shop
                path: shop.log
                format: json
                keys: {status: code, duration: took, path: request.uri}
                duration_unit: milliseconds
                routes: ["/users/{id}"]
                start: beginning
    """
    recipes = build_collectors(config.parse(text), base=tmp_path, environ={})
    [source] = [made for recipe in recipes if (made := recipe.make()).name == "access_log"]

    page = page_of(source.collect())

    assert requests(page, route="/users/{id}", method="other", code="5xx") == 1
    assert page.value("perfloop_http_request_duration_seconds_sum", component="shop", route="/users/{id}") == 0.25
    assert page.values("perfloop_http_response_bytes_total") == []
    assert (tmp_path / ".perfloop" / "access_log" / "shop.json").exists()
    source.close()
