"""`--compat node`, side by side with Debian's node_exporter on this host: the same names, labels, types and values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from perfloop.app.collectors import build_collectors
from perfloop.collectors.compat import node
from perfloop.collectors.filesystem import FilesystemCollector
from perfloop.collectors.system import SystemCollector
from perfloop.config import parse
from perfloop.exposition.page import render_page
from perfloop.model import Paths
from tests.bench.peers import node_exporter
from tests.collectors.pages import page_of
from tests.collectors.recorded_host import RecordedHost

DOCS = Path(__file__).parents[2] / "docs" / "collectors" / "system.md"
HOST_COLLECTORS = {"system", "filesystem", "network", "links", "sockets"}
Series = tuple[str, frozenset[tuple[str, str]]]

# Gauges that move between two readings, and by how much at most.
MOVING = {
    "node_load*": 5.0,
    "node_memory_*": 2e9,
    "node_filesystem_*_bytes": 1e9,
    "node_filesystem_files_free": 1e5,
    "node_procs_*": 1e3,
    "node_filefd_allocated": 1e4,
    "node_disk_io_now": 1e3,
    "node_sockstat_*": 1e8,
    "node_netstat_Tcp_CurrEstab": 1e3,
    "node_nf_conntrack_entries": 1e5,
    "node_udp_queues": 1e6,
    "node_time_seconds": 60.0,
    "node_timex_*": 20.0,
    "node_arp_entries": 100.0,
}


class Reading:
    """What a page says under node_exporter's names."""

    def __init__(self, text: str) -> None:
        self.values: dict[Series, float] = {}
        self.types: dict[str, str] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if not sample.name.startswith("perfloop_"):
                    self.values[sample.name, frozenset(sample.labels.items())] = sample.value
                    self.types[sample.name] = family.type

    @property
    def series(self) -> set[Series]:
        """Return names with labels."""
        return set(self.values)


def documented(title: str) -> list[str]:
    """Return the patterns of a table in the page about the collector."""
    _, _, rest = DOCS.read_text(encoding="utf-8").partition(f"\n### {title}\n")
    section, _, _ = rest.partition("\n#")
    return [pattern for cell in re.findall(r"(?m)^\| (`.*?) \|", section) for pattern in re.findall(r"`(.+?)`", cell)]


def is_among(series: Series, patterns: list[str]) -> bool:
    """Whether a pattern matches the name, or the name with one label as `name{label="value"}`."""
    name, labels = series
    told = [name, *(f'{name}{{{label}="{value}"}}' for label, value in labels)]
    return any(fnmatchcase(one, pattern) for one in told for pattern in patterns)


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Reading, Reading, Reading]]:
    """Ours, theirs, and ours again."""
    folder = tmp_path_factory.mktemp("compat")
    recipes = build_collectors(parse("{}"), base=folder, environ={}, compat=frozenset({"node"}))
    collectors = [made for recipe in recipes if (made := recipe.make()).name in HOST_COLLECTORS]

    def ours() -> Reading:
        return Reading(render_page(pair for made in collectors for pair in made.collect()).decode())

    child = node_exporter(folder)
    child.start()
    try:
        child.wait_ready()
        first = ours()
        theirs = Reading(requests.get(f"http://{child.address}/metrics", timeout=10).text)
        yield first, theirs, ours()
    finally:
        child.stop()
        for made in collectors:
            made.close()


def test_what_node_exporter_shows_is_there_but_for_what_the_docs_list(
    readings: tuple[Reading, Reading, Reading],
) -> None:
    ours, theirs, _ = readings
    left_out = documented("Left out") + documented("Left out in some cases")

    missing = {series for series in theirs.series - ours.series if not is_among(series, left_out)}

    assert missing == set()
    assert len(theirs.series & ours.series) > 200


def test_every_filesystem_of_theirs_is_there_at_one_of_its_mount_points(
    readings: tuple[Reading, Reading, Reading],
) -> None:
    ours, theirs, _ = (
        {dict(labels)["device"] for name, labels in reading.series if name == "node_filesystem_size_bytes"}
        for reading in readings
    )

    assert theirs
    assert theirs <= ours


def test_nothing_that_the_docs_call_left_out_is_there(readings: tuple[Reading, Reading, Reading]) -> None:
    ours, theirs, _ = readings

    both = {series for series in ours.series & theirs.series if is_among(series, documented("Left out"))}

    assert both == set()


def test_what_we_show_more_is_what_the_docs_list(readings: tuple[Reading, Reading, Reading]) -> None:
    ours, theirs, _ = readings

    more = {series for series in ours.series - theirs.series if not is_among(series, documented("Shown besides"))}

    assert more == set()


def test_types_are_the_same(readings: tuple[Reading, Reading, Reading]) -> None:
    ours, theirs, _ = readings

    differing = {name: (kind, theirs.types[name]) for name, kind in ours.types.items() if name in theirs.types}

    assert {name: kinds for name, kinds in differing.items() if kinds[0] != kinds[1]} == {}


def test_values_are_the_same(readings: tuple[Reading, Reading, Reading]) -> None:
    before, theirs, after = readings
    wrong = {}

    for series in before.series & theirs.series & after.series:
        low, value, high = (reading.values[series] for reading in (before, theirs, after))
        slack = max([most for pattern, most in MOVING.items() if fnmatchcase(series[0], pattern)], default=0)
        slack += abs(value) * 1e-9
        if not min(low, high) - slack <= value <= max(low, high) + slack:
            wrong[series] = (low, value, high)

    assert wrong == {}


def test_every_alias_is_one_family_and_every_family_has_at_most_one() -> None:
    names = [alias.family.name for alias in node.ALIASES.values()]

    assert len(names) == len(set(names))
    assert all(name.startswith("node_") for name in names)


def test_both_names_stand_on_the_page_of_a_host_that_is_made_up(recorded_host: RecordedHost) -> None:
    system = SystemCollector(recorded_host.paths, aliases=node.ALIASES, surveys=node.SURVEYS)
    recorded_host.write("1/mounts", "/dev/a / ext4 ro 0 0\n")
    filesystem = FilesystemCollector(Paths(procfs=recorded_host.paths.procfs), aliases=node.ALIASES)

    page = page_of(system.collect(), filesystem.collect())

    assert page.value("perfloop_system_schedule_waiting_seconds_total", cpu="0") == 2.5
    assert page.value("node_schedstat_waiting_seconds_total", cpu="0") == 2.5
    assert page.value("node_pressure_cpu_waiting_seconds_total") == 1.5
    assert page.value("node_vmstat_pgpgin") == 10
    assert page.value("node_memory_Active_anon_bytes") == 7 * 1024
    assert page.value("node_filesystem_readonly", device="/dev/a", mountpoint="/", fstype="ext4") == 1
    system.close()
    filesystem.close()
