"""What one scrape asks for: collectors, format, patience."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from perfloop.app.scrape import accepts_openmetrics, patience_seconds, selected
from perfloop.errors import QueryInvalid
from perfloop.exposition.http import Request
from tests.app.conftest import Running

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
NAMES = frozenset({"system", "network", "redis"})


def request(query: dict[str, tuple[str, ...]] | None = None, **headers: str) -> Request:
    return Request(method="GET", path="/metrics", query=query or {}, headers=headers, keep_alive=True)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        pytest.param("", False, id="nothing said"),
        pytest.param(PROMETHEUS, True, id="Prometheus 2.42"),
        pytest.param("text/plain", False, id="text"),
        pytest.param("*/*", False, id="anything"),
        pytest.param("application/openmetrics-text", True, id="any version"),
        pytest.param('application/openmetrics-text; version="1.0.0"', True, id="in quotes"),
        pytest.param("application/openmetrics-text;version=2.0.0", False, id="a version to come"),
        pytest.param("application/openmetrics-text;q=0", False, id="not at all"),
        pytest.param("application/openmetrics-text;q=0.3,text/plain;q=0.5", False, id="text rather"),
        pytest.param("application/openmetrics-text;q=0.5,text/plain;q=0.5", True, id="both alike"),
        pytest.param("application/openmetrics-text;q=high", False, id="no quality"),
        pytest.param("application/vnd.google.protobuf;q=1,text/plain;q=0.2", False, id="protobuf rather"),
        pytest.param(",;=,;;", False, id="noise"),
    ],
)
def test_the_format_is_the_one_the_client_prefers(accept: str, *, expected: bool) -> None:
    assert accepts_openmetrics(accept) is expected


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param(None, math.inf, id="not Prometheus"),
        pytest.param("10", 9.5, id="plenty"),
        pytest.param("0.8", 0.3, id="little"),
        pytest.param("0.1", 0.05, id="hardly anything"),
        pytest.param("-3", 0.05, id="less than nothing"),
        pytest.param("nan", math.inf, id="not a number"),
        pytest.param("soon", math.inf, id="not even nearly"),
    ],
)
def test_patience_ends_before_prometheus_gives_up(header: str | None, seconds: float) -> None:
    headers = {} if header is None else {"x-prometheus-scrape-timeout-seconds": header}

    assert patience_seconds(request(**headers)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param({}, None, id="all"),
        pytest.param({"collect[]": ("redis", "system")}, {"redis", "system"}, id="some"),
        pytest.param({"exclude[]": ("redis",)}, {"network", "system"}, id="all but one"),
        pytest.param({"name[]": ("up",)}, None, id="another server's words"),
    ],
)
def test_a_query_chooses_collectors(query: dict[str, tuple[str, ...]], expected: set[str] | None) -> None:
    assert selected(request(query), NAMES) == expected


@pytest.mark.parametrize(
    ("query", "message"),
    [
        pytest.param(
            {"collect[]": ("rdis",)}, "no such collector here: rdis; there are network, redis, system", id="unknown"
        ),
        pytest.param({"exclude[]": ("",)}, "no such collector here", id="empty"),
        pytest.param({"collect[]": ("redis",), "exclude[]": ("redis",)}, "cannot stand together", id="both"),
    ],
)
def test_a_query_for_what_is_not_there_is_refused(query: dict[str, tuple[str, ...]], message: str) -> None:
    with pytest.raises(QueryInvalid, match=message):
        selected(request(query), NAMES)


def test_prometheus_gets_openmetrics(exporter: Callable[[str], Running]) -> None:
    answer, body = exporter("").ask("/metrics", Accept=PROMETHEUS)

    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    assert answer.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert body.endswith(b"\n# EOF\n")
    assert families["perfloop_system_cpu_seconds"].type == "counter"
    assert families["perfloop_exporter_build"].type == "info"


def test_a_scrape_may_ask_for_one_collector(exporter: Callable[[str], Running]) -> None:
    page = exporter("").ask("/metrics?collect[]=network")[1].decode()

    names = {line.partition("{")[0].partition(" ")[0] for line in page.splitlines() if not line.startswith("#")}
    assert {name.split("_")[1] for name in names} == {"network", "exporter"}
    assert "perfloop_exporter_build_info" not in names
