"""Aggregations over native histograms, by a real Prometheus that scrapes some; promtool's series cannot hold them."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import promql_parser
import pytest

from perfloop.errors import ConfigInvalid
from perfloop.prometheus.client import PrometheusClient
from perfloop.rules.aggregation import Aggregation, Aggregator, Kind, Source, expression_for
from perfloop.stack import servers
from perfloop.stack.process import Child, find_binary, free_port
from tests.support import eventually

PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
FUNCTIONS = {
    "Sum": (Aggregator.SUM, None),
    "Average": (Aggregator.AVERAGE, None),
    "Count": (Aggregator.COUNT, None),
    "Percentile(50)": (Aggregator.PERCENTILE, 0.5),
    "Percentile(99)": (Aggregator.PERCENTILE, 0.99),
}


def promql(function: str, series: str) -> str:
    aggregator, quantile = FUNCTIONS[function]
    entry = Aggregation(
        pattern=series, aggregator=aggregator, quantile=quantile, window_seconds=5, output="x:y", kind=None
    )
    source = Source(series=series, kind=Kind.NATIVE_HISTOGRAM)
    return expression_for(entry, source, interval_seconds=1, range_seconds=5)


# -- a page in the protobuf format, which is the only one that Prometheus 2.42 reads native histograms from ------------


def varint(value: int) -> bytes:
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def field(number: int, value: int | float | bytes) -> bytes:
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def signed(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def family(name: str, rounds: int) -> bytes:
    """Return a family of one histogram; each round 3 observations in (0.5, 1] and 1 in (2, 4], together 5."""
    histogram = b"".join(
        (
            field(1, 4 * rounds),
            field(2, 5.0 * rounds),
            field(5, signed(0)),  # bounds are powers of two; bucket 0 ends at 1
            field(6, 1e-128),
            field(7, 0),
            field(12, field(1, signed(0)) + field(2, 1)),
            field(12, field(1, signed(1)) + field(2, 1)),
            field(13, signed(3 * rounds)),
            field(13, signed(-2 * rounds)),
        )
    )
    message = field(1, name.encode()) + field(3, 4) + field(4, field(7, histogram))
    return varint(len(message)) + message


class Page(BaseHTTPRequestHandler):
    rounds = 0

    def do_GET(self) -> None:
        Page.rounds += 1
        body = family("busy_seconds", Page.rounds) + family("idle_seconds", 7)
        self.send_response(200)
        self.send_header("Content-Type", PROTOBUF)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusClient]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder, port = tmp_path_factory.mktemp("native"), free_port()
    (folder / "prometheus.yml").write_text(
        f"""\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - {{job_name: native, static_configs: [{{targets: ["127.0.0.1:{server.server_port}"]}}]}}
"""
    )
    url = f"http://127.0.0.1:{port}"
    child = prometheus(folder, url)
    child.start()
    child.wait_ready()
    client = PrometheusClient(url)
    eventually(lambda: client.query("histogram_count(busy_seconds) >= 16"), what="the sixteenth observation")
    yield client
    child.stop()
    server.shutdown()
    server.server_close()


def prometheus(folder: Path, url: str) -> Child:
    argv = [
        find_binary("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--enable-feature=native-histograms",
    ]
    log = folder / "prometheus.log"
    return Child("prometheus", argv, log=log, ready=lambda: servers.http_ready(f"{url}/-/ready"), address=url)


# -- what it makes of them ---------------------------------------------------------------------------------------------


def test_a_native_histogram_has_a_sum_a_count_a_mean_and_percentiles(client: PrometheusClient) -> None:
    now = time.time()

    found = {name: client.query(promql(name, "busy_seconds"), at=now)[0].sample.value for name in FUNCTIONS}

    assert found["Average"] == pytest.approx(1.25)
    assert found["Sum"] / found["Count"] == pytest.approx(1.25)
    # Prometheus 2 and 3 interpolate differently within a bucket.
    assert 0.5 < found["Percentile(50)"] <= 1
    assert 2 < found["Percentile(99)"] <= 4


def test_one_that_stands_still_has_no_mean_and_no_percentile_where_the_bare_function_is_nan(
    client: PrometheusClient,
) -> None:
    found = {name: client.query(promql(name, "idle_seconds")) for name in FUNCTIONS}

    assert [name for name, samples in found.items() if samples] == ["Sum", "Count"]
    assert [found[name][0].sample.value for name in ("Sum", "Count")] == [0, 0]
    assert client.query("count(histogram_quantile(0.5, rate(idle_seconds[5s])))")[0].sample.value == 1


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_expression_is_valid_in_prometheus_3_too(function: str) -> None:
    promql_parser.parse(promql(function, "busy_seconds"))


def test_a_histogram_has_no_maximum() -> None:
    entry = Aggregation(pattern="x", aggregator=Aggregator.MAX, window_seconds=5, output="y")
    source = Source(series="x", kind=Kind.NATIVE_HISTOGRAM)

    with pytest.raises(ConfigInvalid, match="a histogram has no Max; expected Sum, Average, Count or Percentile"):
        expression_for(entry, source, interval_seconds=1, range_seconds=5)
