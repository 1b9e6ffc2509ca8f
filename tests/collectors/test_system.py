"""The numbers of this very host, against the kernel's files and psutil; and hosts that are made up."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from perfloop.collectors.system import NOT_A_DISK, SystemCollector
from tests.collectors.pages import Page, lint, page_of
from tests.support import eventually

MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


@pytest.fixture
def page() -> Page:
    collector = SystemCollector()
    try:
        return page_of(collector.collect())
    finally:
        collector.close()


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


def test_disks_are_what_psutil_says(page: Page) -> None:
    for device, counters in psutil.disk_io_counters(perdisk=True).items():
        if not NOT_A_DISK.match(device.encode()):
            assert page.value("perfloop_system_disk_read_bytes_total", device=device) == pytest.approx(
                counters.read_bytes, rel=0.1
            )
            assert page.value("perfloop_system_disk_writes_total", device=device) == pytest.approx(
                counters.write_count, rel=0.1
            )
            assert page.value("perfloop_system_disk_io_seconds_total", device=device) == pytest.approx(
                counters.busy_time / 1000, rel=0.1
            )


def test_boot_time_and_load_are_what_the_system_says(page: Page) -> None:
    assert page.value("perfloop_system_boot_timestamp_seconds") == pytest.approx(psutil.boot_time(), abs=2)
    assert page.value("perfloop_system_load1") == pytest.approx(psutil.getloadavg()[0], abs=2)


def test_promtool_has_nothing_to_say(page: Page) -> None:
    assert lint(page.text) == ""


@pytest.mark.parametrize(
    ("device", "is_disk"),
    [
        pytest.param(b"vda", True, id="virtio disk"),
        pytest.param(b"sda1", False, id="partition"),
        pytest.param(b"nvme0n1", True, id="nvme disk"),
        pytest.param(b"nvme0n1p2", False, id="nvme partition"),
        pytest.param(b"dm-0", True, id="mapped device"),
        pytest.param(b"loop0", False, id="loop device"),
        pytest.param(b"ram0", False, id="ram disk"),
        pytest.param(b"zram0", False, id="compressed ram"),
    ],
)
def test_only_whole_disks_are_counted(device: bytes, *, is_disk: bool) -> None:
    assert (NOT_A_DISK.match(device) is None) is is_disk


def made_up_host(proc: Path) -> Path:
    (proc / "pressure").mkdir(parents=True)
    (proc / "stat").write_text("cpu  3 0 0 0 0 0 0 0 0 0\ncpu0 123 4 5 6 7 8 9 10 1 1\nintr 5\nbtime 1700000000\n")
    (proc / "meminfo").write_text("MemTotal:       2048 kB\nMemFree:  1 kB\nHugePages_Total: 0\n")
    (proc / "loadavg").write_text("0.50 0.25 0.10 1/2 3\n")
    (proc / "diskstats").write_text("254 0 vda 10 0 8 1500 20 0 16 2500 0 3500 4000\n")
    (proc / "pressure" / "cpu").write_text("some avg10=0 total=1500000\nfull avg10=0 total=0\n")
    return proc


def test_units_become_base_units(tmp_path: Path) -> None:
    page = page_of(SystemCollector(proc=made_up_host(tmp_path)).collect())

    assert page.value("perfloop_system_cpu_seconds_total", cpu="0", mode="user") == 1.23
    assert page.value("perfloop_system_memory_size_bytes") == 2048 * 1024
    assert page.value("perfloop_system_disk_read_bytes_total", device="vda") == 8 * 512
    assert page.value("perfloop_system_disk_read_seconds_total", device="vda") == 1.5
    assert page.value("perfloop_system_disk_write_seconds_total", device="vda") == 2.5
    assert page.value("perfloop_system_disk_io_seconds_total", device="vda") == 3.5
    assert page.value("perfloop_system_pressure_waiting_seconds_total", resource="cpu") == 1.5


def test_what_the_kernel_does_not_say_has_no_sample(tmp_path: Path) -> None:
    page = page_of(SystemCollector(proc=made_up_host(tmp_path)).collect())

    assert "perfloop_system_memory_available_bytes" not in page.names()
    assert page.labels("perfloop_system_pressure_waiting_seconds_total", "resource") == {"cpu"}
    assert "perfloop_system_pressure_stalled_seconds_total" not in page.names()


def test_a_disk_that_is_plugged_in_appears_and_disappears(tmp_path: Path) -> None:
    collector = SystemCollector(proc=made_up_host(tmp_path))
    disks = tmp_path / "diskstats"
    one = disks.read_text()

    def devices() -> set[str]:
        return page_of(collector.collect()).labels("perfloop_system_disk_reads_total", "device")

    assert devices() == {"vda"}
    disks.write_text(one + one.replace("vda", "vdb"))
    assert devices() == {"vda", "vdb"}
    disks.write_text(one)
    assert devices() == {"vda"}
