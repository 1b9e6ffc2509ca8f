"""HTTP probes of a real nginx, and of listeners that send what no server would."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfloop.collectors.application import ApplicationCollector
from perfloop.collectors.probes.fetch import Fetch, fetch
from perfloop.collectors.probes.probing import Deadline, Outcome, Reason
from perfloop.collectors.probes.trust import Trust
from perfloop.errors import Unavailable
from perfloop.stack.process import Child
from tests.collectors.listeners import Listener, drips, says
from tests.collectors.pages import lint, page_of
from tests.collectors.web_server import EXPIRED_AT, INTERMEDIATE_EXPIRES_AT, WebServer

PHASES = {"dns", "connect", "tls", "first_byte", "transfer"}


def probed(url: str, *, timeout_seconds: float = 5.0, **wanted: object) -> Outcome:
    return fetch(url, Fetch(**wanted), Deadline(timeout_seconds))  # type: ignore[arg-type]


def reason_of(outcome: Outcome) -> Reason | None:
    return outcome.failure.reason if outcome.failure else None


@pytest.mark.parametrize(
    ("path", "status", "expected", "up"),
    [
        pytest.param("/", 200, None, 1, id="200 is fine"),
        pytest.param("/204", 204, None, 1, id="an answer without a body"),
        pytest.param("/302", 302, None, 1, id="a redirect is an answer"),
        pytest.param("/404", 404, None, 0, id="404 is not what one expects"),
        pytest.param("/503", 503, None, 0, id="503 is a failure"),
        pytest.param("/404", 404, 404, 1, id="404 when it is expected"),
        pytest.param("/?a=b", 200, 201, 0, id="200 when 201 is expected"),
    ],
)
def test_a_probe_is_judged_by_its_status(
    web_server: WebServer, path: str, status: int, expected: int | None, up: int
) -> None:
    collector = ApplicationCollector("web", f"http://{web_server.http}{path}", Fetch(expect_status=expected))

    page = page_of(collector.collect())

    assert page.value("perfloop_application_up", component="web") == up
    assert page.value("perfloop_application_probes_total", component="web") == 1
    assert page.value("perfloop_application_probe_failures_total", component="web") == 1 - up
    reason = page.value("perfloop_application_probe_failure_reasons_total", component="web", reason="status")
    assert reason == 1 - up
    assert page.value("perfloop_application_response_duration_seconds_count", component="web") == 1
    assert page.value("perfloop_application_status_code", component="web") == status
    assert lint(page.text) == ""


def test_the_phases_of_all_probes_add_up_to_their_durations(web_server: WebServer) -> None:
    wanted = Fetch(max_redirects=1, trust=Trust(ca_file=str(web_server.ca_file)))
    collector = ApplicationCollector("web", f"https://{web_server.good}/302", wanted)
    collector.collect()

    page = page_of(collector.collect())

    name = "perfloop_application_phase_seconds_total"
    assert page.labels(name, "phase") == PHASES
    total = page.value("perfloop_application_response_duration_seconds_sum", component="web")
    assert sum(page.values(name)) == pytest.approx(total)
    assert page.value(name, component="web", phase="tls") > page.value(name, component="web", phase="dns")


def test_every_reason_is_there_from_the_start_with_0(web_server: WebServer) -> None:
    collector = ApplicationCollector("web", f"http://{web_server.http}/")

    page = page_of(collector.down())

    assert page.labels("perfloop_application_probe_failure_reasons_total", "reason") == {*map(str, Reason)}
    assert set(page.values("perfloop_application_probe_failure_reasons_total")) == {0}


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        pytest.param({"expect_body": "all is (well|fine)"}, None, id="what is expected is there"),
        pytest.param({"expect_body": "^broken"}, Reason.BODY, id="what is expected is not there"),
        pytest.param({"forbid_body": "broken"}, None, id="what is forbidden is not there"),
        pytest.param({"forbid_body": "w.ll"}, Reason.BODY, id="what is forbidden is there"),
        pytest.param({"max_body_bytes": 12}, None, id="as large as it may be"),
        pytest.param({"max_body_bytes": 11}, Reason.BODY, id="one byte too large"),
    ],
)
def test_a_probe_is_judged_by_its_body(web_server: WebServer, wanted: dict[str, object], reason: Reason | None) -> None:
    outcome = probed(f"http://{web_server.http}/", **wanted)

    assert reason_of(outcome) == reason
    assert outcome.status == 200


def test_a_large_body_is_not_read_to_its_end(web_server: WebServer) -> None:
    outcome = probed(f"http://{web_server.http}/large/file", max_body_bytes=1000)

    assert reason_of(outcome) == Reason.BODY


def test_only_the_beginning_of_a_large_body_is_searched(web_server: WebServer) -> None:
    url = f"http://{web_server.http}/large/file"

    outcomes = [probed(url, max_body_bytes=1 << 24, expect_body=f"^x{{{size}}}") for size in (1 << 16, (1 << 16) + 1)]

    assert [reason_of(outcome) for outcome in outcomes] == [None, Reason.BODY]


def test_what_is_asked_is_what_was_configured(web_server: WebServer) -> None:
    outcome = probed(
        f"http://{web_server.http}/asked",
        method="POST",
        headers=(("Host", "orders.example"), ("X-Key", "k")),
        authorization="Bearer s3cret",
        body="ping",
        expect_body=r"^method=POST host=orders\.example key=k auth=Bearer s3cret length=4$",
    )

    assert outcome.failure is None


# -- redirects ---------------------------------------------------------------------------------------------------------


def test_a_redirect_is_followed_where_that_is_asked_for(web_server: WebServer) -> None:
    outcome = probed(f"http://{web_server.http}/302", max_redirects=1, expect_body="all is well")

    assert (outcome.status, outcome.failure) == (200, None)


def test_redirects_end(web_server: WebServer) -> None:
    outcome = probed(f"http://{web_server.http}/loop", max_redirects=3)

    assert reason_of(outcome) == Reason.REDIRECT
    assert str(outcome.failure) == "more than 3 redirects"


@pytest.mark.parametrize("path", ["/file", "/login"])
def test_a_redirect_to_something_else_than_plain_http_is_refused(web_server: WebServer, path: str) -> None:
    outcome = probed(f"http://{web_server.http}{path}", max_redirects=3)

    assert reason_of(outcome) == Reason.REDIRECT
    assert "pw" not in str(outcome.failure)


def test_another_server_is_told_neither_credentials_nor_headers_nor_body(web_server: WebServer) -> None:
    outcome = probed(
        f"http://{web_server.http}/elsewhere",
        method="POST",
        headers=(("X-Key", "k"),),
        authorization="Bearer s3cret",
        body="ping",
        max_redirects=1,
        expect_body=r"^method=GET host=\S+ key= auth= length=$",
    )

    assert outcome.failure is None


def test_see_other_is_asked_with_get(web_server: WebServer) -> None:
    outcome = probed(
        f"http://{web_server.http}/303",
        method="POST",
        authorization="Bearer s3cret",
        body="ping",
        max_redirects=1,
        expect_body=r"^method=GET host=\S+ key= auth=Bearer s3cret length=$",
    )

    assert outcome.failure is None


# -- TLS ---------------------------------------------------------------------------------------------------------------


def test_a_good_certificate_tells_when_the_first_of_its_chain_expires(web_server: WebServer) -> None:
    wanted = Fetch(trust=Trust(ca_file=str(web_server.ca_file)))
    collector = ApplicationCollector("web", f"https://{web_server.good}/", wanted)

    page = page_of(collector.collect())

    assert page.value("perfloop_application_up", component="web") == 1
    expiry = page.value("perfloop_application_certificate_expiry_timestamp_seconds", component="web")
    assert expiry == INTERMEDIATE_EXPIRES_AT


def test_an_expired_certificate_is_a_failure_that_still_tells_when(web_server: WebServer) -> None:
    wanted = Fetch(trust=Trust(ca_file=str(web_server.ca_file)))
    collector = ApplicationCollector("web", f"https://{web_server.expired}/", wanted)

    with pytest.raises(Unavailable, match="certificate has expired"):
        collector.collect()

    page = page_of(collector.down())
    assert page.value("perfloop_application_up", component="web") == 0
    assert page.value("perfloop_application_probe_failure_reasons_total", component="web", reason="tls") == 1
    expiry = page.value("perfloop_application_certificate_expiry_timestamp_seconds", component="web")
    assert expiry == EXPIRED_AT


def test_an_unverified_certificate_is_no_failure(web_server: WebServer) -> None:
    outcome = probed(f"https://{web_server.expired}/", trust=Trust(verify=False))

    assert (outcome.status, outcome.failure) == (200, None)


# -- no answer ---------------------------------------------------------------------------------------------------------


def test_a_probe_without_an_answer_has_no_status_and_no_duration(dead_address: str) -> None:
    collector = ApplicationCollector("web", f"http://{dead_address}/")

    for _ in range(2):
        with pytest.raises(Unavailable, match="refused"):
            collector.collect()

    page = page_of(collector.down())
    assert page.value("perfloop_application_probe_failures_total", component="web") == 2
    assert page.value("perfloop_application_probe_failure_reasons_total", component="web", reason="connect") == 2
    assert page.value("perfloop_application_response_duration_seconds_count", component="web") == 0
    assert "perfloop_application_status_code" not in page.names()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_silent_application_is_given_up(black_hole: str, scheme: str) -> None:
    outcome = probed(f"{scheme}://{black_hole}/", timeout_seconds=0.1)

    assert reason_of(outcome) == Reason.TIMEOUT


@pytest.mark.parametrize(
    ("beginning", "drop"),
    [
        pytest.param(b"HTTP/1.1 200", b"x", id="a status line without an end"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"X-Slow: 1\r\n", id="headers without an end"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", b"x", id="a body without an end"),
        pytest.param(b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", id="chunks without an end"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="nothing but promises"),
    ],
)
def test_an_application_that_drips_is_given_up_in_time(beginning: bytes, drop: bytes) -> None:
    with Listener(drips(beginning, itertools.repeat(drop), seconds=0.01)) as listener:
        started_at = time.monotonic()
        outcome = probed(f"http://{listener.address}/", timeout_seconds=0.3)

    assert reason_of(outcome) == Reason.TIMEOUT
    assert time.monotonic() - started_at < 0.6


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"-ERR wrong number of arguments\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 200 " + b"x" * 100_000, id="a status line that is too long"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n", id="too many headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx", id="a body that is cut off"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="a chunk without a size"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 503 Busy\r\n\r\n", id="hints before the answer"),
    ],
)
def test_an_answer_that_is_no_http_is_a_failure(answer: bytes) -> None:
    with Listener(says(answer)) as listener:
        outcome = probed(f"http://{listener.address}/", timeout_seconds=2)

    assert reason_of(outcome) == Reason.ANSWER


def test_a_chunk_of_a_negative_size_is_not_read_into_memory_until_the_end() -> None:
    beginning = b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"
    with Listener(drips(beginning, itertools.repeat(b"x"), seconds=0.01)) as listener:
        outcome = probed(f"http://{listener.address}/", timeout_seconds=0.5)

    assert reason_of(outcome) == Reason.ANSWER


def test_a_server_of_another_protocol_is_unavailable(redis: Child) -> None:
    collector = ApplicationCollector("web", f"http://{redis.address}/", timeout_seconds=1)

    with pytest.raises(Unavailable):
        collector.collect()


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://127.0.0.1:port/", id="a port that is none"),
        pytest.param("http://127.0.0.1:99999/", id="a port that cannot be"),
        pytest.param("http://127.0.0.1:1/ü", id="a path that is not ASCII"),
        pytest.param("http://[::1/", id="an address that is none"),
        pytest.param("http:///", id="no host"),
    ],
)
def test_an_odd_url_is_a_failed_probe_and_its_token_stays_secret(url: str) -> None:
    collector = ApplicationCollector("web", f"{url}?token=s3cret")

    with pytest.raises(Unavailable) as caught:
        collector.collect()

    assert "s3cret" not in str(caught.value)
    assert page_of(collector.down()).value("perfloop_application_probe_failures_total", component="web") == 1


def test_what_is_unexpected_is_logged_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Listener(says(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")) as listener:
        collector = ApplicationCollector("web", f"http://{listener.address}/?token=s3cret")
        collector.collect()
        collector.collect()
        listener.talk = says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        collector.collect()
        collector.collect()

    assert [record.message for record in caplog.records] == ["probe failed", "probe recovered"]
    assert caplog.records[0].__dict__["reason"] == "the status is 500, expected one below 400"


# -- foreign bytes -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def odd_listener() -> Iterator[Listener]:
    with Listener(says(b"")) as listener:
        yield listener


_HEADER = st.tuples(
    st.sampled_from([b"Content-Length", b"Transfer-Encoding", b"Location", b"X", b"Connection", b""]),
    st.sampled_from([b":", b": ", b""]),
    st.one_of(st.sampled_from([b"chunked", b"5", b"-1", b"close", b"http://[", b"//x"]), st.binary(max_size=20)),
).map(b"".join)
_ANSWER = st.tuples(
    st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.0 302 ", b"HTTP/9 999 x", b"HTTP/1.1 99999", b"HTTP/1.1 -1 x", b""]),
    st.lists(_HEADER, max_size=4).map(lambda lines: b"".join(b"\r\n" + line for line in lines)),
    st.sampled_from([b"\r\n\r\n", b"\n\n", b""]),
    st.binary(max_size=40),
).map(b"".join)


@settings(max_examples=150, deadline=None)
@given(answer=st.one_of(_ANSWER, st.binary(max_size=60)))
def test_no_answer_breaks_a_probe(odd_listener: Listener, answer: bytes) -> None:
    odd_listener.talk = says(answer)

    outcome = probed(f"http://{odd_listener.address}/", max_redirects=1, expect_body="x", timeout_seconds=0.2)

    assert outcome.failure is None or outcome.failure.reason in Reason
