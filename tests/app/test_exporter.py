"""The whole exporter over HTTP, with real targets that live, die, hang and recover."""

from __future__ import annotations

import gzip
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from perfloop.app.exporter import Exporter
from perfloop.app.options import ExporterOptions
from perfloop.collectors import all_families
from perfloop.collectors.postgres.settings import PREFIX as SETTING
from perfloop.config import parse
from perfloop.errors import ConfigInvalid, StackFailed
from perfloop.model import MetricType
from perfloop.rules.catalogue import catalogue
from perfloop.stack import servers
from perfloop.stack.process import Child, free_port
from tests.app.conftest import NOTHING, Running
from tests.collectors.pages import Page, lint
from tests.support import eventually, freeze, perfloop

TEXT = "text/plain; version=0.0.4; charset=utf-8"
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Child]:
    """A Redis that a test may stop."""
    child = servers.redis(tmp_path, port=free_port())
    child.start()
    child.wait_ready()
    yield child
    child.send(signal.SIGCONT)
    child.stop()


@pytest.fixture
def black_hole() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_one_page_holds_everything(
    exporter: Callable[[str], Running], postgresql: Child, pgbouncer: Child, redis: Child
) -> None:
    running = exporter(f"""
collectors:
  network:
    targets:
    - {{component: db, address: "{postgresql.address}"}}
    - {{component: cache, address: "{redis.address}"}}
components:
  db: {{driver: postgresql, address: "{postgresql.address}", user: postgres}}
  pool: {{driver: pgbouncer, address: "{pgbouncer.address}", user: postgres}}
  cache: {{driver: redis, address: "{redis.address}"}}
""")

    page = eventually(lambda: (page := running.scrape()).values("perfloop_pgbouncer_up") == [1.0] and page)

    assert set(page.values("perfloop_exporter_collector_success")) == {1.0}
    assert page.value("perfloop_postgresql_up", component="db") == 1
    assert page.value("perfloop_redis_up", component="cache") == 1
    assert page.labels("perfloop_network_up", "component") == {"db", "cache"}
    assert page.text.count("# TYPE perfloop_network_up ") == 1
    assert page.value("perfloop_exporter_resident_memory_bytes") > 5_000_000
    assert page.value("perfloop_exporter_cpu_seconds_total") > 0
    assert lint(page.text) == ""
    declared = {family.name for family in all_families()}
    # The server says which settings it has.
    shown = {name for name in re.findall(r"^# TYPE (\S+)", page.text, re.MULTILINE) if not name.startswith(SETTING)}
    assert shown <= declared


def test_a_hung_target_costs_one_scrape_half_a_second_and_comes_back(
    exporter: Callable[[str], Running], own_redis: Child, redis: Child
) -> None:
    running = exporter(f"""
components:
  paused: {{driver: redis, address: "{own_redis.address}"}}
  cache: {{driver: redis, address: "{redis.address}"}}
""")
    assert running.scrape().value("perfloop_redis_up", component="paused") == 1

    freeze(own_redis.pid)
    waits = []
    for _ in range(4):
        page, seconds = running.timed_scrape()
        waits.append(seconds)
        assert page.value("perfloop_redis_up", component="paused") == 0
        assert page.value("perfloop_redis_up", component="cache") == 1
        assert page.values("perfloop_redis_clients", component="paused") == []
        assert page.values("perfloop_system_cpu_seconds_total")

    assert 0.4 < waits[0] < 0.9
    assert max(waits[1:]) < 0.3
    own_redis.send(signal.SIGCONT)
    eventually(lambda: running.scrape().value("perfloop_redis_up", component="paused") == 1)


def test_dead_and_silent_targets_cost_only_their_own_samples(
    exporter: Callable[[str], Running], black_hole: str, redis: Child
) -> None:
    dead = f"127.0.0.1:{free_port()}"
    running = exporter(f"""
collectors:
  application: {{probes: [{{component: web, url: "http://{black_hole}/"}}, {{component: gone, url: "http://{dead}/"}}]}}
  network: {{targets: [{{component: gone, address: "{dead}"}}]}}
components:
  silent-db: {{driver: postgresql, address: "{black_hole}"}}
  silent-pool: {{driver: pgbouncer, address: "{black_hole}"}}
  silent-cache: {{driver: redis, address: "{black_hole}"}}
  dead-db: {{driver: postgresql, address: "{dead}"}}
  cache: {{driver: redis, address: "{redis.address}"}}
""")

    first, first_seconds = running.timed_scrape()
    second, second_seconds = running.timed_scrape()

    assert first_seconds < 0.9
    assert second_seconds < 0.3
    for page in (first, second):
        assert page.value("perfloop_redis_up", component="cache") == 1
        for name, component in {
            ("postgresql", "silent-db"),
            ("pgbouncer", "silent-pool"),
            ("redis", "silent-cache"),
            ("postgresql", "dead-db"),
            ("application", "web"),
            ("application", "gone"),
            ("network", "gone"),
        }:
            assert page.value(f"perfloop_{name}_up", component=component) == 0
    assert second.value("perfloop_network_connect_failures_total", component="gone") >= 1
    assert second.value("perfloop_application_probes_total", component="web") == 1
    assert lint(second.text) == ""


def test_scrapes_at_the_same_time_share_one_collection(exporter: Callable[[str], Running], black_hole: str) -> None:
    running = exporter(NOTHING + f"components: {{silent: {{driver: redis, address: '{black_hole}'}}}}\n")
    bodies: list[bytes] = []

    def scrape() -> None:
        client = http.client.HTTPConnection(running.exporter.addresses[0], timeout=10)
        client.request("GET", "/metrics")
        bodies.append(client.getresponse().read())
        client.close()

    threads = [threading.Thread(target=scrape) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(bodies) == 20
    assert len(set(bodies)) <= 3


@pytest.mark.parametrize(
    ("method", "path", "status", "content_type"),
    [
        pytest.param("GET", "/metrics", 200, TEXT, id="metrics"),
        pytest.param("GET", "/metrics?collect[]=exporter", 200, TEXT, id="a query"),
        pytest.param("HEAD", "/metrics", 200, TEXT, id="head"),
        pytest.param("GET", "/", 200, "text/html; charset=utf-8", id="landing page"),
        pytest.param("GET", "/-/healthy", 200, "text/plain; charset=utf-8", id="healthy"),
        pytest.param("GET", "/-/ready", 200, "text/plain; charset=utf-8", id="ready"),
        pytest.param("GET", "/metric", 404, "text/plain; charset=utf-8", id="not there"),
        pytest.param("POST", "/metrics", 405, "text/plain; charset=utf-8", id="wrong method"),
        pytest.param("GET", "/metrics?collect[]=cpu", 400, "text/plain; charset=utf-8", id="a query for nothing"),
        pytest.param("GET", "/-/reload", 405, "text/plain; charset=utf-8", id="a reload by GET"),
        pytest.param("DELETE", "/", 405, "text/plain; charset=utf-8", id="another wrong method"),
    ],
)
def test_paths_and_methods(
    exporter: Callable[[str], Running], method: str, path: str, status: int, content_type: str
) -> None:
    answer, body = exporter(NOTHING).ask(path, method)

    assert (answer.status, answer.headers["Content-Type"]) == (status, content_type)
    assert (body == b"") is (method == "HEAD")
    assert int(answer.headers["Content-Length"]) > 0
    assert (answer.headers["Allow"] is not None) is (status == 405)


def test_a_page_is_compressed_for_those_who_accept_it(exporter: Callable[[str], Running]) -> None:
    running = exporter("")

    answer, body = running.ask("/metrics", Accept_Encoding="gzip")

    assert answer.headers["Content-Encoding"] == "gzip"
    assert 4 * len(body) < len(gzip.decompress(body))
    assert Page(gzip.decompress(body)).values("perfloop_system_cpu_seconds_total")
    assert "Content-Encoding" not in running.ask("/metrics")[0].headers


def test_prometheus_timeout_is_honoured(exporter: Callable[[str], Running], black_hole: str) -> None:
    running = exporter(NOTHING + f"components: {{silent: {{driver: redis, address: '{black_hole}'}}}}\n")
    started_at = time.monotonic()

    running.ask("/metrics", X_Prometheus_Scrape_Timeout_Seconds="0.6")

    assert 0.09 < time.monotonic() - started_at < 0.45


def test_a_real_prometheus_reads_the_page(exporter: Callable[[str], Running], tmp_path: Path, redis: Child) -> None:
    running = exporter(f"components: {{cache: {{driver: redis, address: '{redis.address}'}}}}\n")
    config = tmp_path / "prometheus.yml"
    targets = f"[{{targets: ['{running.exporter.addresses[0]}']}}]"
    config.write_text(f"scrape_configs: [{{job_name: perfloop, scrape_interval: 1s, static_configs: {targets}}}]\n")
    prometheus = servers.prometheus(tmp_path, config=config, port=free_port())
    prometheus.start()

    def query(promql: str) -> list[float]:
        answer = requests.get(f"{prometheus.address}/api/v1/query", params={"query": promql}, timeout=5).json()
        return [float(series["value"][1]) for series in answer["data"]["result"]]

    try:
        prometheus.wait_ready()
        eventually(lambda: query("up") == [1.0])
        page = running.scrape()
        [cpu_seconds] = query("sum(perfloop_system_cpu_seconds_total)")
    finally:
        prometheus.stop()

    assert cpu_seconds == pytest.approx(sum(page.values("perfloop_system_cpu_seconds_total")), rel=0.01)
    assert not re.search("duplicate|out-of-order|out of order", prometheus.log.read_text(), re.IGNORECASE)


def test_two_collectors_of_one_series_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "perfloop.yml"
    probe = "{component: web, url: 'http://127.0.0.1:1/'}"
    file.write_text(f"collectors: {{application: {{probes: [{probe}, {probe}]}}}}")

    with pytest.raises(ConfigInvalid, match="'web'"):
        Exporter(file, base=tmp_path, environ={}, options=ExporterOptions(addresses=("127.0.0.1:0",)))


def test_a_taken_port_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "perfloop.yml").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(StackFailed, match=f"cannot listen on {address}: Address already in use"):
            Exporter(
                tmp_path / "perfloop.yml", base=tmp_path, environ={}, options=ExporterOptions(addresses=(address,))
            )


def test_the_command_serves_reloads_and_ends_cleanly(tmp_path: Path, own_redis: Child) -> None:
    address, file = f"127.0.0.1:{free_port()}", tmp_path / "perfloop.yml"
    file.write_text(f"""
components:
  cache: {{driver: redis, address: "{own_redis.address}", password: {{env: REDIS_PASSWORD}}}}
""")
    argv = [sys.executable, "-m", "perfloop", "exporter", "--config.file", str(file), "--web.listen-address", address]
    environ = {**os.environ, "REDIS_PASSWORD": "s3cret"}
    with subprocess.Popen(argv, env=environ, stderr=subprocess.PIPE, text=True) as child:
        eventually(lambda: servers.http_ready(f"http://{address}/-/ready"))
        # This Redis has no password; it refuses ours, which must not show anywhere.
        assert servers.http_ready(f"http://{address}/metrics")
        file.write_text("nonsense: true")
        child.send_signal(signal.SIGHUP)
        client = http.client.HTTPConnection(address)

        def reload_failed() -> bool:
            client.request("GET", "/metrics")
            page = Page(client.getresponse().read())
            return page.value("perfloop_exporter_config_last_reload_successful") == 0

        eventually(reload_failed)
        child.send_signal(signal.SIGTERM)
        assert child.stderr is not None
        log = child.stderr.read()
        assert child.wait(10) == 0
        client.close()

    assert "unknown key" in log
    assert "collector=redis component=cache" in log
    assert "s3cret" not in log
    assert "Traceback" not in log


def test_mistakes_in_the_configuration_are_said_and_nothing_starts(tmp_path: Path) -> None:
    (tmp_path / "perfloop.yml").write_text("collectors: {sistem: {}}\n")

    done = perfloop("exporter", "--config.file", str(tmp_path / "perfloop.yml"))

    assert done.returncode == 1
    assert "perfloop.yml:1: collectors.sistem: unknown key; did you mean system?" in done.stderr


def test_every_metric_of_the_catalogue_is_measured() -> None:
    suffixes = {MetricType.HISTOGRAM: ("_bucket", "_sum", "_count")}
    declared = {family.name + suffix for family in all_families() for suffix in suffixes.get(family.type, ("",))}
    used = {
        name
        for metric in catalogue(parse("").metrics).values()
        for name in re.findall(r"\bperfloop_(?!exporter)\w+", metric.expr)
    }

    assert used <= declared


def test_the_table_of_metrics_is_fresh(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "generate_metrics.py", tmp_path / "metrics.md"], check=True)

    assert (tmp_path / "metrics.md").read_text() == (ROOT / "docs" / "metrics.md").read_text(), "make generate"
