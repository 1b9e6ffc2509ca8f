"""The numbers of this very host, against the kernel's files and psutil; and hosts that are made up."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import get_args

import psutil
import pytest

from perfloop.collectors.host.disks import NOT_A_DISK
from perfloop.collectors.system import SystemCollector
from perfloop.config.schema.system import SystemSource
from tests.collectors.pages import Page, lint, page_of
from tests.collectors.recorded_host import RecordedHost
from tests.support import eventually

MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


@pytest.fixture
def page() -> Page:
    collector = SystemCollector()
    try:
        return page_of(collector.collect())
    finally:
        collector.close()


def read(host: RecordedHost) -> Page:
    collector = SystemCollector(host.paths)
    try:
        return page_of(collector.collect())
    finally:
        collector.close()


# -- this host ---------------------------------------------------------------------------------------------------------


def test_cpu_seconds_are_those_of_proc_stat(page: Page) -> None:
    after = [
        line.split() for line in Path("/proc/stat").read_text().splitlines() if line[:3] == "cpu" and line[3] != " "
    ]

    for name, *ticks in after:
        for mode, tick in zip(MODES, ticks, strict=False):
            assert page.value("perfloop_system_cpu_seconds_total", cpu=name[3:], mode=mode) == pytest.approx(
                int(tick) / 100, abs=3
            )
    assert len(page.values("perfloop_system_cpu_seconds_total")) == len(after) * len(MODES)


def test_cpu_seconds_move_when_a_cpu_works() -> None:
    collector = SystemCollector()
    before = sum(page_of(collector.collect()).values("perfloop_system_cpu_seconds_total", mode="user"))

    def moved() -> bool:
        sum(i * i for i in range(200_000))
        return sum(page_of(collector.collect()).values("perfloop_system_cpu_seconds_total", mode="user")) > before

    assert eventually(moved)
    collector.close()


def test_memory_and_swap_are_what_psutil_says(page: Page) -> None:
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()

    assert page.value("perfloop_system_memory_size_bytes") == memory.total
    assert page.value("perfloop_system_memory_available_bytes") == pytest.approx(memory.available, rel=0.1)
    assert page.value("perfloop_system_memory_free_bytes") == pytest.approx(memory.free, rel=0.1)
    assert page.value("perfloop_system_memory_buffers_bytes") == pytest.approx(memory.buffers, rel=0.1)
    assert page.value("perfloop_system_swap_size_bytes") == swap.total
    assert page.value("perfloop_system_swap_free_bytes") == pytest.approx(swap.free, rel=0.1)


def test_every_line_of_meminfo_is_shown_and_declared(page: Page) -> None:
    lines = Path("/proc/meminfo").read_text().splitlines()

    shown = {name for name in page.names() if name.startswith(("perfloop_system_memory_", "perfloop_system_swap_"))}
    declared = {family.name for family in SystemCollector.families}

    assert len(shown) == len(lines) + 2  # pages swapped in and out are of /proc/vmstat
    assert shown <= declared


def test_disks_are_what_psutil_says(page: Page) -> None:
    for device, counters in psutil.disk_io_counters(perdisk=True).items():
        if not NOT_A_DISK.fullmatch(device.encode()):
            assert page.value("perfloop_system_disk_read_bytes_total", device=device) == pytest.approx(
                counters.read_bytes, rel=0.1
            )
            assert page.value("perfloop_system_disk_writes_total", device=device) == pytest.approx(
                counters.write_count, rel=0.1
            )
            assert page.value("perfloop_system_disk_io_seconds_total", device=device) == pytest.approx(
                counters.busy_time / 1000, rel=0.1
            )


def test_boot_time_load_and_activity_are_what_the_system_says(page: Page) -> None:
    counters = psutil.cpu_stats()

    assert page.value("perfloop_system_boot_timestamp_seconds") == pytest.approx(psutil.boot_time(), abs=2)
    assert page.value("perfloop_system_load1") == pytest.approx(psutil.getloadavg()[0], abs=2)
    assert page.value("perfloop_system_context_switches_total") == pytest.approx(counters.ctx_switches, rel=0.1)
    assert page.value("perfloop_system_interrupts_total") == pytest.approx(counters.interrupts, rel=0.1)
    assert page.value("perfloop_system_tasks_running") >= 1
    assert page.value("perfloop_system_time_seconds") == pytest.approx(time.time(), abs=30)


def test_open_files_are_counted(tmp_path: Path) -> None:
    collector = SystemCollector()
    before = page_of(collector.collect()).value("perfloop_system_file_descriptors")

    files = [(tmp_path / str(i)).open("w") for i in range(500)]

    # The kernel counts in batches for each CPU.
    assert page_of(collector.collect()).value("perfloop_system_file_descriptors") > before + 200
    for file in files:
        file.close()
    collector.close()


def test_the_host_says_what_it_is(page: Page) -> None:
    said, release = os.uname(), platform.freedesktop_os_release()

    assert page.labels("perfloop_system_uname_info", "release") == {said.release}
    assert page.labels("perfloop_system_uname_info", "nodename") == {said.nodename}
    assert page.labels("perfloop_system_os_info", "pretty_name") == {release["PRETTY_NAME"]}


def test_promtool_has_nothing_to_say(page: Page) -> None:
    assert lint(page.text) == ""


# -- made-up hosts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "is_disk"),
    [
        pytest.param(b"vda", True, id="virtio disk"),
        pytest.param(b"sda1", False, id="partition"),
        pytest.param(b"sdaa1", False, id="partition of the 27th disk"),
        pytest.param(b"nvme0n1", True, id="nvme disk"),
        pytest.param(b"nvme0n1p2", False, id="nvme partition"),
        pytest.param(b"mmcblk0p1", False, id="partition of a memory card"),
        pytest.param(b"dm-0", True, id="mapped device"),
        pytest.param(b"md127", True, id="array"),
        pytest.param(b"loop0", False, id="loop device"),
        pytest.param(b"ram0", False, id="ram disk"),
        pytest.param(b"zram0", True, id="compressed ram: swap goes there"),
    ],
)
def test_only_whole_disks_are_counted(device: bytes, *, is_disk: bool) -> None:
    assert (NOT_A_DISK.fullmatch(device) is None) is is_disk


def test_units_become_base_units(recorded_host: RecordedHost) -> None:
    page = read(recorded_host)

    assert page.value("perfloop_system_cpu_seconds_total", cpu="0", mode="user") == 1.23
    assert page.value("perfloop_system_cpu_guest_seconds_total", cpu="0", mode="user") == 0.01
    assert page.value("perfloop_system_memory_size_bytes") == 2048 * 1024
    assert page.value("perfloop_system_memory_active_anon_bytes") == 7 * 1024
    assert page.value("perfloop_system_memory_huge_pages_free") == 3
    assert page.value("perfloop_system_disk_read_bytes_total", device="vda") == 8 * 512
    assert page.value("perfloop_system_disk_read_seconds_total", device="vda") == 1.5
    assert page.value("perfloop_system_disk_write_seconds_total", device="vda") == 2.5
    assert page.value("perfloop_system_disk_io_seconds_total", device="vda") == 3.5
    assert page.value("perfloop_system_pressure_waiting_seconds_total", resource="cpu") == 1.5
    assert page.value("perfloop_system_schedule_waiting_seconds_total", cpu="0") == 2.5


def test_what_the_kernel_does_not_say_has_no_sample(recorded_host: RecordedHost) -> None:
    page = read(recorded_host)

    assert "perfloop_system_memory_available_bytes" not in page.names()
    assert page.labels("perfloop_system_pressure_waiting_seconds_total", "resource") == {"cpu"}
    assert "perfloop_system_pressure_stalled_seconds_total" not in page.names()
    assert "perfloop_system_disk_discards_total" not in page.names()
    assert "pressure/io" not in page.labels("perfloop_system_source_success", "source")


def test_a_line_of_meminfo_that_only_a_later_kernel_has_is_shown(recorded_host: RecordedHost) -> None:
    recorded_host.write("meminfo", "MemTotal: 1 kB\nHotPages(far): 2 kB\n")

    assert read(recorded_host).value("perfloop_system_memory_hot_pages_far_bytes") == 2048


def test_lines_of_meminfo_whose_names_become_one_are_one_series(recorded_host: RecordedHost) -> None:
    recorded_host.write("meminfo", "MemTotal: 1 kB\nSize: 9 kB\nActive(anon): 2 kB\nActive_anon: 3 kB\n")

    page = read(recorded_host)

    assert page.value("perfloop_system_memory_size_bytes") == 1024
    assert page.value("perfloop_system_memory_active_anon_bytes") == 2048


def test_udev_says_the_make_of_a_disk(recorded_host: RecordedHost) -> None:
    recorded_host.write("root/run/udev/data/b254:0", 'S:disk/by-id/x\nE:ID_MODEL=Fast_"9"\nE:ID_SERIAL_SHORT=A1\n')

    page = read(recorded_host)

    assert page.labels("perfloop_system_disk_info", "model") == {'Fast_"9"'}
    assert page.labels("perfloop_system_disk_info", "serial") == {"A1"}


# -- what comes and goes -----------------------------------------------------------------------------------------------


def test_a_disk_that_is_plugged_in_appears_and_disappears(recorded_host: RecordedHost) -> None:
    collector = SystemCollector(recorded_host.paths)
    one = recorded_host.read("diskstats")

    def devices() -> set[str]:
        return page_of(collector.collect()).labels("perfloop_system_disk_reads_total", "device")

    assert devices() == {"vda"}
    recorded_host.write("diskstats", one + one.replace("vda", "vdb"))
    assert devices() == {"vda", "vdb"}
    recorded_host.write("diskstats", one.replace("vda", "vdc"))
    assert devices() == {"vdc"}
    recorded_host.write("diskstats", "")
    assert devices() == set()
    collector.close()


def test_a_cpu_that_goes_off_while_another_comes_on_is_not_mistaken_for_it(recorded_host: RecordedHost) -> None:
    collector = SystemCollector(recorded_host.paths)
    stat = recorded_host.read("stat")

    def user_seconds() -> dict[str, float]:
        page = page_of(collector.collect())
        cpus = page.labels("perfloop_system_cpu_seconds_total", "cpu")
        return {cpu: page.value("perfloop_system_cpu_seconds_total", cpu=cpu, mode="user") for cpu in cpus}

    assert user_seconds() == {"0": 1.23, "1": 2.0}
    recorded_host.write("stat", stat.replace("cpu1", "cpu3"))
    assert user_seconds() == {"0": 1.23, "3": 2.0}
    recorded_host.write("stat", stat.replace("cpu1 200 0 0 0 0 0 0 0 0 0\n", ""))
    assert user_seconds() == {"0": 1.23}
    recorded_host.write("stat", stat)
    assert user_seconds() == {"0": 1.23, "1": 2.0}
    collector.close()


def test_a_file_that_appears_later_is_read(recorded_host: RecordedHost) -> None:
    collector = SystemCollector(recorded_host.paths)
    page_of(collector.collect())

    recorded_host.write("pressure/io", "some avg10=0 avg60=0 avg300=0 total=5\nfull avg10=0 avg60=0 avg300=0 total=2\n")

    page = page_of(collector.collect())
    assert page.value("perfloop_system_pressure_stalled_seconds_total", resource="io") == 2e-6
    collector.close()


# -- what is broken ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param("MemTotal", id="cut off"),
        pytest.param("MemTotal: many kB\n", id="no number"),
        pytest.param("\0\xff\n\n: kB\n", id="binary"),
    ],
)
def test_a_broken_file_costs_its_own_samples_and_says_so(
    recorded_host: RecordedHost, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    collector = SystemCollector(recorded_host.paths)
    good = recorded_host.read("meminfo")
    recorded_host.write("meminfo", content)

    pages = [page_of(collector.collect()) for _ in range(3)]

    for page in pages:
        assert page.value("perfloop_system_source_success", source="meminfo") == 0
        assert page.value("perfloop_system_source_success", source="stat") == 1
        assert page.value("perfloop_system_load1") == 0.5
        assert not [name for name in page.names() if "memory" in name]
    assert [record.message for record in caplog.records] == ["source not understood"]
    recorded_host.write("meminfo", good)
    assert page_of(collector.collect()).value("perfloop_system_memory_size_bytes") == 2048 * 1024
    collector.close()


def test_a_file_that_may_not_be_read_says_so(recorded_host: RecordedHost) -> None:
    (recorded_host.paths.procfs / "loadavg").unlink()
    (recorded_host.paths.procfs / "loadavg").mkdir()

    page = read(recorded_host)

    assert page.value("perfloop_system_source_success", source="loadavg") == 0
    assert page.value("perfloop_system_boot_timestamp_seconds") == 1_700_000_000


def test_a_source_that_nobody_wants_is_not_read(recorded_host: RecordedHost) -> None:
    collector = SystemCollector(recorded_host.paths, without=("pressure", "vmstat"))

    page = page_of(collector.collect())

    assert not page.labels("perfloop_system_source_success", "source") & {"pressure/cpu", "vmstat"}
    assert not [name for name in page.names() if "pressure" in name or "faults" in name]
    collector.close()


def test_every_source_can_be_left_out_by_its_name() -> None:
    collector = SystemCollector()
    sources = page_of(collector.collect()).labels("perfloop_system_source_success", "source")

    assert {source.partition("/")[0] for source in sources} <= set(get_args(SystemSource))
    collector.close()


# -- no /proc ----------------------------------------------------------------------------------------------------------


def test_without_proc_psutil_says_the_same_under_the_same_names(tmp_path: Path, page: Page) -> None:
    host = RecordedHost(tmp_path / "nothing")

    portable = read(host)

    assert portable.names() <= page.names()
    assert portable.value("perfloop_system_memory_size_bytes") == page.value("perfloop_system_memory_size_bytes")
    for name in ("cpu_seconds_total", "disk_read_bytes_total", "disk_write_seconds_total", "context_switches_total"):
        told, expected = (sum(said.values(f"perfloop_system_{name}")) for said in (portable, page))
        assert told == pytest.approx(expected, rel=0.1)
    assert portable.labels("perfloop_system_source_success", "source") == {"psutil", "time"}
    assert lint(portable.text) == ""
