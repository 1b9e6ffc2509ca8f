"""One exporter that measures everything: its page in both formats, its names, and a real Prometheus that scrapes it.

`make soak` lets Prometheus scrape for two minutes. To accept new names of families:
PERFLOOP_UPDATE_FAMILIES=1 .venv/bin/python -m pytest tests/app/test_everything.py, then read the diff.
"""

from __future__ import annotations

import os
import re
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from perfloop.app.probe import FAMILIES as PROBE_FAMILIES
from perfloop.collectors import COLLECTORS, all_families
from perfloop.model import Family
from perfloop.stack import servers
from perfloop.stack.process import Child, free_port
from tests.app.conftest import Running
from tests.app.everything import COMPAT, PUSH, TOKEN, Everyone, write_files
from tests.collectors.pages import Page, lint
from tests.support import eventually

GOLDEN = Path(__file__).parent / "families.txt"
OPENMETRICS = "application/openmetrics-text;version=1.0.0"
SOAK_SECONDS = int(os.environ.get("PERFLOOP_SOAK_SECONDS", "10"))
# Scrapes after which nothing new appears: then every target was asked, and asked twice.
WARM_UP_SCRAPES = 4
# What comes when something happens in the servers: an open transaction, a visit of autovacuum.
EVENTS = r"\w*(oldest_transaction|last_auto|autovacuum)"

# Families that need not be there, and why. Each test of their collector brings about what they tell of.
ABSENT = {
    r"system_schedule_.*|system_pressure_.*": "not in every kernel",
    r"system_disk_.*|system_memory_.*node.*": "a machine may have no disk of its own",
    r"cgroup_(?!found).*": "only what the version of the group has, and limits only where there are any",
    r"network_speed_bytes": "only real devices have a speed",
    r"network_(\w*6_\w*|udplite_\w*|conntrack_\w*)": "not in every kernel",
    r"postgresql_(wal_replay|replication)_.*": "PostgreSQL is alone",
    r"postgresql_wal_last_archive.*": "nothing is archived",
    r"postgresql_checksum_.*": "without checksums",
    r"postgresql_database_(stats_reset_timestamp_seconds|connection_limit)": "nothing was reset, no limit was set",
    r"postgresql_oldest_transaction_start_timestamp_seconds": "no transaction is open",
    r"postgresql_table_last_auto.*": "autovacuum did not come by yet",
    r"pgbouncer_(\w+_parses|binds|server_assignments)_total": "newer versions only",
    r"pgbouncer_(database_max|max_database|max_user)_connections": "no limit is set",
    r"mysql_galera_.*": "MariaDB is no member of a cluster",
    r"mysql_(replica|relay)_.*": "MariaDB is no replica",
    r"mysql_(super_read_only|innodb_log_capacity_bytes)": "MySQL has these",
    r"mysql_(selects_timed_out|innodb_log_fsyncs|innodb_rows)_total": "MySQL has these",
    r"mysql_oldest_transaction_timestamp_seconds": "no transaction is open",
    r"redis_(replica|primary|replication_second)_.*": "Redis is alone",
    r"redis_(sentinel|cluster)_.*": "Redis is neither Sentinel nor member of a cluster",
    r"redis_(rdb|aof)_\w+_duration_seconds|redis_loading_\w+_bytes": "nothing was saved or loaded",
    r"redis_(acl_denied_\w+|\w+_buffer_disconnections)_total|redis_(pubsub|watching)_clients": "newer versions only",
    r"redis_latency_event_.*": "there was no spike",
    r"memcached_slab_requested_bytes": "older versions only",
}


@pytest.fixture(scope="module")
def page(everything: Running) -> Page:
    return everything.scrape()


def series(page: bytes) -> list[str]:
    """Return what stands before the values, in order."""
    return sorted(line.rpartition(" ")[0] for line in page.decode().splitlines() if not line.startswith("#"))


def shown(page: Page) -> set[str]:
    """Return the names of the families on a page."""
    return set(re.findall(r"^# TYPE (\S+)", page.text, re.MULTILINE))


def test_promtool_complains_of_the_names_of_others_only(page: Page) -> None:
    complaints = lint(page.text).splitlines()

    assert [line for line in complaints if not line.startswith(("node_", "pg_", "redis_"))] == []
    assert complaints, "the names of the others are not there"


def test_both_formats_hold_the_same_series(everything: Running) -> None:
    def page(accept: str) -> list[str]:
        return series(everything.ask("/metrics", Accept=accept)[1])

    # Between two scrapes a database may come into another state; both formats cannot differ for ever.
    eventually(lambda: page("text/plain") == page(OPENMETRICS))


def test_openmetrics_is_what_its_reference_parser_reads(everything: Running) -> None:
    page = everything.ask("/metrics", Accept=OPENMETRICS)[1]

    read = [sample for family in read_openmetrics(page.decode()) for sample in family.samples]

    assert len(read) == len(series(page))


def test_no_family_stands_twice(page: Page) -> None:
    headers = re.findall(r"^# (?:HELP|TYPE) (\S+)", page.text, re.MULTILINE)

    assert sorted(headers) == sorted([*shown(page), *shown(page)])


def test_every_collector_is_there(page: Page) -> None:
    assert page.labels("perfloop_exporter_collector_success", "collector") == {*COLLECTORS}
    assert set(page.values("perfloop_exporter_dropped_series_total")) == {0}


def test_what_others_have_measured_is_there(page: Page) -> None:
    assert page.value("rows_processed", job="nightly") == 7
    assert page.value("backup_duration_seconds_count") == 2
    assert page.labels("perfloop_benchmark_mean_seconds", "tool") == {"go", "hyperfine", "pytest-benchmark"}
    assert page.labels("perfloop_query_relations_amount", "component") == {"db"}
    assert page.value("perfloop_query_engines_amount", component="sql") > 3


def test_the_names_of_others_are_there(page: Page) -> None:
    assert {"node_cpu_seconds_total", "pg_stat_database_xact_commit", "redis_up"} <= shown(page)


def test_what_is_declared_is_shown_or_cannot_be_here(page: Page) -> None:
    there = shown(page)
    missing = [family for family in all_families() if family.name not in there]

    assert [each.name for each in missing if not cannot_be_here(each)] == []


def cannot_be_here(family: Family) -> bool:
    source = re.fullmatch(r"(\S+) of /proc/meminfo\.", family.help)
    if source:
        return f"{source[1]}:" not in Path("/proc/meminfo").read_text()
    return any(re.fullmatch(pattern, family.name.removeprefix("perfloop_")) for pattern in ABSENT)


@pytest.mark.parametrize("pattern", ABSENT)
def test_no_reason_is_left_of_a_family_that_is_gone(pattern: str) -> None:
    assert any(re.fullmatch(pattern, family.name.removeprefix("perfloop_")) for family in all_families())


def test_names_types_and_labels_are_those_that_were_accepted() -> None:
    families = {
        f"{each.name} {each.type} {','.join(each.labels)}".strip() for each in (*all_families(), *PROBE_FAMILIES)
    }
    declared = "".join(f"{line}\n" for line in sorted(families))

    if os.environ.get("PERFLOOP_UPDATE_FAMILIES"):
        GOLDEN.write_text(declared, encoding="utf-8")
    assert declared == GOLDEN.read_text(encoding="utf-8")


@pytest.fixture
def command(everyone: Everyone, tmp_path: Path) -> Iterator[Child]:
    """The exporter as a process of its own."""
    config, address = tmp_path / "perfloop.yml", f"127.0.0.1:{free_port()}"
    config.write_text(write_files(tmp_path, everyone))
    argv = [sys.executable, "-m", "perfloop", "exporter", "--config.file", str(config)]
    argv += ["--web.listen-address", address, "--compat", ",".join(sorted(COMPAT))]
    child = Child(
        "exporter",
        argv,
        log=tmp_path / "exporter.log",
        ready=lambda: servers.http_ready(f"http://{address}/-/ready"),
        address=address,
    )
    child.start()
    child.wait_ready()
    request = urllib.request.Request(
        f"http://{address}/push/nightly", PUSH.encode(), {"Authorization": f"Bearer {TOKEN}"}, method="POST"
    )
    urllib.request.urlopen(request, timeout=5).close()
    yield child
    child.stop()


@contextmanager
def scraping(address: str, folder: Path) -> Iterator[tuple[Child, Callable[[str], list[float]]]]:
    """A Prometheus that scrapes the address each second, and what asks it."""
    config = folder / "prometheus.yml"
    targets = f"[{{targets: ['{address}']}}]"
    config.write_text(f"scrape_configs: [{{job_name: perfloop, scrape_interval: 1s, static_configs: {targets}}}]\n")
    prometheus = servers.prometheus(folder, config=config, port=free_port())
    prometheus.start()

    def query(promql: str) -> list[float]:
        answer = requests.get(f"{prometheus.address}/api/v1/query", params={"query": promql}, timeout=5).json()
        return [float(each["value"][1]) for each in answer["data"]["result"]]

    try:
        prometheus.wait_ready()
        yield prometheus, query
    finally:
        prometheus.stop()


def test_prometheus_scrapes_it_each_second_and_never_complains(
    command: Child, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with scraping(command.address, tmp_path) as (prometheus, query):

        def scrapes(number: int) -> bool:
            return query("count_over_time(up[1h])") >= [number]

        eventually(lambda: scrapes(WARM_UP_SCRAPES))
        before, known = held_by(command), series_in(prometheus)
        eventually(lambda: scrapes(SOAK_SECONDS), timeout_seconds=SOAK_SECONDS + 20)
        after, new = held_by(command), series_in(prometheus) - known
        scraped = {
            what: query(f"{what}[1h])")[0]
            for what in (
                "min_over_time(up",
                "count_over_time(up",
                "avg_over_time(scrape_samples_scraped",
                "avg_over_time(scrape_duration_seconds",
                "max_over_time(scrape_duration_seconds",
            )
        }
        late = query("sum(count_over_time((perfloop_exporter_collector_success == 0)[1h:1s]))")
        complaints = re.findall(r"^.*level=(?:warn|error).*$", prometheus.log.read_text(), re.MULTILINE)

    with capsys.disabled():
        sys.stdout.write(f"\n{scraped}\ncollections that failed or were late: {late}\n{before}\n{after}\nnew: {new}\n")
    assert scraped["min_over_time(up"] == 1
    assert complaints == []
    assert [each for each in new if not re.match(EVENTS, each)] == []
    assert after["files"] <= before["files"]
    assert after["threads"] <= before["threads"]
    assert after["resident_kilobytes"] < before["resident_kilobytes"] + 5_000


def series_in(prometheus: Child) -> set[str]:
    """Return all series of the exporter that Prometheus ever saw."""
    parameters = {"match[]": '{job="perfloop"}'}
    answer = requests.get(f"{prometheus.address}/api/v1/series", params=parameters, timeout=10).json()
    return {f"{labels.pop('__name__')} {labels}" for labels in answer["data"]}


def held_by(exporter: Child) -> dict[str, int]:
    """Say how many files, threads and kilobytes the exporter holds."""
    process = Path(f"/proc/{exporter.pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return {
        "files": len(list((process / "fd").iterdir())),
        "threads": int(status["Threads"]),
        "resident_kilobytes": int(status["VmRSS"].split()[0]),
    }
