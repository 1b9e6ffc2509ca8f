"""TLS handshakes with a real nginx: good, expired and unknown certificates, and what they tell of their end."""

from __future__ import annotations

import contextlib
import ssl
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfloop.collectors.probes.certificate import expires_at
from perfloop.collectors.probes.trust import Trust
from perfloop.collectors.tls import TlsCollector
from perfloop.errors import Unavailable
from tests.collectors.pages import lint, page_of
from tests.collectors.web_server import EXPIRED_AT, INTERMEDIATE_EXPIRES_AT, LEAF_EXPIRES_AT, WebServer

EXPIRY = "perfloop_network_tls_certificate_expiry_timestamp_seconds"


def trusting(web_server: WebServer, **more: str) -> Trust:
    return Trust(ca_file=str(web_server.ca_file), **more)  # type: ignore[arg-type]


def test_a_handshake_is_timed_and_the_first_end_of_the_chain_is_shown(web_server: WebServer) -> None:
    collector = TlsCollector("web", web_server.good, trust=trusting(web_server))

    page = page_of(collector.collect())

    assert page.value("perfloop_network_tls_up", component="web") == 1
    assert page.value("perfloop_network_tls_handshakes_total", component="web") == 1
    assert page.value("perfloop_network_tls_handshake_failures_total", component="web") == 0
    assert page.value("perfloop_network_tls_handshake_duration_seconds_count", component="web") == 1
    assert page.value(EXPIRY, component="web") == INTERMEDIATE_EXPIRES_AT
    assert lint(page.text) == ""


@pytest.mark.parametrize(
    ("port", "trust", "message", "expires"),
    [
        pytest.param("expired", {}, "certificate has expired", EXPIRED_AT, id="expired"),
        pytest.param(
            "good", {"ca_file": ""}, "unable to get local issuer", INTERMEDIATE_EXPIRES_AT, id="unknown authority"
        ),
        pytest.param("good", {"server_name": "other.test"}, "other.test", INTERMEDIATE_EXPIRES_AT, id="another name"),
    ],
)
def test_a_certificate_that_is_not_trusted_is_a_failure_and_its_end_is_shown(
    web_server: WebServer, port: str, trust: dict[str, str], message: str, expires: float
) -> None:
    wanted = Trust(**{"ca_file": str(web_server.ca_file), **trust})  # type: ignore[arg-type]
    collector = TlsCollector("web", getattr(web_server, port), trust=wanted)

    with pytest.raises(Unavailable, match=message):
        collector.collect()

    page = page_of(collector.down())
    assert page.value("perfloop_network_tls_up", component="web") == 0
    assert page.value("perfloop_network_tls_handshake_failures_total", component="web") == 1
    assert page.value("perfloop_network_tls_handshake_duration_seconds_count", component="web") == 0
    assert page.value(EXPIRY, component="web") == expires


def test_a_server_without_tls_is_a_failure_without_an_end(web_server: WebServer) -> None:
    collector = TlsCollector("web", web_server.http, trust=trusting(web_server))

    with pytest.raises(Unavailable, match="TLS"):
        collector.collect()

    assert EXPIRY not in page_of(collector.down()).names()


def test_a_version_that_is_too_old_is_a_failure(web_server: WebServer) -> None:
    old, new = (Trust(verify=False, minimum_version=version) for version in ("1.2", "1.3"))
    TlsCollector("web", web_server.expired, trust=old).collect()

    with pytest.raises(Unavailable, match="PROTOCOL_VERSION"):
        TlsCollector("web", web_server.expired, trust=new).collect()


def test_a_silent_server_is_given_up(black_hole: str) -> None:
    collector = TlsCollector("web", black_hole, timeout_seconds=0.1)
    started_at = time.monotonic()

    with pytest.raises(Unavailable, match=r"timed out after 0\.1 s"):
        collector.collect()

    assert time.monotonic() - started_at < 0.4


def test_a_file_of_authorities_that_is_gone_is_said(web_server: WebServer, tmp_path: Path) -> None:
    collector = TlsCollector("web", web_server.good, trust=Trust(ca_file=str(tmp_path / "none.pem")))

    with pytest.raises(Unavailable, match="No such file"):
        collector.collect()


def test_a_file_of_authorities_that_changed_is_read_again(web_server: WebServer, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text((web_server.ca_file.parent / "expired.pem").read_text())
    collector = TlsCollector("web", web_server.good, trust=Trust(ca_file=str(file)))
    with pytest.raises(Unavailable, match="unable to get"):
        collector.collect()

    file.write_text(web_server.ca_file.read_text() + "\n")

    assert page_of(collector.collect()).value("perfloop_network_tls_up", component="web") == 1


# -- certificates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [("server", LEAF_EXPIRES_AT), ("intermediate", INTERMEDIATE_EXPIRES_AT), ("expired", EXPIRED_AT)],
)
def test_the_end_of_a_certificate_is_read(web_server: WebServer, name: str, expected: float) -> None:
    pem = (web_server.ca_file.parent / f"{name}.pem").read_text()

    assert expires_at(ssl.PEM_cert_to_DER_cert(pem)) == expected


@settings(max_examples=100, deadline=None)
@given(cut=st.integers(0, 400), flips=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4))
def test_a_broken_certificate_has_no_end_or_one_and_nothing_else(
    web_server: WebServer, cut: int, flips: list[tuple[int, int]]
) -> None:
    der = bytearray(ssl.PEM_cert_to_DER_cert((web_server.ca_file.parent / "server.pem").read_text()))
    for at, byte in flips:
        der[at] = byte
    broken = bytes(der[: len(der) - cut])

    with contextlib.suppress(ValueError):
        assert isinstance(expires_at(broken), float)
