"""docs/exporter-checklist.md: each of its points names tests that exist; and those that no other file had."""

from __future__ import annotations

import ast
import gzip
import re
import socket
import struct
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import pytest

from perfloop.app.listener import listen
from perfloop.app.probe import FAMILIES as PROBE_FAMILIES
from perfloop.collectors import COLLECTORS, all_families
from perfloop.model import MetricType
from tests.app.conftest import NOTHING, Running
from tests.collectors.pages import Page

ROOT = Path(__file__).parent.parent.parent
POINTS = re.findall(r"(?m)^\| (\d+) \| (.+?) \| (.+?) \|$", (ROOT / "docs" / "exporter-checklist.md").read_text())
FAMILIES = (*all_families(), *PROBE_FAMILIES)
COUNTERS = {family.name for family in FAMILIES if family.type is MetricType.COUNTER}

OTHER_UNITS = (
    r"ms|us|ns|m?secs?|(milli|micro|nano)seconds?|minutes?|hours?|days?|[kmg]i?b|[kmg]bytes|bits?|percent|pct|rpm|mhz"
)
# Each has a reason to have this word in its name.
AGES = {
    "perfloop_postgresql_database_frozen_xid_age": "counted in transactions",
    "perfloop_postgresql_database_minimum_multixact_age": "counted in multixacts",
    "perfloop_mysql_innodb_checkpoint_age_bytes": "a distance in bytes",
    "perfloop_mysql_innodb_checkpoint_max_age_bytes": "a distance in bytes",
    "perfloop_memcached_slab_oldest_item_age_seconds": "another item at each scrape, not one moment",
}
AVERAGES = {
    "perfloop_redis_keys_average_ttl_seconds": "Redis tells nothing else, and takes samples itself",
    "perfloop_benchmark_mean_seconds": "the mean of iterations is the result of a benchmark",
    "perfloop_benchmark_median_seconds": "as above",
}
RATIOS = {
    "perfloop_system_clock_frequency_ratio": "one number of the kernel",
    "perfloop_process_open_files_worst_ratio": "of the process nearest to its limit, which no two sums tell",
    "perfloop_redis_allocator_fragmentation_ratio": "as Redis says it; both parts are there, too",
    "perfloop_redis_allocator_rss_ratio": "as above",
    "perfloop_redis_memory_fragmentation_ratio": "as above",
    "perfloop_redis_defrag_cpu_ratio": "one number of Redis",
    "perfloop_redis_expired_stale_ratio": "one number of Redis",
}
TARGET_LABELS = {"type", "env", "environment", "zone", "region", "cluster", "service", "team", "instance"}
UNBOUNDED_LABELS = {
    "pid",
    "sql",
    "statement",
    "url",
    "uri",
    "client",
    "message",
    "text",
    "timestamp",
    "time",
    "user_agent",
}


def of_ours(page: Page) -> list[str]:
    """Return the lines of samples with our own names."""
    return re.findall(r"(?m)^perfloop_.*$", page.text)


@pytest.fixture(scope="module")
def pages(everything: Running) -> tuple[Page, Page]:
    """Two pages of everything, one after the other."""
    return everything.scrape(), everything.scrape()


# -- the document ------------------------------------------------------------------------------------------------------


def test_there_are_35_points() -> None:
    assert [int(number) for number, _, _ in POINTS] == [*range(1, 36)]


@pytest.mark.parametrize(("number", "asked", "held"), POINTS, ids=[number for number, _, _ in POINTS])
def test_each_point_has_tests_that_exist_or_a_reason(number: str, asked: str, held: str) -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", held)

    assert named or held.startswith("not by a test: "), f"{number}: {asked}"
    assert [f"{file}::{name}" for file, name in named if name not in functions_of(ROOT / "tests" / file)] == []


def functions_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


# -- names and units ---------------------------------------------------------------------------------------------------


def test_names_are_words_of_ours() -> None:
    assert [family.name for family in FAMILIES if not re.fullmatch(r"perfloop(_[a-z0-9]+)+", family.name)] == []
    labels = {label for family in FAMILIES for label in family.labels}
    assert [label for label in labels if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", label)] == []


def test_units_are_base_units() -> None:
    words = re.compile(rf"_({OTHER_UNITS})(_|$)")

    assert [family.name for family in FAMILIES if words.search(family.name)] == []


def test_a_unit_stands_at_the_end() -> None:
    within = re.compile(r"_(seconds|bytes|ratio|celsius|volts|joules)_(?!(total|info)$)")

    assert [family.name for family in FAMILIES if within.search(family.name)] == []


def test_suffixes_say_the_type() -> None:
    for family in FAMILIES:
        assert family.name.endswith("_total") == (family.type is MetricType.COUNTER), family.name
        assert family.name.endswith("_info") == (family.type is MetricType.INFO), family.name
        assert not family.name.endswith(("_sum", "_count", "_bucket", "_created")), family.name


def test_info_is_always_1(pages: tuple[Page, Page]) -> None:
    names = {family.name for family in FAMILIES if family.type is MetricType.INFO}

    assert {value for name in names for value in pages[0].values(name)} == {1}


@pytest.mark.parametrize(
    ("words", "excused"),
    [
        pytest.param("age|since|elapsed|uptime|ago", {*AGES, "perfloop_redis_rdb_changes_since_last_save"}, id="ages"),
        pytest.param("avg|average|mean|median|rate|per_second", {*AVERAGES}, id="averages and rates"),
        pytest.param("ratio|percent|fraction|utilization", {*RATIOS}, id="ratios"),
        pytest.param("by|per", set(), id="labels in names"),
        pytest.param("success_total|succeeded_total", set(), id="successes beside totals"),
    ],
)
def test_words_that_say_too_much_have_a_reason(words: str, excused: set[str]) -> None:
    found = {family.name for family in FAMILIES if re.search(rf"_({words})(_|$)", family.name)}

    assert found == excused


def test_no_label_says_success_or_direction() -> None:
    split = {"success", "result", "outcome", "direction", "ok"}

    assert [family.name for family in FAMILIES if split & {*family.labels}] == []


def test_no_aggregate_stands_beside_its_parts(pages: tuple[Page, Page]) -> None:
    assert [line for line in of_ours(pages[0]) if re.search(r'="(total|all|any|sum|\*)"', line)] == []


# -- types, help, labels -----------------------------------------------------------------------------------------------


def test_no_counter_falls(pages: tuple[Page, Page]) -> None:
    before, after = ({**dict(line.rsplit(" ", 1) for line in of_ours(page))} for page in pages)
    counters = [key for key in before if key.partition("{")[0] in COUNTERS and key in after]

    assert len(counters) > 500
    assert [key for key in counters if float(after[key]) < float(before[key])] == []


def test_help_is_a_sentence_and_the_same_everywhere(pages: tuple[Page, Page]) -> None:
    declared = {(family.name, family.type, family.help, family.labels) for family in FAMILIES}
    shown = [dict(re.findall(r"(?m)^# HELP (perfloop_\S+) (.*)$", page.text)) for page in pages]

    assert len(declared) == len({family.name for family in FAMILIES}), "a name is declared in two ways"
    assert [family.name for family in FAMILIES if not re.fullmatch(r"[A-Z0-9].{8,}\.", family.help)] == []
    # A family may come or go with what it counts, such as an open transaction.
    both = shown[0].keys() & shown[1].keys()
    assert len(both) > 900
    assert {name: shown[0][name] for name in both} == {name: shown[1][name] for name in both}
    assert all(shown[0].values())


def test_labels_are_neither_those_of_targets_nor_unbounded() -> None:
    labels = {(family.name, label) for family in FAMILIES for label in family.labels}

    assert [(name, label) for name, label in labels if label in TARGET_LABELS | UNBOUNDED_LABELS] == []
    assert not set.intersection(*({*family.labels} for family in FAMILIES))


@pytest.mark.parametrize(
    ("name", "label", "known"),
    [
        pytest.param("perfloop_network_tcp_connections", "state", {"syn_sent", "close_wait", "closing"}, id="sockets"),
        pytest.param("perfloop_process_states", "state", {"stopped", "zombie"}, id="processes"),
        pytest.param(
            "perfloop_postgresql_connections", "state", {"idle in transaction (aborted)", "other"}, id="connections"
        ),
        pytest.param("perfloop_mysql_connection_errors_total", "error", {"internal"}, id="errors"),
    ],
)
def test_what_never_happened_is_there_with_0(pages: tuple[Page, Page], name: str, label: str, known: set[str]) -> None:
    assert known <= pages[0].labels(name, label)


# -- collection --------------------------------------------------------------------------------------------------------


def test_no_sample_has_a_timestamp(pages: tuple[Page, Page]) -> None:
    values = [re.sub(r'"(\\.|[^"\\])*"', "", line).split(" ") for line in of_ours(pages[0])]

    assert [parts for parts in values if len(parts) != 2] == []


def test_every_collector_says_how_it_went(pages: tuple[Page, Page]) -> None:
    for name in ("success", "duration_seconds", "last_success_timestamp_seconds"):
        assert pages[0].labels(f"perfloop_exporter_collector_{name}", "collector") == {*COLLECTORS}


def test_a_probe_shows_nothing_but_the_probe(exporter: Callable[[str], Running]) -> None:
    running = exporter(NOTHING)

    answer, body = running.ask(f"/probe?module=tcp_connect&target={running.exporter.addresses[0]}")

    assert answer.status == HTTPStatus.OK
    assert Page(body).value("perfloop_probe_success") == 1
    assert {name.split("_")[1] for name in Page(body).names()} == {"probe"}


# -- HTTP --------------------------------------------------------------------------------------------------------------


def test_a_hundred_clients_may_wait_for_their_turn() -> None:
    with listen("127.0.0.1:0") as listener:
        # Of a listening socket, tcpi_sacked is how many may wait.
        [waiting] = struct.unpack_from("I", listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 28)

    assert waiting >= 128


def test_pages_are_compressed_fast(everything: Running) -> None:
    answer, body = everything.ask("/metrics", Accept_Encoding="gzip")

    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body).startswith(b"# HELP ")
    # The header of gzip has 2 there for the slowest level, see RFC 1952.
    assert body[8] != 2


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready", "/probe?module=icmp&target=127.0.0.1"])
def test_head_is_get_without_a_body(exporter: Callable[[str], Running], path: str) -> None:
    running = exporter(NOTHING)

    head, nothing = running.ask(path, "HEAD")
    get, body = running.ask(path)

    assert (head.status, nothing) == (get.status, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert body


@pytest.mark.parametrize(
    "path", ["/metrics/", "/metricsx", "/METRICS", "//", "/-/", "/-/quit", "/favicon.ico", "/debug/pprof"]
)
def test_elsewhere_there_is_nothing(exporter: Callable[[str], Running], path: str) -> None:
    assert exporter(NOTHING).ask(path)[0].status == HTTPStatus.NOT_FOUND


def test_the_first_page_leads_to_the_others(exporter: Callable[[str], Running]) -> None:
    running = exporter(NOTHING)

    page = running.ask("/")[1].decode()

    links = re.findall(r'href="([^"]+)"', page)
    assert "/metrics" in links
    assert "Version " in page
    assert [path for path in links if running.ask(path)[0].status != HTTPStatus.OK] == []
