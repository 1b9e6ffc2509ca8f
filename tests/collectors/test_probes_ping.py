"""ICMP echo over the real kernel: with either right, with none, and among packets that are not for us."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfloop.collectors.ping import PingCollector
from perfloop.collectors.probes.icmp import answers, request
from perfloop.errors import Unavailable
from tests.collectors.pages import lint, page_of
from tests.support import unshared

# A network namespace of its own, where who may ping can be set without changing the machine.
_NAMESPACE = [*unshared("--net"), "sh", "-ec"]
_PING = """
from perfloop.collectors.probes.icmp import ping
from perfloop.collectors.probes.probing import Deadline
outcome = ping({host!r}, ip_version=0, sequence=7, deadline=Deadline({seconds}))
print(outcome.failure or "answered")
"""
_WITHOUT_RAW = "setpriv --bounding-set=-net_raw --inh-caps=-net_raw"


def pinged(host: str, *, groups: str, drop: str = "", up: bool = True, seconds: float = 5.0) -> str:
    """Return how a ping of the namespace's own loopback ends; the kernel's default lets no group ping."""
    script = f"""
        {"ip link set lo up" if up else ":"}
        {f"echo {groups} > /proc/sys/net/ipv4/ping_group_range" if groups else ":"}
        exec {drop} "$0" -c "$1"
    """
    argv = [*_NAMESPACE, script, sys.executable, _PING.format(host=host, seconds=seconds)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize(
    ("groups", "drop"),
    [
        pytest.param("0 0", _WITHOUT_RAW, id="unprivileged socket"),
        pytest.param("", "", id="raw socket"),
    ],
)
def test_either_right_is_enough(host: str, groups: str, drop: str) -> None:
    assert pinged(host, groups=groups, drop=drop) == "answered"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_without_either_right_both_ways_out_are_said(host: str) -> None:
    said = pinged(host, groups="", drop=_WITHOUT_RAW)

    assert "net.ipv4.ping_group_range" in said
    assert "CAP_NET_RAW" in said


def test_a_host_that_cannot_be_reached_says_so_at_once() -> None:
    assert "unreachable" in pinged("192.0.2.1", groups="0 0", up=False)


@pytest.fixture
def may_ping() -> None:
    """Fail early, and with the reason, where this process has neither right."""
    PingCollector("probe", "127.0.0.1").collect()


@pytest.mark.usefixtures("may_ping")
@pytest.mark.parametrize(("host", "ip_version"), [("127.0.0.1", 0), ("localhost", 4), ("::1", 6)])
def test_a_ping_is_timed(host: str, ip_version: int) -> None:
    collector = PingCollector("gateway", host, ip_version=ip_version)
    collector.collect()

    page = page_of(collector.collect())

    assert page.value("perfloop_network_ping_up", component="gateway") == 1
    assert page.value("perfloop_network_pings_total", component="gateway") == 2
    assert page.value("perfloop_network_ping_failures_total", component="gateway") == 0
    assert page.value("perfloop_network_ping_duration_seconds_count", component="gateway") == 2
    assert 0 < page.value("perfloop_network_ping_duration_seconds_sum", component="gateway") < 1
    assert lint(page.text) == ""


@pytest.mark.parametrize(
    ("host", "ip_version", "reason"),
    [
        pytest.param("nowhere.invalid", 0, "name look-up", id="a name that nobody knows"),
        pytest.param("127.0.0.1", 6, "name look-up", id="an address of the other version"),
    ],
)
def test_a_host_that_has_no_address_is_a_failure(host: str, ip_version: int, reason: str) -> None:
    collector = PingCollector("gateway", host, ip_version=ip_version)

    with pytest.raises(Unavailable, match=reason):
        collector.collect()

    page = page_of(collector.down())
    assert page.value("perfloop_network_ping_up", component="gateway") == 0
    assert page.value("perfloop_network_ping_failures_total", component="gateway") == 1
    assert page.value("perfloop_network_ping_duration_seconds_count", component="gateway") == 0


# -- packets -----------------------------------------------------------------------------------------------------------

ASKED = request(socket.AF_INET, identifier=258, sequence=7, payload=b"nonce" + bytes(51))
REPLY = b"\0" + ASKED[1:]
IP_HEADER = b"\x45" + bytes(19)


def test_a_request_has_the_checksum_of_rfc_1071() -> None:
    words = [int.from_bytes(ASKED[i : i + 2], "big") for i in range(0, len(ASKED), 2)]

    total = sum(words)

    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF


@pytest.mark.parametrize(
    ("packet", "kind", "expected"),
    [
        pytest.param(REPLY, socket.SOCK_DGRAM, 1, id="ours"),
        pytest.param(IP_HEADER + REPLY, socket.SOCK_RAW, 1, id="ours behind its IP header"),
        pytest.param(b"\x46" + bytes(23) + REPLY, socket.SOCK_RAW, 1, id="behind a longer IP header"),
        pytest.param(ASKED, socket.SOCK_DGRAM, 0, id="the request itself"),
        pytest.param(b"\x03" + ASKED[1:], socket.SOCK_DGRAM, 0, id="another type"),
        pytest.param(b"\0\x01" + REPLY[2:], socket.SOCK_DGRAM, 0, id="another code"),
        pytest.param(REPLY[:7] + b"\x08" + REPLY[8:], socket.SOCK_DGRAM, 0, id="another sequence"),
        pytest.param(REPLY[:5] + b"\x09" + REPLY[6:], socket.SOCK_DGRAM, 1, id="the kernel's identifier"),
        pytest.param(IP_HEADER + REPLY[:5] + b"\x09" + REPLY[6:], socket.SOCK_RAW, 0, id="another process' ping"),
        pytest.param(REPLY[:8] + b"N" + REPLY[9:], socket.SOCK_DGRAM, 0, id="another payload"),
        pytest.param(REPLY[:-1], socket.SOCK_DGRAM, 0, id="cut off"),
        pytest.param(b"", socket.SOCK_RAW, 0, id="empty"),
    ],
)
def test_only_the_echo_of_what_was_asked_is_an_answer(packet: bytes, kind: int, expected: int) -> None:
    assert answers(packet, ASKED, family=socket.AF_INET, kind=kind) == expected


@settings(max_examples=100, deadline=None)
@given(packet=st.binary(max_size=100), kind=st.sampled_from([socket.SOCK_DGRAM, socket.SOCK_RAW]))
def test_no_packet_breaks_a_ping(packet: bytes, kind: int) -> None:
    assert answers(packet, ASKED, family=socket.AF_INET, kind=kind) is False
