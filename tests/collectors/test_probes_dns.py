"""DNS look-ups: what is counted when a server answers by the book, with errors, with nonsense, or not at all."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from perfloop.collectors.dns import DnsCollector, Question, ask
from perfloop.collectors.probes.probing import Deadline, Reason
from perfloop.errors import Unavailable
from tests.collectors.name_server import NameServer
from tests.collectors.pages import lint, page_of


@pytest.fixture
def name_server() -> Iterator[NameServer]:
    with NameServer() as server:
        yield server


def test_a_lookup_is_timed(name_server: NameServer) -> None:
    collector = DnsCollector("resolver", Question(name="a.test", server=name_server.address))
    collector.collect()

    page = page_of(collector.collect())

    assert page.value("perfloop_network_dns_up", component="resolver") == 1
    assert page.value("perfloop_network_dns_lookups_total", component="resolver") == 2
    assert page.value("perfloop_network_dns_lookup_failures_total", component="resolver") == 0
    assert page.value("perfloop_network_dns_lookup_duration_seconds_count", component="resolver") == 2
    assert 0 < page.value("perfloop_network_dns_lookup_duration_seconds_sum", component="resolver") < 1
    assert lint(page.text) == ""


@pytest.mark.parametrize(
    ("name", "record_type", "expect", "problem"),
    [
        pytest.param("a.test", "A", ("192.0.2.2",), None, id="one of two"),
        pytest.param("A.TEST.", "A", ("192.0.2.1", "192.0.2.2"), None, id="both, in any case of letters"),
        pytest.param("a.test", "A", ("192.0.2.3",), "does not hold 192.0.2.3", id="another address"),
        pytest.param("alias.test", "A", ("192.0.2.1",), None, id="behind an alias"),
        pytest.param("mail.test", "MX", ("10 mx.test.",), None, id="as zone files write it"),
        pytest.param("text.test", "TXT", ('"v=spf1 -all"',), None, id="a text"),
        pytest.param("a.test", "AAAA", (), "holds no AAAA record", id="another type"),
        pytest.param("empty.test", "A", (), "holds no A record", id="no record at all"),
        pytest.param("nowhere.test", "A", (), "NXDOMAIN", id="no such name"),
        pytest.param("broken.test", "A", (), "SERVFAIL", id="a server that fails"),
        pytest.param("a.test", "A", ("one",), "is no A record", id="an expectation that is none"),
    ],
)
def test_a_lookup_is_judged_by_its_answer(
    name_server: NameServer, name: str, record_type: str, expect: tuple[str, ...], problem: str | None
) -> None:
    question = Question(name=name, record_type=record_type, server=name_server.address, expect=expect)

    outcome = ask(question, Deadline(5))

    assert outcome.seconds is not None
    assert (outcome.failure is None) is (problem is None)
    assert (problem or "") in str(outcome.failure)


def test_an_unexpected_answer_is_a_failure_with_a_duration(name_server: NameServer) -> None:
    collector = DnsCollector("resolver", Question(name="nowhere.test", server=name_server.address))

    page = page_of(collector.collect())

    assert page.value("perfloop_network_dns_up", component="resolver") == 0
    assert page.value("perfloop_network_dns_lookup_failures_total", component="resolver") == 1
    assert page.value("perfloop_network_dns_lookup_duration_seconds_count", component="resolver") == 1


def test_an_answer_that_is_too_long_for_udp_is_asked_for_by_tcp(name_server: NameServer) -> None:
    question = Question(name="long.test", record_type="TXT", server=name_server.address)

    outcome = ask(question, Deadline(5))

    assert outcome.failure is None
    assert name_server.asked == ["udp long.test.", "tcp long.test."]


def test_what_is_no_answer_to_the_question_is_not_listened_to(name_server: NameServer) -> None:
    question = Question(name="nonsense.test", server=name_server.address, expect=("192.0.2.9",))

    assert ask(question, Deadline(2)).failure is None


def test_a_silent_server_is_given_up_in_time(name_server: NameServer) -> None:
    collector = DnsCollector("resolver", Question(name="silent.test", server=name_server.address), timeout_seconds=0.2)
    started_at = time.monotonic()

    with pytest.raises(Unavailable, match=r"timed out after 0\.2 s"):
        collector.collect()

    assert time.monotonic() - started_at < 0.5
    page = page_of(collector.down())
    assert page.value("perfloop_network_dns_lookup_failures_total", component="resolver") == 1
    assert page.value("perfloop_network_dns_lookup_duration_seconds_count", component="resolver") == 0


def test_a_server_that_is_not_there_is_a_failure(dead_address: str) -> None:
    outcome = ask(Question(name="a.test", server=dead_address), Deadline(2))

    assert outcome.failure is not None
    assert outcome.failure.reason is Reason.CONNECT


@pytest.mark.parametrize("name", ["a..test", "x" * 70 + ".test", "."])
def test_an_odd_name_breaks_nothing(name_server: NameServer, name: str) -> None:
    outcome = ask(Question(name=name, server=name_server.address), Deadline(2))

    assert outcome.failure is not None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("search test\nnameserver 127.0.0.99\n", Reason.CONNECT, id="a server that is not there"),
        pytest.param(None, Reason.CONNECT, id="no file"),
    ],
)
def test_without_a_server_those_of_the_system_are_asked(tmp_path: Path, text: str | None, reason: Reason) -> None:
    file = tmp_path / "resolv.conf"
    if text is not None:
        file.write_text(text)

    outcome = ask(Question(name="a.test"), Deadline(2), resolv_conf=file)

    assert outcome.failure is not None
    assert outcome.failure.reason is reason


def test_without_the_library_the_command_that_installs_it_is_said() -> None:
    script = """
import sys
sys.modules["dns"] = None
from perfloop.collectors.dns import Question, ask
from perfloop.collectors.probes.probing import Deadline
print(ask(Question(name="a.test", server="127.0.0.1:53"), Deadline(1)).failure)
"""

    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert "pip install 'perfloop[dns]'" in said
