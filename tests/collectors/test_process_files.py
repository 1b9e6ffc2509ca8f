"""Processes that are made up, file by file: pids that are given away, files that are odd, files that are garbage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perfloop.collectors.process import ProcessCollector
from perfloop.collectors.processes.files import ProcFolder
from perfloop.collectors.processes.groups import Group
from tests.collectors.pages import Page, page_of

BOOT = 1_700_000_000


def made_up(
    proc: Path, pid: int, name: str = "web", *, parent: int = 1, started: int = 1000, ticks: int = 0, state: str = "S"
) -> Path:
    """Write a process as Linux would show it, with `ticks` of user time and half of them of system time."""
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True, exist_ok=True)
    fields = [state, parent, 1, 1, 0, -1, 4194560, 10, 0, 2, 0, ticks, ticks // 2, 0, 0, 20, 0, 3, 0, started, 4096, 5]
    stat = " ".join(map(str, [pid, f"({name})", *fields, *([0] * 28)]))
    (folder / "stat").write_bytes(stat.encode() + b"\n")
    (folder / "status").write_text(
        f"Name:\t{name}\nUid:\t0\t33\t0\t0\nVmSwap:\t       8 kB\nvoluntary_ctxt_switches:\t7\n"
        "nonvoluntary_ctxt_switches:\t2\n"
    )
    (folder / "io").write_text(
        "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 512\nwrite_bytes: 1024\ncancelled_write_bytes: 0\n"
    )
    (folder / "limits").write_text("Limit  Soft Limit  Hard Limit  Units\nMax open files            4   8   files\n")
    (folder / "cmdline").write_bytes(f"/usr/bin/{name}\0--flag\0".encode())
    (folder / "cgroup").write_text("1:name=systemd:/old\n0::/system.slice/web@1.service\n")
    (proc / "stat").write_text(f"cpu 1\nbtime {BOOT}\n")
    return folder


def watching(proc: Path, *groups: Group) -> ProcessCollector:
    return ProcessCollector(groups or [Group(name="web", names=("web",))], ProcFolder(proc))


def page(collector: ProcessCollector) -> Page:
    return page_of(collector.collect())


def value(collector: ProcessCollector, name: str, **labels: str) -> float:
    return page(collector).value(f"perfloop_process_{name}", group="web", **labels)


def test_units_become_base_units(tmp_path: Path) -> None:
    folder = made_up(tmp_path, 7)
    (folder / "fd" / "0").touch()
    collector = watching(tmp_path)
    page(collector)
    made_up(tmp_path, 7, ticks=250, state="D")

    seen = page(collector)

    assert seen.value("perfloop_process_cpu_seconds_total", group="web", mode="user") == 2.5
    assert seen.value("perfloop_process_cpu_seconds_total", group="web", mode="system") == 1.25
    assert seen.value("perfloop_process_resident_bytes", group="web") == 5 * 4096
    assert seen.value("perfloop_process_virtual_bytes", group="web") == 4096
    assert seen.value("perfloop_process_swapped_bytes", group="web") == 8 * 1024
    assert seen.value("perfloop_process_threads", group="web") == 3
    assert seen.value("perfloop_process_open_files", group="web") == 1
    assert seen.value("perfloop_process_open_files_worst_ratio", group="web") == 0.25
    assert seen.value("perfloop_process_oldest_start_timestamp_seconds", group="web") == BOOT + 10
    assert seen.value("perfloop_process_states", group="web", state="waiting") == 1


def test_a_pid_that_is_given_to_another_process_starts_anew(tmp_path: Path) -> None:
    collector = watching(tmp_path)
    made_up(tmp_path, 7, ticks=100_000)
    page(collector)
    made_up(tmp_path, 7, ticks=100_200)
    assert value(collector, "cpu_seconds_total", mode="user") == 2

    made_up(tmp_path, 7, ticks=300, started=5000)
    page(collector)

    assert value(collector, "cpu_seconds_total", mode="user") == 2 + 3
    assert value(collector, "starts_total") == 1


def test_a_pid_of_nobody_that_is_given_to_a_member_is_noticed(tmp_path: Path) -> None:
    collector = watching(tmp_path)
    shutil.rmtree(made_up(tmp_path, 7, "other").rename(tmp_path / "gone"))
    made_up(tmp_path, 7, "other").rename(tmp_path / "old")
    made_up(tmp_path, 7, "other")
    page(collector)
    page(collector)

    (tmp_path / "7").rename(tmp_path / "older")
    made_up(tmp_path, 7, "web", started=5000, ticks=100)

    assert value(collector, "processes") == 1
    assert value(collector, "cpu_seconds_total", mode="user") == 1


def test_an_old_process_that_joins_does_not_bring_its_past(tmp_path: Path) -> None:
    collector = watching(tmp_path)
    made_up(tmp_path, 7, "other", ticks=1_000_000)
    for _ in range(3):
        page(collector)

    made_up(tmp_path, 7, "web", ticks=1_000_000)
    for _ in range(16):
        page(collector)

    assert value(collector, "processes") == 1
    assert value(collector, "cpu_seconds_total", mode="user") == 0
    assert value(collector, "starts_total") == 0


@pytest.mark.parametrize("content", [b"", b"7 (web) S 1"])
def test_who_cannot_be_read_for_a_moment_has_not_started_anew(tmp_path: Path, content: bytes) -> None:
    collector = watching(tmp_path)
    folder = made_up(tmp_path, 7, ticks=100)
    page(collector)
    (folder / "stat").write_bytes(content)
    assert value(collector, "processes") == 0

    made_up(tmp_path, 7, ticks=100)

    assert value(collector, "processes") == 1
    assert value(collector, "starts_total") == 0
    assert value(collector, "cpu_seconds_total", mode="user") == 0


def test_what_executes_something_else_right_after_it_was_seen_still_counts_as_started(tmp_path: Path) -> None:
    collector = watching(tmp_path)
    made_up(tmp_path, 1, "init")
    page(collector)
    made_up(tmp_path, 7, "sh")
    assert value(collector, "processes") == 0

    made_up(tmp_path, 7, "web", ticks=100)

    assert value(collector, "starts_total") == 1
    assert value(collector, "cpu_seconds_total", mode="user") == 1


def test_children_of_children_belong_to_the_group_whatever_their_pids_and_own_groups_win(tmp_path: Path) -> None:
    for pid, name, parent in ((900, "web", 1), (50, "sh", 900), (3, "cat", 50), (60, "db", 50), (61, "sort", 60)):
        made_up(tmp_path, pid, name, parent=parent)
    groups = Group(name="web", names=("web",), children=True), Group(name="db", names=("db",))

    seen = page(watching(tmp_path, *groups))

    assert seen.value("perfloop_process_processes", group="web") == 3
    assert seen.value("perfloop_process_processes", group="db") == 1


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        pytest.param({"names": ("a name of more than fifteen bytes",)}, 1, id="a name is cut as the kernel cuts it"),
        pytest.param({"names": ("a)(b c",)}, 1, id="brackets and blanks in a name"),
        pytest.param({"command_line": r"bin/web --flag$"}, 1, id="command line"),
        pytest.param({"systemd_unit": "web@1.service"}, 3, id="unit"),
        pytest.param({"systemd_unit": "web@1"}, 0, id="half a unit"),
        pytest.param({"cgroup": "/system.slice"}, 3, id="a cgroup above"),
        pytest.param({"cgroup": "old/"}, 3, id="a cgroup of version 1"),
        pytest.param({"cgroup": "/system"}, 0, id="half a cgroup"),
        pytest.param({"user": "33"}, 3, id="effective user"),
        pytest.param({"pid": 8}, 1, id="pid"),
    ],
)
def test_members_are_recognised(tmp_path: Path, group: dict[str, object], expected: int) -> None:
    for pid, name in ((7, "web"), (8, "a name of more "), (9, "a)(b c")):
        made_up(tmp_path, pid, name)

    assert value(watching(tmp_path, Group(name="web", **group)), "processes") == expected


def test_a_group_with_somebody_who_hides_his_io_has_no_io(tmp_path: Path) -> None:
    made_up(tmp_path, 7)
    (made_up(tmp_path, 8) / "io").unlink()
    collector = watching(tmp_path)

    seen = page(collector)

    assert "perfloop_process_read_bytes_total" not in seen.names()
    assert seen.value("perfloop_process_processes", group="web") == 2
    shutil.rmtree(tmp_path / "8")
    assert value(collector, "read_bytes_total") == 0


def test_a_limit_that_comes_near_is_read_again(tmp_path: Path) -> None:
    folder = made_up(tmp_path, 7)
    collector = watching(tmp_path)
    page(collector)
    for name in "0123":
        (folder / "fd" / name).touch()
    assert value(collector, "open_files_worst_ratio") == 1

    (folder / "limits").write_text("Max open files            16   16   files\n")

    assert value(collector, "open_files_worst_ratio") == 0.25


def test_no_proc_at_all_fails_and_comes_back(tmp_path: Path) -> None:
    collector = watching(tmp_path / "proc")
    with pytest.raises(OSError, match="proc"):
        list(collector.collect())

    made_up(tmp_path / "proc", 7)

    assert value(collector, "processes") == 1
    assert list(collector.down()) == []


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.dictionaries(
            st.integers(2, 6),
            st.tuples(st.sampled_from(["web", "db", "cat"]), st.sampled_from([1, 2, 3]), st.integers(0, 9)),
        ),
        max_size=6,
    )
)
def test_whoever_comes_and_goes_counters_do_not_fall_and_nobody_counts_twice(
    tmp_path: Path, scrapes: list[dict[int, tuple[str, int, int]]]
) -> None:
    proc = tmp_path / str(len(list(tmp_path.iterdir())))
    groups = Group(name="web", names=("web",)), Group(name="db", names=("db", "web"))
    collector, before = watching(proc, *groups), {"web": 0.0, "db": 0.0}
    made_up(proc, 1, "init", parent=0)

    for number, present in enumerate(scrapes):
        for folder in proc.iterdir():
            if folder.name.isdigit() and int(folder.name) > 1:
                folder.rename(tmp_path / f"{proc.name}-{number}-{folder.name}")
        for pid, (name, started, ticks) in present.items():
            made_up(proc, pid, name, started=started, ticks=ticks * number)

        seen = page(collector)

        for group in ("web", "db"):
            members = [name for name, _, _ in present.values() if name == group]
            assert seen.value("perfloop_process_processes", group=group) == len(members)
            used = seen.value("perfloop_process_cpu_seconds_total", group=group, mode="user")
            assert used >= before[group]
            before[group] = used


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    file=st.sampled_from(["stat", "status", "io", "limits", "cmdline", "cgroup"]),
    content=st.one_of(
        st.binary(max_size=200),
        st.from_regex(rb"\A[0-9]+ \(.{0,20}\) [A-Z]( -?[0-9]{1,25}){0,50}\Z"),
        st.from_regex(rb"\A(VmSwap|\nvoluntary_ctxt_switches|Uid|Max open files|0):[ \t]+.{0,30}\Z"),
    ),
)
def test_whatever_a_file_says_the_page_is_a_page(tmp_path: Path, file: str, content: bytes) -> None:
    groups = [Group(name="unit", systemd_unit="none"), Group(name="line", command_line="none")]
    collector = watching(tmp_path, *groups, Group(name="user", user="0"), Group(name="web", names=("web",)))
    made_up(tmp_path, 7)
    made_up(tmp_path, 8)
    page(collector)
    (tmp_path / "7" / file).write_bytes(content)

    for _ in range(2):
        seen = page(collector)

    assert seen.value("perfloop_process_processes", group="web") >= 1
    shutil.rmtree(tmp_path / "7")
