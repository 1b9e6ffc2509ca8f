"""Users, passwords, headers and rates, through curl and plain sockets."""

from __future__ import annotations

import base64
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bcrypt
import pytest

from perfloop.exposition.passwords import MAX_WAITING
from perfloop.stack import servers
from perfloop.stack.process import free_port
from tests.exposition.certificates import Authority
from tests.exposition.serving import Serving
from tests.support import eventually

# Cost 4 is bcrypt's least: what is tested here is not how long it takes.
USERS = f"basic_auth_users: {{alice: {bcrypt.hashpw(b's3cret', bcrypt.gensalt(4)).decode()}}}\n"
SLOW_USERS = f"basic_auth_users: {{alice: {bcrypt.hashpw(b's3cret', bcrypt.gensalt(11)).decode()}}}\n"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str], Serving]]:
    made: list[Serving] = []

    def make(config: str) -> Serving:
        made.append(Serving(tmp_path, config))
        return made[-1]

    yield make
    for serving in made:
        serving.stop()


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_curl_comes_in_with_the_right_password_only(serve: Callable[[str], Serving]) -> None:
    serving = serve(USERS)

    assert serving.curl("--user", "alice:s3cret", scheme="http") == "GET /metrics"
    assert serving.curl("--user", "alice:wrong", scheme="http") == "401 Unauthorized\n"
    assert serving.curl("--user", "bob:s3cret", scheme="http") == "401 Unauthorized\n"


def test_without_credentials_the_client_is_asked_for_them(serve: Callable[[str], Serving]) -> None:
    answer = serve(USERS).get()

    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="perfloop", charset="UTF-8"')


def test_health_is_open_to_everybody(serve: Callable[[str], Serving]) -> None:
    assert serve(USERS).get("/-/healthy").status == 200


@pytest.mark.parametrize("path", ["/-/healthy/", "//-/healthy", "/-/healthy%2f", "/-/HEALTHY", "http://x/-/healthy/.."])
def test_nothing_near_to_an_open_path_is_open(serve: Callable[[str], Serving], path: str) -> None:
    assert serve(USERS).get(path).status == 401


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic !",
        "Basic YWxpY2U=",
        "Bearer s3cret",
        "Basic " + "A" * 8000,
        "Basic YWxpY2U6AHMzY3JldA==",
        "Basic /w==",
    ],
)
def test_credentials_that_are_none_do_not_come_in(serve: Callable[[str], Serving], header: str) -> None:
    assert serve(USERS).get(Authorization=header).status == 401


def test_a_password_is_computed_once_and_then_known(serve: Callable[[str], Serving]) -> None:
    serving = serve(SLOW_USERS)
    first, again = (timed(serving, basic("alice", "s3cret"))[1] for _ in range(2))

    assert again < first / 4


def test_a_wrong_password_takes_as_long_for_a_user_as_for_nobody(serve: Callable[[str], Serving]) -> None:
    serving = serve(SLOW_USERS)

    statuses, seconds = zip(*(timed(serving, basic(user, "wrong")) for user in ("alice", "nobody")), strict=True)

    assert statuses == (401, 401)
    assert min(seconds) > max(seconds) / 4


def test_nobody_waits_for_somebody_elses_password(serve: Callable[[str], Serving]) -> None:
    serving = serve(SLOW_USERS)
    timed(serving, basic("alice", "s3cret"))

    with ThreadPoolExecutor(4) as guessers:
        guesses = [guessers.submit(timed, serving, basic("alice", f"guess {n}")) for n in range(4)]
        seconds = sorted(timed(serving, basic("alice", "s3cret"))[1] for _ in range(5))

    assert seconds[2] < 0.1, "bcrypt at this cost takes longer"
    assert [guess.result()[0] for guess in guesses] == [401] * 4


def test_too_many_guesses_at_once_are_turned_away(serve: Callable[[str], Serving]) -> None:
    serving = serve(SLOW_USERS)
    timed(serving, basic("alice", "s3cret"))

    clients = [serving.connect() for _ in range(MAX_WAITING + 24)]
    for number, client in enumerate(clients):
        header = basic("alice", f"guess {number}")["Authorization"]
        client.sendall(f"GET / HTTP/1.1\r\nAuthorization: {header}\r\n\r\n".encode())

    # While they were sent, a few may have been checked.
    assert any(client.recv(1000).startswith(b"HTTP/1.1 503 ") for client in reversed(clients))
    assert timed(serving, basic("alice", "s3cret"))[0] == 200
    for client in clients:
        client.close()


def test_a_hundred_first_scrapes_at_once_all_come_in(serve: Callable[[str], Serving]) -> None:
    serving = serve(SLOW_USERS)

    with ThreadPoolExecutor(100) as scrapers:
        statuses = list(scrapers.map(lambda _: timed(serving, basic("alice", "s3cret"))[0], range(100)))

    assert statuses == [200] * 100


def test_a_changed_password_counts_at_once_and_the_old_one_no_more(serve: Callable[[str], Serving]) -> None:
    serving = serve(USERS)
    assert serving.get(**basic("alice", "s3cret")).status == 200

    serving.rewrite(f"basic_auth_users: {{alice: {bcrypt.hashpw(b'new', bcrypt.gensalt(4)).decode()}}}\n")

    assert serving.get(**basic("alice", "s3cret")).status == 401
    assert serving.get(**basic("alice", "new")).status == 200


def test_a_broken_new_file_leaves_the_old_one_in_force(serve: Callable[[str], Serving]) -> None:
    serving = serve(USERS)

    serving.rewrite("basic_auth_users: {alice: plain}\n")

    assert serving.get().status == 401
    assert serving.get(**basic("alice", "s3cret")).status == 200
    assert not serving.web.successful
    serving.rewrite(USERS)
    assert serving.get().status == 401
    assert serving.web.successful


def test_a_file_that_is_gone_leaves_the_old_one_in_force(serve: Callable[[str], Serving]) -> None:
    serving = serve(USERS)

    serving.file.unlink()
    serving.seconds += 2

    assert serving.get().status == 401
    assert not serving.web.successful


def test_the_headers_of_the_file_are_on_every_answer(serve: Callable[[str], Serving]) -> None:
    serving = serve(
        USERS
        + "http_server_config: {http2: true, headers: {X-Frame-Options: deny, Strict-Transport-Security: max-age=5}}"
    )

    for answer in (serving.get(), serving.get("/-/healthy"), serving.get(**basic("alice", "s3cret"))):
        assert answer.headers["X-Frame-Options"] == "deny"
        assert answer.headers["Strict-Transport-Security"] == "max-age=5"
        assert "Content-Security-Policy" not in answer.headers


def test_a_rate_lets_a_burst_pass_and_health_always(serve: Callable[[str], Serving]) -> None:
    serving = serve("rate_limit: {interval: 1h, burst: 3}\n")

    assert [serving.get().status for _ in range(5)] == [200, 200, 200, 429, 429]
    assert serving.get("/-/healthy").status == 200


def test_a_rate_fills_up_again(serve: Callable[[str], Serving]) -> None:
    serving = serve("rate_limit: {interval: 50ms, burst: 1}\n")
    assert serving.get().status == 200

    assert eventually(lambda: serving.get().status == 200)


def test_prometheus_scrapes_with_tls_and_a_password(tmp_path: Path) -> None:
    Authority(tmp_path).sign("server", "DNS:localhost")
    serving = Serving(tmp_path, USERS + "tls_server_config: {cert_file: server.pem, key_file: server.key}\n")
    config = tmp_path / "prometheus.yml"
    config.write_text(f"""
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
  - job_name: exporter
    scheme: https
    metrics_path: /exposition
    tls_config: {{ca_file: {tmp_path}/ca.pem}}
    basic_auth: {{username: alice, password: s3cret}}
    static_configs: [{{targets: ["localhost:{serving.port}"]}}]
""")
    prometheus = servers.prometheus(tmp_path, config=config, port=free_port())
    prometheus.start()
    try:
        prometheus.wait_ready()
        value = eventually(lambda: query(prometheus.address, "sum_over_time(answer[5s]) > 200"))
    finally:
        prometheus.stop()
        serving.stop()

    assert int(value) % 42 == 0


def query(address: str, expression: str) -> str:
    url = f"{address}/api/v1/query?query={urllib.request.quote(expression)}"  # type: ignore[attr-defined]
    with urllib.request.urlopen(url, timeout=5) as answer:
        result = json.load(answer)["data"]["result"]
    return str(result[0]["value"][1]) if result else ""


def timed(serving: Serving, headers: dict[str, str]) -> tuple[int, float]:
    started_at = time.monotonic()
    status = serving.get(**headers).status
    return status, time.monotonic() - started_at
