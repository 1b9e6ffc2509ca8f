"""Pushes over real HTTP: what is shown, for how long, and what is refused with which answer."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    delete_from_gateway,
    push_to_gateway,
    pushadd_to_gateway,
)
from prometheus_client.exposition import default_handler
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from perfloop.app.push import Pushing
from perfloop.collectors.others.merge import Names
from perfloop.collectors.others.pushes import PushStore
from perfloop.collectors.push import PushCollector
from perfloop.config.schema.push import PushCollector as Section
from perfloop.exposition.http import Request
from perfloop.exposition.page import render_page
from perfloop.exposition.server import Server
from tests.collectors.pages import Page, lint, page_of
from tests.exposition.test_parse import PAGES

TOKEN = "a-token-of-the-tests"
GAUGE = "# HELP rows_processed Rows of the last run.\n# TYPE rows_processed gauge\nrows_processed 7\n"


class Exporter:
    """A server that takes pushes, and the page that shows them; `now` is the time by which pushes expire."""

    def __init__(self, *, token: str | None = TOKEN, names: Names | None = None, **section: Any) -> None:
        self.now = 1000.0
        self.store = PushStore(names, clock=lambda: self.now, monotonic=lambda: self.now)
        self.pushing = Pushing(self.store, Section(**section), token=token)
        self._collector = PushCollector(self.store)
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        self._server = Server([listener], self.pushing.answer, body_limit=self.pushing.body_limit)
        self._thread = threading.Thread(target=self._server.serve, daemon=True)
        self._thread.start()

    def push(
        self, body: str | bytes, job: str = "nightly", *, method: str = "POST", token: str = TOKEN, **headers: str
    ) -> tuple[int, str]:
        fields = {"Authorization": f"Bearer {token}"} | {key.replace("_", "-"): value for key, value in headers.items()}
        url = f"http://{self.address}/push/{job}"
        answer = requests.request(method, url, data=body, headers=fields, timeout=10)
        return answer.status_code, answer.text

    def page(self) -> Page:
        return page_of(self._collector.collect())

    def stop(self) -> None:
        self._server.stop()
        self._thread.join()


@pytest.fixture
def exporter() -> Iterator[Callable[..., Exporter]]:
    made: list[Exporter] = []

    def make(**settings_: Any) -> Exporter:
        made.append(Exporter(**settings_))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def test_a_push_is_on_the_page_with_its_job(exporter: Callable[..., Exporter]) -> None:
    running = exporter()

    answer = running.push(GAUGE)

    assert answer == (200, "job nightly: 1 families, for 3600 s\n")
    page = running.page()
    assert page.value("rows_processed", job="nightly") == 7
    assert page.value("perfloop_push_last_success_timestamp_seconds", job="nightly") == 1000
    assert page.value("perfloop_push_accepted_total", job="nightly") == 1
    assert page.value("perfloop_push_series", job="nightly") == 1
    assert lint(page.text) == ""


def test_a_second_delivery_changes_nothing(exporter: Callable[..., Exporter]) -> None:
    running = exporter()
    running.push(GAUGE)
    once = running.page()

    running.push(GAUGE)

    twice = running.page()
    assert twice.value("perfloop_push_accepted_total", job="nightly") == 2
    assert once.text.replace('_total{job="nightly"} 1', '_total{job="nightly"} 2', 1) == twice.text


def test_post_merges_by_family_put_replaces_the_job_and_delete_forgets_it(exporter: Callable[..., Exporter]) -> None:
    running = exporter()
    running.push('a{x="1"} 1\nb 1\n')
    running.push("other 1\n", job="other")

    running.push('a{x="2"} 2\n')
    merged = running.page()
    running.push("c 3\n", method="PUT")
    replaced = running.page()
    statuses = [running.push("", method="DELETE")[0] for _ in range(2)]
    gone = running.page()

    assert merged.values("a", job="nightly") == [2]
    assert merged.value("a", x="2", job="nightly") == 2
    assert merged.value("b", job="nightly") == 1
    assert {name for name in replaced.names() if "perfloop" not in name} == {"c", "other"}
    assert statuses == [200, 200]
    assert {name for name in gone.names() if "perfloop" not in name} == {"other"}
    assert gone.values("perfloop_push_series", job="nightly") == []


def test_what_expires_disappears_and_its_job_says_so(exporter: Callable[..., Exporter]) -> None:
    running = exporter(ttl_seconds=100)
    running.push("a 1\n")
    running.push("b 1\n", X_Perfloop_TTL_Seconds="10")
    running.push("c 1\n", X_Perfloop_TTL_Seconds="100000")

    running.now += 11
    after_ten = running.page()
    running.now += 90
    after_hundred = running.page()

    assert {name for name in after_ten.names() if "perfloop" not in name} == {"a", "c"}
    assert after_ten.value("perfloop_push_expired_total", job="nightly") == 1
    assert {name for name in after_hundred.names() if "perfloop" not in name} == set(), "no header prolongs"
    assert after_hundred.value("perfloop_push_expired_total", job="nightly") == 2
    assert after_hundred.value("perfloop_push_series", job="nightly") == 0
    assert after_hundred.value("perfloop_push_last_success_timestamp_seconds", job="nightly") == 1000


def test_a_push_in_time_keeps_metrics_alive(exporter: Callable[..., Exporter]) -> None:
    running = exporter(ttl_seconds=100)
    for _ in range(3):
        running.push("a 1\n")
        running.now += 99

    assert running.page().value("a", job="nightly") == 1
    assert running.page().value("perfloop_push_expired_total", job="nightly") == 0


@pytest.mark.parametrize(
    ("push", "status", "said"),
    [
        pytest.param({"body": "a 1\nb\n"}, 400, "line 2: expected NAME", id="no metrics"),
        pytest.param({"body": "a 1"}, 400, "line 1: has no line feed at its end", id="cut off"),
        pytest.param({"body": "a 1 1700000000000\n"}, 400, "line 1: has a timestamp", id="timestamp"),
        pytest.param({"body": 'a{job="x"} 1\n'}, 400, "line 1: the label job must be left out", id="another job"),
        pytest.param({"body": "a 1\n", "X_Perfloop_TTL_Seconds": "-1"}, 400, "expected a number > 0", id="no time"),
        pytest.param({"body": "a 1\n", "X_Perfloop_TTL_Seconds": "nan"}, 400, "expected a number > 0", id="NaN"),
        pytest.param({"body": "a 1\n", "token": "wrong"}, 401, "Authorization: Bearer", id="another token"),
        pytest.param({"body": "a 1\n", "token": ""}, 401, "Authorization: Bearer", id="no token"),
        pytest.param({"body": "a 1\n", "token": "\xe9"}, 401, "Authorization: Bearer", id="token that is no ASCII"),
        pytest.param({"body": "a 1\n", "job": "a%2Fb"}, 404, "expected /push/JOB", id="strange job"),
        pytest.param({"body": "a 1\n", "job": ""}, 404, "expected /push/JOB", id="no job"),
        pytest.param({"body": "a 1\n", "method": "PATCH"}, 405, "POST, PUT, DELETE", id="method"),
        pytest.param({"body": "# TYPE shared counter\nshared 1\n"}, 409, "shared is a counter here", id="type"),
        pytest.param({"body": "written 1\n"}, 409, "written is exported by another collector", id="name of a file"),
        pytest.param({"body": "perfloop_x 1\n"}, 409, "perfloop's own", id="our prefix"),
        pytest.param({"body": "a 1\n" * 300_000}, 413, "413", id="too large"),
        pytest.param({"body": "a 1\n", "Content_Type": "application/openmetrics-text"}, 415, "0.0.4", id="OpenMetrics"),
        pytest.param({"body": "a 1\n", "Content_Encoding": "gzip"}, 415, "not compressed", id="gzip"),
        pytest.param({"body": "".join(f"a{i} 1\n" for i in range(6))}, 400, "line 6: more than 5 series", id="series"),
        pytest.param({"body": "".join(f"a{i} 1\n" for i in range(4))}, 507, "6 series of all jobs, max 5", id="in all"),
        pytest.param({"body": "a 1\n", "job": "third"}, 507, "2 jobs are remembered, max 2", id="jobs"),
    ],
)
def test_a_push_that_is_refused_is_told_why_and_leaves_everything_as_it_was(
    exporter: Callable[..., Exporter], push: dict[str, str], status: int, said: str
) -> None:
    names = Names(written=frozenset({"written"}))
    running = exporter(names=names, max_jobs=2, max_series=5)
    running.push("# TYPE shared gauge\nshared 1\n", job="first")
    running.push("kept 1\n")
    before = running.page().text

    body = push.get("body", "")
    answer = running.push(body, **{key: value for key, value in push.items() if key != "body"})

    assert answer[0] == status
    assert said in answer[1]
    # What is too large is refused by the server before anybody looks at it.
    refused = 0 if status == 413 else 1
    assert running.page().text == before.replace("refused_total 0", f"refused_total {refused}")


def test_the_token_may_have_a_header_of_its_own_beside_users_of_the_exporter(exporter: Callable[..., Exporter]) -> None:
    running = exporter()

    statuses = [
        running.push("a 1\n", Authorization="Basic dXNlcjpwYXNz", X_Perfloop_Push_Token=token)[0]
        for token in (TOKEN, "wrong", "")
    ]

    assert statuses == [200, 401, 401]


def test_without_a_token_nothing_can_be_pushed(exporter: Callable[..., Exporter]) -> None:
    running = exporter(token=None)

    assert running.push(GAUGE, token="") == (403, "pushes are off: perfloop.yml has no collectors.push.token\n")
    assert running.push("x" * 100_000)[0] == 413


def test_a_file_that_comes_to_have_the_same_names_goes_first(exporter: Callable[..., Exporter]) -> None:
    names = Names()
    running = exporter(names=names)
    running.push("a 1\nb 1\n")

    names.written = frozenset({"a"})
    hidden = running.page()
    names.written = frozenset()

    assert hidden.values("a") == []
    assert hidden.value("b", job="nightly") == 1
    assert hidden.value("perfloop_push_hidden_series", job="nightly") == 1
    assert running.page().value("a", job="nightly") == 1


def test_what_a_file_hides_of_a_job_keeps_it_from_no_other_push(exporter: Callable[..., Exporter]) -> None:
    names = Names()
    running = exporter(names=names)
    running.push("run_seconds 1\nrows 1\n")
    names.written = frozenset({"rows"})

    status, _ = running.push("run_seconds 2\n")

    page = running.page()
    assert (status, running.push("rows 2\n")[0]) == (200, 409)
    assert page.value("run_seconds", job="nightly") == 2
    assert page.value("perfloop_push_hidden_series", job="nightly") == 1


def test_a_new_job_takes_the_place_of_one_that_has_expired(exporter: Callable[..., Exporter]) -> None:
    running = exporter(max_jobs=2, ttl_seconds=10)
    running.push("a 1\n", job="old")
    running.now += 20
    running.push("a 1\n", job="recent")

    assert running.push("a 1\n", job="new")[0] == 200

    assert running.page().labels("perfloop_push_series", "job") == {"recent", "new"}


def test_clients_of_the_pushgateway_push_here(exporter: Callable[..., Exporter]) -> None:
    running, registry = exporter(), CollectorRegistry()
    Counter("runs", "Runs.", registry=registry).inc()
    Histogram("run_seconds", "Time of a run.", registry=registry).observe(0.3)

    def with_token(url: str, method: str, timeout: float | None, headers: Any, data: bytes) -> Callable[[], None]:
        return default_handler(url, method, timeout, [*headers, ("Authorization", f"Bearer {TOKEN}")], data)

    push_to_gateway(running.address, job="nightly", registry=registry, handler=with_token)
    pushadd_to_gateway(running.address, job="nightly", registry=registry, handler=with_token)

    page = running.page()
    assert page.value("runs_total", job="nightly") == 1
    assert page.value("run_seconds_count", job="nightly") == 1
    delete_from_gateway(running.address, job="nightly", handler=with_token)
    assert running.page().values("runs_total") == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["POST", "PUT"]), PAGES | st.binary(max_size=100))))
def test_whatever_is_pushed_both_formats_stay_valid(pushes: list[tuple[str, str, bytes]]) -> None:
    store = PushStore(Names(written=frozenset({"b"})))
    pushing = Pushing(store, Section(max_series=10), token=TOKEN)
    headers = {"authorization": f"Bearer {TOKEN}"}
    for job, method, body in pushes:
        pushing.answer(Request(method=method, path=f"/push/{job}", headers=headers, keep_alive=True, body=body))

    samples = list(PushCollector(store).collect())

    page_of(samples)
    list(read_openmetrics(render_page(samples, openmetrics=True).decode()))


@settings(max_examples=50, deadline=None)
@given(
    path=st.text(max_size=20).map(lambda rest: f"/push/{rest}"),
    authorization=st.text(max_size=20) | st.just(f"Bearer {TOKEN}"),
    ttl=st.text(max_size=5),
)
def test_no_request_does_more_than_being_refused(path: str, authorization: str, ttl: str) -> None:
    pushing = Pushing(PushStore(), Section(), token=TOKEN)
    headers = {"authorization": authorization, "x-perfloop-ttl-seconds": ttl}

    answer = pushing.answer(Request(method="POST", path=path, headers=headers, keep_alive=True, body=b"a 1\n"))

    assert answer.status in {200, 400, 401, 404}


def test_a_push_of_ten_thousand_series_does_not_hold_up_scrapes_for_long() -> None:
    pushing = Pushing(PushStore(), Section(), token=TOKEN)
    body = "".join(f'a{{path="/orders/{i}",method="GET"}} {i}.5\n' for i in range(10_000)).encode()
    headers = {"authorization": f"Bearer {TOKEN}"}
    started_at = time.process_time()

    answer = pushing.answer(Request(method="PUT", path="/push/a", headers=headers, keep_alive=True, body=body))

    assert answer.status == 200
    assert time.process_time() - started_at < 2
