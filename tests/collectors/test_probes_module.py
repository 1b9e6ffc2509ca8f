"""/probe?target=&module=: one probe with a page of its own, within the client's time, and never too many at once."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path

import pytest
import requests

from perfloop.app.probe import FAMILIES, Answer, Probing
from perfloop.collectors.probes.probing import Reason
from perfloop.config import parse
from perfloop.errors import ConfigInvalid, QueryInvalid
from perfloop.exposition.http import Request, Response
from perfloop.exposition.server import Server
from tests.collectors.listeners import Listener, drips
from tests.collectors.name_server import NameServer
from tests.collectors.pages import Page, lint
from tests.collectors.web_server import INTERMEDIATE_EXPIRES_AT, WebServer
from tests.support import eventually


class Asking:
    """/probe with the modules of a configuration."""

    def __init__(
        self, folder: Path, modules: str = "{}", *, most: int = 20, notify: Callable[[], None] | None = None
    ) -> None:
        text = f"collectors: {{probe: {{max_concurrent: {most}, modules: {modules}}}}}"
        self.ended = threading.Event()
        self.probing = Probing(notify=notify or self.ended.set)
        section = parse(text).collectors.probe
        self.probing.replace(section, base=folder, environ={"TOKEN": "s3cret"})

    def handle(self, request: Request) -> Response | Answer:
        return self.probing.answer(request) if request.path == "/probe" else Response(body=b"others\n")

    def ask(self, *, timeout: str = "5.5", **query: str) -> Response | Answer:
        headers = {"x-prometheus-scrape-timeout-seconds": timeout}
        parameters = {key: (value,) for key, value in query.items()}
        return self.probing.answer(
            Request(method="GET", path="/probe", headers=headers, keep_alive=True, query=parameters)
        )

    def page(self, *, timeout: str = "5.5", **query: str) -> Page:
        answer = self.ask(timeout=timeout, **query)
        assert isinstance(answer, Answer)
        eventually(lambda: answer.ready or time.monotonic() > answer.deadline, what="the end of the probe")
        response = answer.response()
        assert response.status is HTTPStatus.OK
        return Page(response.body)


@pytest.fixture
def asking(tmp_path: Path) -> Callable[..., Asking]:
    return lambda *arguments, **keywords: Asking(tmp_path, *arguments, **keywords)


def test_a_url_is_probed(asking: Callable[..., Asking], web_server: WebServer) -> None:
    page = asking().page(target=f"http://{web_server.http}/302")

    assert page.value("perfloop_probe_success") == 1
    assert page.value("perfloop_probe_http_status_code") == 200
    assert page.labels("perfloop_probe_phase_seconds", "phase") == {"dns", "connect", "tls", "first_byte", "transfer"}
    assert 0 < sum(page.values("perfloop_probe_phase_seconds")) <= page.value("perfloop_probe_duration_seconds") < 5
    assert page.labels("perfloop_probe_failure", "reason") == {*map(str, Reason)}
    assert sum(page.values("perfloop_probe_failure")) == 0
    assert page.names() <= {family.name for family in FAMILIES}
    assert lint(page.text) == ""


def test_without_a_scheme_http_is_meant(asking: Callable[..., Asking], web_server: WebServer) -> None:
    assert asking().page(target=web_server.http).value("perfloop_probe_success") == 1


@pytest.mark.parametrize(
    ("module", "target", "phases"),
    [
        pytest.param("tcp_connect", "{web}", set(), id="tcp"),
        pytest.param("good", "{tls}", {"connect", "tls"}, id="tls"),
        pytest.param("icmp", "127.0.0.1", {"dns", "echo"}, id="ping"),
        pytest.param("lookup", "{dns}", {"lookup"}, id="dns"),
    ],
)
def test_every_prober_has_its_phases(
    asking: Callable[..., Asking], web_server: WebServer, module: str, target: str, phases: set[str]
) -> None:
    modules = f"""{{good: {{prober: tls, tls: {{ca_file: {web_server.ca_file}}}}},
                    lookup: {{prober: dns, dns: {{name: a.test}}}}}}"""

    with NameServer() as server:
        target = target.format(web=web_server.http, tls=web_server.good, dns=server.address)
        page = asking(modules).page(target=target, module=module)

    assert page.value("perfloop_probe_success") == 1
    assert page.labels("perfloop_probe_phase_seconds", "phase") == phases
    assert lint(page.text) == ""
    expiry = [INTERMEDIATE_EXPIRES_AT] if module == "good" else []
    assert page.values("perfloop_probe_certificate_expiry_timestamp_seconds") == expiry


def test_a_failure_says_its_reason(asking: Callable[..., Asking], web_server: WebServer) -> None:
    page = asking().page(target=f"http://{web_server.http}/503")

    assert page.value("perfloop_probe_success") == 0
    assert page.value("perfloop_probe_failure", reason="status") == 1
    assert sum(page.values("perfloop_probe_failure")) == 1
    assert page.value("perfloop_probe_http_status_code") == 503


def test_a_module_of_ones_own_sends_its_token(asking: Callable[..., Asking], web_server: WebServer) -> None:
    expected = "auth=Bearer s3cret"
    modules = f"{{api: {{prober: http, http: {{bearer_token: {{env: TOKEN}}, expect_body: '{expected}'}}}}}}"

    page = asking(modules).page(target=f"http://{web_server.http}/asked", module="api")

    assert page.value("perfloop_probe_success") == 1


@pytest.mark.parametrize(
    "query",
    [
        pytest.param({}, id="no target"),
        pytest.param({"target": ""}, id="an empty target"),
        pytest.param({"target": "a.test", "module": "nosuch"}, id="unknown module"),
        pytest.param({"target": "http://user:s3cret@127.0.0.1/"}, id="credentials"),
        pytest.param({"target": "user:s3cret@127.0.0.1"}, id="credentials without a scheme"),
        pytest.param({"target": "file:///etc/passwd"}, id="a file"),
        pytest.param({"target": "gopher://127.0.0.1/"}, id="another scheme"),
        pytest.param({"target": "http://"}, id="no host"),
        pytest.param({"target": "http://[::1/"}, id="a broken address"),
        pytest.param({"target": "http://127.0.0.1:x/"}, id="a broken port"),
        pytest.param({"target": "http://127.0.0.1/a\r\nX: s3cret"}, id="another header"),
        pytest.param({"target": "127.0.0.1", "module": "tcp_connect"}, id="no port"),
        pytest.param({"target": "/run/postgresql:5432", "module": "tcp_connect"}, id="a UNIX socket"),
        pytest.param({"target": "u:s3cret@h:80", "module": "tcp_connect"}, id="credentials to a port"),
        pytest.param({"target": "http://127.0.0.1", "module": "icmp"}, id="a URL to ping"),
    ],
)
def test_what_may_not_be_probed_is_refused(asking: Callable[..., Asking], query: dict[str, str]) -> None:
    with pytest.raises(QueryInvalid) as caught:
        asking().ask(**query)

    assert "s3cret" not in str(caught.value)


def test_two_targets_are_refused(asking: Callable[..., Asking]) -> None:
    request = Request(method="GET", path="/probe", headers={}, keep_alive=True, query={"target": ("a.test", "b.test")})

    with pytest.raises(QueryInvalid, match="more than once"):
        asking().probing.answer(request)


def test_a_probe_ends_half_a_second_before_prometheus_gives_up(asking: Callable[..., Asking], black_hole: str) -> None:
    started_at = time.monotonic()

    page = asking().page(target=f"http://{black_hole}/", timeout="0.7")

    assert time.monotonic() - started_at < 0.6
    assert page.value("perfloop_probe_failure", reason="timeout") == 1


def test_a_module_may_give_less_time(asking: Callable[..., Asking]) -> None:
    modules = "{short: {prober: http, timeout_seconds: 0.2}}"
    with Listener(drips(b"HTTP/1.1 200 OK\r\n\r\n", itertools.repeat(b"x"), seconds=0.01)) as listener:
        page = asking(modules).page(target=f"http://{listener.address}/", module="short")

    assert page.value("perfloop_probe_failure", reason="timeout") == 1
    assert 0.2 <= page.value("perfloop_probe_duration_seconds") < 0.5


def test_beyond_the_limit_clients_are_told_to_come_back(asking: Callable[..., Asking], black_hole: str) -> None:
    asks = asking("{short: {prober: http, timeout_seconds: 0.2}}", most=2)
    waiting = [asks.ask(target=black_hole, module="short") for _ in range(2)]

    refused = asks.ask(target=black_hole, module="short")

    assert isinstance(refused, Response)
    assert refused.status is HTTPStatus.SERVICE_UNAVAILABLE
    eventually(lambda: all(isinstance(answer, Answer) and answer.ready for answer in waiting))
    assert asks.ended.is_set()
    assert isinstance(asks.ask(target=black_hole, module="short"), Answer)


def test_a_probe_for_which_there_is_no_thread_keeps_no_place(asking: Callable[..., Asking], black_hole: str) -> None:
    running = asking(most=1)
    usual_bytes = threading.stack_size(1 << 46)
    try:
        with pytest.raises(RuntimeError, match="can't start new thread"):
            running.ask(module="tcp_connect", target=black_hole)
    finally:
        threading.stack_size(usual_bytes)

    assert isinstance(running.ask(module="tcp_connect", target=black_hole), Answer)


def test_a_target_that_hangs_delays_nobody_else(tmp_path: Path, web_server: WebServer, black_hole: str) -> None:
    asks = Asking(tmp_path, "{short: {prober: http, timeout_seconds: 0.4}}", notify=lambda: server.wake())  # noqa: PLW0108 - it comes later
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as clients:
        server = Server(listener, asks.handle)
        serving = clients.submit(server.serve)
        host, port = listener.getsockname()
        url = f"http://{host}:{port}"
        hung = clients.submit(requests.get, f"{url}/probe?module=short&target={black_hole}", timeout=5)
        good = requests.get(f"{url}/probe?target={web_server.http}", timeout=5)
        other = requests.get(f"{url}/metrics", timeout=5)
        hung_first = not hung.done()
        late = hung.result(5)
        server.stop()
        serving.result(5)

    assert hung_first
    assert other.text == "others\n"
    assert Page(good.content).value("perfloop_probe_success") == 1
    assert Page(late.content).value("perfloop_probe_failure", reason="timeout") == 1


def test_a_broken_configuration_leaves_the_old_modules(asking: Callable[..., Asking], tmp_path: Path) -> None:
    asks = asking("{mine: {prober: tcp}}")
    section = parse("collectors: {probe: {modules: {a: {prober: http, http: {bearer_token: {env: NONE}}}}}}")

    with pytest.raises(ConfigInvalid, match="NONE"):
        asks.probing.replace(section.collectors.probe, base=tmp_path, environ={})

    assert isinstance(asks.ask(target="127.0.0.1:1", module="mine"), Answer)


def test_where_it_is_switched_off_there_is_nothing(asking: Callable[..., Asking], tmp_path: Path) -> None:
    asks = asking()

    asks.probing.replace(parse("collectors: {probe: {enabled: false}}").collectors.probe, base=tmp_path, environ={})

    answer = asks.ask(target="127.0.0.1:1")
    assert isinstance(answer, Response)
    assert answer.status is HTTPStatus.NOT_FOUND
