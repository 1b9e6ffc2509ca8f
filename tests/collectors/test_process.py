"""Real processes that work, allocate, fork and die, watched as a user watches them; psutil is the oracle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from perfloop import config
from perfloop.app.collectors import build_collectors
from perfloop.collectors.process import ProcessCollector, watch
from perfloop.collectors.processes.groups import Group
from perfloop.collectors.processes.psutil import PsutilProcesses
from tests.collectors.pages import Page, lint, page_of
from tests.support import eventually

# A child that does what it is told, one line at a time, and says when it has done it.
CHILD = """
import os, subprocess, sys, threading, time
kept = []
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


class Child:
    """A process of ours that obeys."""

    def __init__(self, marker: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, marker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.pid = self.process.pid
        # It has become Python when it answers.
        self.tell("pass")

    def tell(self, line: str) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def kill(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def marker(request: pytest.FixtureRequest) -> str:
    """A word that stands only in the command lines of this test's children."""
    return f"perfloop-{os.getpid()}-{request.node.name}"


@contextmanager
def child(marker: str) -> Iterator[Child]:
    started = Child(marker)
    try:
        yield started
    finally:
        started.kill()


def watching(*groups: Group, **options: bool) -> ProcessCollector:
    return watch(groups, **options)


def page(collector: ProcessCollector) -> Page:
    return page_of(collector.collect())


def value(collector: ProcessCollector, name: str, group: str = "web", **labels: str) -> float:
    return page(collector).value(f"perfloop_process_{name}", group=group, **labels)


def cpu(collector: ProcessCollector, group: str = "web") -> float:
    return sum(page(collector).values("perfloop_process_cpu_seconds_total", group=group))


BURN = "[None for _ in iter(lambda until=time.process_time() + 0.2: time.process_time() < until, False)]"


def test_a_group_uses_what_psutil_says(marker: str) -> None:
    with child(marker) as one, child(marker) as two:
        it = watching(Group(name="web", command_line=marker), proportional=True)
        one.tell("kept += [bytearray(30_000_000)]")
        two.tell("kept += [open('/dev/null') for _ in range(20)]")
        two.tell("threading.Thread(target=time.sleep, args=(60,), daemon=True).start()")

        seen = page(it)

        both = [psutil.Process(one.pid), psutil.Process(two.pid)]
        memory = [process.memory_full_info() for process in both]
        expected = {
            "processes": 2,
            "threads": 3,
            "resident_bytes": sum(m.rss for m in memory),
            "virtual_bytes": sum(m.vms for m in memory),
            "swapped_bytes": sum(m.swap for m in memory),
            "proportional_bytes": sum(m.pss for m in memory),
            "open_files": sum(process.num_fds() for process in both),
            "open_files_worst_ratio": both[1].num_fds() / both[1].rlimit(psutil.RLIMIT_NOFILE)[0],
            "oldest_start_timestamp_seconds": min(process.create_time() for process in both),
        }
        for name, number in expected.items():
            assert seen.value(f"perfloop_process_{name}", group="web") == pytest.approx(number, rel=0.1), name
        assert eventually(lambda: value(it, "states", state="sleeping") == 2)
        assert seen.value("perfloop_process_resident_bytes", group="web") > 30_000_000
        assert lint(seen.text) == ""


def test_counters_count_what_is_used_while_we_watch(marker: str) -> None:
    with child(marker) as one:
        it = watching(Group(name="web", command_line=marker))
        one.tell(BURN)
        assert cpu(it) == 0, "what was used before is not ours to count"
        before = psutil.Process(one.pid).cpu_times()

        one.tell(BURN)
        one.tell("kept += [bytearray(10_000_000)]")

        after = psutil.Process(one.pid).cpu_times()
        used = after.user + after.system - before.user - before.system
        assert used >= 0.18
        assert cpu(it) == pytest.approx(used, abs=0.05)
        assert value(it, "minor_faults_total") > 2000
        assert page(it).values("perfloop_process_context_switches_total", kind="voluntary")[0] > 0


def test_bytes_written_to_a_disk_are_counted(marker: str, tmp_path: Path) -> None:
    with child(marker) as one:
        it = watching(Group(name="web", command_line=marker))
        assert value(it, "written_bytes_total") == 0

        before = psutil.Process(one.pid).io_counters().write_bytes
        one.tell(f"f = open({str(tmp_path / 'file')!r}, 'wb', 0); f.write(bytes(1_000_000)); os.fsync(f)")

        assert value(it, "written_bytes_total") == psutil.Process(one.pid).io_counters().write_bytes - before


def test_counters_do_not_fall_when_a_process_ends(marker: str) -> None:
    it = watching(Group(name="web", command_line=marker))
    with child(marker) as one:
        with child(marker) as two:
            cpu(it)
            one.tell(BURN)
            two.tell(BURN)
            both = cpu(it)
            assert both >= 0.38

        assert value(it, "processes") == 1
        assert cpu(it) >= both


def test_a_process_that_started_since_is_counted_from_its_beginning(marker: str) -> None:
    it = watching(Group(name="web", command_line=marker))
    assert value(it, "starts_total") == 0
    assert page(it).values("perfloop_process_oldest_start_timestamp_seconds") == []
    with child(marker) as one:
        one.tell(BURN)

        assert cpu(it) >= 0.18
        assert value(it, "starts_total") == 1

    with child(marker):
        assert value(it, "starts_total") == 2
        assert value(it, "processes") == 1


def test_a_process_counts_in_the_first_group_that_it_matches_and_only_there(marker: str) -> None:
    first, second = Group(name="web", command_line=f"{marker}-one"), Group(name="rest", command_line=marker)
    with child(f"{marker}-one"), child(f"{marker}-two"):
        it = watching(first, second)
        assert value(it, "processes") == 1
        assert value(it, "processes", "rest") == 1
    with child(f"{marker}-one"), child(f"{marker}-two"):
        it = watching(second, first)
        assert value(it, "processes") == 0
        assert value(it, "processes", "rest") == 2


def test_two_hundred_children_of_a_pid_are_one_group(marker: str) -> None:
    with child(marker) as one:
        one.tell("kept += [subprocess.Popen(['sleep', '60']) for _ in range(200)]")
        it = watching(Group(name="web", pid=one.pid, children=True), proportional=True)
        assert value(it, "processes") == 201

        one.tell("[process.kill() for process in kept[:100]]")
        assert eventually(lambda: value(it, "states", state="zombie") == 100)
        assert value(it, "processes") == 201, "nobody has waited for them"
        one.tell("[process.wait() for process in kept[:100]]")
        assert value(it, "processes") == 101
        assert value(it, "starts_total") == 0


def test_grandchildren_that_lost_their_parent_stay_in_the_group(marker: str, tmp_path: Path) -> None:
    file = tmp_path / "orphan.pid"
    shell = f"sleep 60 & echo $! > {file}; wait"
    with child(marker) as one:
        it = watching(Group(name="web", pid=one.pid, children=True))
        one.tell(f"kept += [subprocess.Popen(['sh', '-c', {shell!r}])]")
        assert eventually(lambda: value(it, "processes") == 3 and file.exists() and file.read_text().endswith("\n"))
        orphan = psutil.Process(int(file.read_text()))

        one.tell("kept[0].kill(); kept[0].wait()")

        assert eventually(lambda: orphan.ppid() != one.pid)
        assert eventually(lambda: value(it, "processes") == 2)
        orphan.kill()
        assert eventually(lambda: value(it, "processes") == 1)


def test_a_group_follows_its_pid_file(tmp_path: Path, marker: str) -> None:
    file = tmp_path / "web.pid"
    with child(marker) as one, child(marker) as two:
        it = watching(Group(name="web", pid_file=file))
        assert value(it, "processes") == 0

        file.write_text(f"{one.pid}\n")
        started = value(it, "oldest_start_timestamp_seconds")
        one.tell(BURN)
        used = cpu(it)
        file.write_text(f"{two.pid}\n")

        assert value(it, "processes") == 1
        assert value(it, "oldest_start_timestamp_seconds") >= started
        assert cpu(it) >= used >= 0.18
        for nobody in ("", "-1", "no pid", "99999999", "9" * 5000):
            file.write_text(nobody)
            assert value(it, "processes") == 0
            assert page(it).value("perfloop_process_resident_bytes", group="web") == 0


def test_a_relative_pid_file_starts_at_the_folder_of_perfloop_yml_and_brings_the_children(
    marker: str, tmp_path: Path
) -> None:
    parsed = config.parse("collectors: {process: {groups: [{name: web, pid_file: web.pid}]}}")
    made = [recipe.make() for recipe in build_collectors(parsed, base=tmp_path, environ={})]
    [it] = [collector for collector in made if isinstance(collector, ProcessCollector)]

    with child(marker) as one:
        (tmp_path / "web.pid").write_text(f"{one.pid}")
        one.tell("kept += [subprocess.Popen(['sleep', '60'])]")
        assert value(it, "processes") == 2


def test_a_process_is_found_under_the_name_that_it_takes(marker: str) -> None:
    with child(marker) as one:
        it = watching(Group(name="web", names=("perfloop-renamed-by-itself",)))
        assert value(it, "processes") == 0

        one.tell("open('/proc/self/comm', 'w').write('perfloop-renamed-by-itself')")

        assert eventually(lambda: value(it, "processes") == 1)
        one.tell("open('/proc/self/comm', 'w').write('another')")
        page(it)
        assert value(it, "processes") == 0


def test_users_and_cgroups_are_recognised(marker: str) -> None:
    with child(marker) as one:
        user = psutil.Process(one.pid).uids().effective
        path = Path(f"/proc/{one.pid}/cgroup").read_text().splitlines()[-1].split(":", 2)[2]
        unit = path.rpartition("/")[2] or "none.service"
        for group, expected in (
            (Group(name="web", user=str(user)), True),
            (Group(name="web", user=psutil.Process(one.pid).username()), True),
            (Group(name="web", user="perfloop-nobody"), False),
            (Group(name="web", cgroup=path), True),
            (Group(name="web", cgroup="/"), True),
            (Group(name="web", cgroup="/perfloop.slice"), False),
            (Group(name="web", systemd_unit=unit), unit != "none.service"),
            (Group(name="web", systemd_unit="perfloop.service"), False),
        ):
            it = watching(group)
            assert (value(it, "processes") > 0) is expected, group


def test_a_process_that_stops_is_shown_as_stopped(marker: str) -> None:
    with child(marker) as one:
        it = watching(Group(name="web", command_line=marker))
        os.kill(one.pid, signal.SIGSTOP)

        assert eventually(lambda: value(it, "states", state="stopped") == 1)
        assert sum(page(it).values("perfloop_process_states", group="web")) == 1


def test_what_belongs_to_somebody_else_and_may_not_be_seen_has_no_sample() -> None:
    code = """
import os, resource, subprocess, sys
from perfloop.collectors.process import watch
from perfloop.collectors.processes.groups import Group
from perfloop.exposition.page import render_page
if os.geteuid() == 0:
    os.setresuid(65534, 65534, 65534)
with subprocess.Popen(["sleep", "60"]) as own:
    it = watch([Group(name="first", pid=1), Group(name="own", pid=own.pid)])
    sys.stdout.buffer.write(render_page(it.collect()))
    own.kill()
"""

    text = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout

    seen = Page(text)
    assert seen.value("perfloop_process_processes", group="first") == 1
    assert seen.value("perfloop_process_resident_bytes", group="first") > 100_000
    assert seen.labels("perfloop_process_open_files_worst_ratio", "group") == {"first", "own"}
    assert seen.labels("perfloop_process_written_bytes_total", "group") == {"own"}


def test_psutil_sees_the_same_where_there_is_no_proc(marker: str) -> None:
    with child(marker) as one:
        it = watching(Group(name="web", command_line=marker))
        portable = ProcessCollector([Group(name="web", command_line=marker)], PsutilProcesses())
        theirs = page(portable)
        page(it)
        one.tell(BURN)

        ours, theirs = page(it), page(portable)

        assert lint(theirs.text) == ""
        assert "perfloop_process_major_faults_total" not in theirs.names()
        # These two may change from one reading to the next.
        for name in theirs.names() - {"perfloop_process_context_switches_total", "perfloop_process_states"}:
            assert theirs.values(name) == pytest.approx(ours.values(name), rel=0.05, abs=0.05), name


def test_psutil_notices_who_has_ended(marker: str) -> None:
    portable = ProcessCollector([Group(name="web", command_line=marker)], PsutilProcesses())
    with child(marker):
        assert value(portable, "processes") == 1

    assert value(portable, "processes") == 0
