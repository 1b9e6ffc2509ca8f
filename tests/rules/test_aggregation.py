"""What a metric_pattern stands for, and which numbers a percentile may have."""

from __future__ import annotations

import pytest

from perfloop.errors import ConfigInvalid
from perfloop.rules.aggregation import Aggregator, Kind, aggregator_of, sources
from perfloop.rules.catalogue import shipped


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param("cpu_usage", [("perfloop:cpu_usage", Kind.GAUGE, "")], id="a catalogue name"),
        pytest.param("perfloop:cpu_usage", [("perfloop:cpu_usage", Kind.GAUGE, "")], id="its recorded series"),
        pytest.param("node_load1", [("node_load1", Kind.GAUGE, "")], id="any other name is a gauge"),
        pytest.param("http_requests_total", [("http_requests_total", Kind.COUNTER, "")], id="_total counts"),
        pytest.param("x_seconds_sum", [("x_seconds_sum", Kind.COUNTER, "")], id="_sum counts"),
        pytest.param("x_seconds_bucket", [("x_seconds", Kind.HISTOGRAM, "")], id="_bucket is a histogram"),
        pytest.param(
            "db_*",
            [
                ("perfloop:db_connections", Kind.GAUGE, "db_connections"),
                ("perfloop:db_connection_usage", Kind.GAUGE, "db_connection_usage"),
            ],
            id="a glob",
        ),
        pytest.param("cpu_.*", [("perfloop:cpu_usage", Kind.GAUGE, "cpu_usage")], id="a regular expression"),
        pytest.param("(cpu)_usage", [("perfloop:cpu_usage", Kind.GAUGE, "cpu_usage")], id="anchored at both ends"),
    ],
)
def test_a_pattern_stands_for(pattern: str, expected: list[tuple[str, Kind, str]]) -> None:
    found = sources(pattern, None, shipped())

    assert [(source.series, source.kind, source.label) for source in found] == expected


def test_a_pattern_that_matches_nothing_is_refused_with_what_there_is() -> None:
    with pytest.raises(ConfigInvalid, match=r"matches no name of the catalogue \(bandwidth_usage, "):
        sources("node_.*", None, shipped())


def test_a_recorded_series_that_is_not_in_the_catalogue_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="there is no metric 'cpu' in the catalogue"):
        sources("perfloop:cpu", None, shipped())


def test_a_catalogue_metric_is_a_gauge_whatever_its_metric_type_says() -> None:
    with pytest.raises(ConfigInvalid, match="cpu_usage is recorded as a gauge, not as a counter"):
        sources("cpu_usage", Kind.COUNTER, shipped())


def test_a_metric_type_says_what_the_name_does_not() -> None:
    assert sources("x_seconds", Kind.HISTOGRAM, shipped())[0].series == "x_seconds"
    assert sources("events", Kind.COUNTER, shipped())[0].kind is Kind.COUNTER


@pytest.mark.parametrize(
    ("text", "quantile"),
    [
        pytest.param("Percentile(95)", 0.95, id="95 is 0.95"),
        pytest.param("Percentile(99.9)", 0.999, id="99.9 is 0.999"),
        pytest.param("Percentile( 0.5 )", 0.5, id="a share stays a share"),
        pytest.param("Percentile(1)", 1.0, id="1 is the share: the maximum"),
        pytest.param("Percentile(100)", 1.0, id="100 is the maximum"),
        pytest.param("Percentile(0)", 0.0, id="0 is the minimum"),
    ],
)
def test_a_percentile_becomes_a_quantile(text: str, quantile: float) -> None:
    assert aggregator_of(text) == (Aggregator.PERCENTILE, pytest.approx(quantile))


@pytest.mark.parametrize("text", ["Percentile(1.01)", "Percentile(49.9)"])
def test_a_percentile_between_1_and_50_is_refused_as_ambiguous(text: str) -> None:
    with pytest.raises(ConfigInvalid, match="is ambiguous: expected 0 to 1 or 50 to 100"):
        aggregator_of(text)
