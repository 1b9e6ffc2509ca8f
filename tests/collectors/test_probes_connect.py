"""TCP connects to real listeners: what is counted when they answer, refuse, or are not there."""

from __future__ import annotations

import pytest

from perfloop.collectors.connect import ConnectCollector
from perfloop.errors import Unavailable
from tests.collectors.pages import lint, page_of


def test_a_connect_is_timed(black_hole: str) -> None:
    collector = ConnectCollector("web", black_hole)
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
    ("address", "reason"),
    [
        pytest.param("nowhere.invalid:80", "name look-up", id="a name that nobody knows"),
        pytest.param(f"{'x' * 70}.test:80", "name look-up", id="a label that is too long"),
        pytest.param("127.0.0.1:99999", "no port 99999", id="a port that cannot be"),
    ],
)
def test_an_address_that_leads_nowhere_is_a_failure_that_says_why(address: str, reason: str) -> None:
    collector = ConnectCollector("web", address)

    with pytest.raises(Unavailable, match=reason):
        collector.collect()

    assert page_of(collector.down()).value("perfloop_network_connect_failures_total", component="web") == 1


def test_a_full_backlog_is_a_timeout(full_backlog: str) -> None:
    collector = ConnectCollector("web", full_backlog, timeout_seconds=0.1)

    with pytest.raises(Unavailable, match=r"timed out after 0\.1 s"):
        collector.collect()
