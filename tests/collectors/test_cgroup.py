"""The control groups of this very kernel, and trees of both versions that are made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perfloop.collectors.cgroup import CgroupCollector
from tests.collectors.pages import Page, lint, page_of
from tests.collectors.recorded_host import RecordedHost

Version = Callable[[RecordedHost], RecordedHost]
SERVICE = "system.slice/web.service"
VERSION_2 = {
    "cpu.max": "150000 100000\n",
    "cpu.stat": "usage_usec 2500000\nuser_usec 1\nnr_periods 50\nnr_throttled 5\nthrottled_usec 750000\n",
    "cpu.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=4\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n",
    "memory.current": "4096\n",
    "memory.max": "8192\n",
    "memory.stat": "anon 1\ninactive_file 1024\n",
    "memory.events": "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\n",
    "pids.current": "12\n",
    "pids.max": "max\n",
    "io.stat": "254:0 rbytes=100 wbytes=200 rios=3 wios=4 dbytes=0 dios=0\n",
}
VERSION_1 = {
    "cpu/X/cpu.cfs_quota_us": "150000\n",
    "cpu/X/cpu.cfs_period_us": "100000\n",
    "cpu/X/cpu.stat": "nr_periods 50\nnr_throttled 5\nthrottled_time 750000000\n",
    "cpuacct/X/cpuacct.usage": "2500000000\n",
    "memory/X/memory.usage_in_bytes": "4096\n",
    "memory/X/memory.limit_in_bytes": "8192\n",
    "memory/X/memory.stat": "inactive_file 9\ntotal_inactive_file 1024\n",
    "memory/X/memory.failcnt": "7\n",
    "memory/X/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
    "pids/X/pids.current": "12\n",
    "pids/X/pids.max": "max\n",
    "blkio/X/blkio.throttle.io_service_bytes": "254:0 Read 100\n254:0 Write 200\n254:0 Total 300\nTotal 300\n",
    "blkio/X/blkio.throttle.io_serviced": "254:0 Read 3\n254:0 Write 4\n254:0 Total 7\nTotal 7\n",
}


def version_2(host: RecordedHost, group: str = SERVICE) -> RecordedHost:
    host.write("sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n")
    for name, content in VERSION_2.items():
        host.write(f"sys/fs/cgroup/{group}/{name}", content)
    return host


def version_1(host: RecordedHost, group: str = SERVICE) -> RecordedHost:
    for name, content in VERSION_1.items():
        host.write(f"sys/fs/cgroup/{name.replace('X', group)}", content)
    return host


def read(host: RecordedHost, *groups: str) -> Page:
    collector = CgroupCollector(groups, host.paths)
    try:
        return page_of(collector.collect())
    finally:
        collector.close()


def test_this_kernel_tells_of_the_exporters_own_group() -> None:
    collector = CgroupCollector()

    page = page_of(collector.collect())

    collector.close()
    assert page.value("perfloop_cgroup_found", group="self") == 1
    assert page.values("perfloop_cgroup_cpu_seconds_total", group="self") > [0]
    assert lint(page.text) == ""


@pytest.mark.parametrize("tree", [pytest.param(version_1, id="version 1"), pytest.param(version_2, id="version 2")])
def test_both_versions_say_the_same(tree: Version, tmp_path: Path) -> None:
    host = tree(RecordedHost(tmp_path))
    disk = tmp_path / "sys" / "dev" / "block"
    disk.mkdir(parents=True)
    (disk / "254:0").symlink_to("../../devices/virtio/block/vda")

    page = read(host, SERVICE)

    expected = {
        "found": 1,
        "cpu_limit": 1.5,
        "cpu_seconds_total": 2.5,
        "cpu_periods_total": 50,
        "cpu_throttled_periods_total": 5,
        "cpu_throttled_seconds_total": 0.75,
        "memory_bytes": 4096,
        "memory_limit_bytes": 8192,
        "memory_inactive_file_bytes": 1024,
        "memory_limit_hits_total": 7,
        "memory_oom_kills_total": 1,
        "tasks": 12,
    }
    assert {name: page.value(f"perfloop_cgroup_{name}", group=SERVICE) for name in expected} == expected
    assert page.value("perfloop_cgroup_io_read_bytes_total", group=SERVICE, device="vda") == 100
    assert page.value("perfloop_cgroup_io_writes_total", group=SERVICE, device="vda") == 4
    assert "perfloop_cgroup_tasks_limit" not in page.names()


def test_pressure_is_in_seconds(tmp_path: Path) -> None:
    page = read(version_2(RecordedHost(tmp_path)), SERVICE)

    assert page.value("perfloop_cgroup_pressure_stalled_seconds_total", group=SERVICE, resource="cpu") == 3e-6


@pytest.mark.parametrize(
    ("version", "changes"),
    [
        pytest.param(version_2, {f"{SERVICE}/cpu.max": "max 100000", f"{SERVICE}/memory.max": "max"}, id="max"),
        pytest.param(
            version_1,
            {
                f"cpu/{SERVICE}/cpu.cfs_quota_us": "-1",
                f"memory/{SERVICE}/memory.limit_in_bytes": "9223372036854771712",
            },
            id="-1, and all the memory in the world",
        ),
    ],
)
def test_no_limit_has_no_sample(tmp_path: Path, version: Version, changes: dict[str, str]) -> None:
    host = version(RecordedHost(tmp_path))
    for name, content in changes.items():
        host.write(f"sys/fs/cgroup/{name}", content)

    names = read(host, SERVICE).names()

    assert not names & {"perfloop_cgroup_cpu_limit", "perfloop_cgroup_memory_limit_bytes"}


@pytest.mark.parametrize(
    ("membership", "group"),
    [
        pytest.param("0::/user.slice/x.scope\n", "user.slice/x.scope", id="on the host"),
        pytest.param("0::/\n", "", id="in a container with a namespace of its own"),
        pytest.param("0::/docker/0123\n", "", id="in a container that is told the host's path"),
    ],
)
def test_the_own_group_is_found_wherever_the_exporter_runs(tmp_path: Path, membership: str, group: str) -> None:
    host = version_2(RecordedHost(tmp_path), group or ".")
    host.write("self/cgroup", membership)

    assert read(host).value("perfloop_cgroup_memory_bytes", group="self") == 4096


def test_a_service_that_stops_and_starts_is_right_at_the_next_scrape(tmp_path: Path) -> None:
    host = version_2(RecordedHost(tmp_path))
    folder = tmp_path / "sys/fs/cgroup" / SERVICE
    collector = CgroupCollector([SERVICE], host.paths)

    def found() -> tuple[float, list[float]]:
        page = page_of(collector.collect())
        value = page.value("perfloop_cgroup_found", group=SERVICE)
        return value, page.values("perfloop_cgroup_memory_bytes", group=SERVICE)

    assert found() == (1, [4096])
    folder.rename(tmp_path / "gone")
    assert found() == (0, [])
    version_2(host)
    host.write(f"sys/fs/cgroup/{SERVICE}/memory.current", "5\n")
    assert found() == (1, [5])
    collector.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(VERSION_2)), content=st.binary(max_size=120))
def test_whatever_a_file_holds_the_other_numbers_are_there(tmp_path: Path, name: str, content: bytes) -> None:
    host = version_2(RecordedHost(tmp_path))
    host.write(f"sys/fs/cgroup/{SERVICE}/{name}", content)

    page = read(host, SERVICE)

    assert page.values("perfloop_cgroup_tasks") or name == "pids.current"
    assert page.values("perfloop_cgroup_cpu_limit") or name == "cpu.max"
