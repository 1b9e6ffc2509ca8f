"""Whatever stands in /proc: no crash, no hang, no damaged page, and the samples of all other files are there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perfloop.collectors.cap import capped
from perfloop.collectors.compat import node
from perfloop.collectors.filesystem import FilesystemCollector
from perfloop.collectors.host.family import gauge
from perfloop.collectors.host.memory import survey_memory
from perfloop.collectors.host.mounts import parse
from perfloop.collectors.kernel import KernelFile
from perfloop.collectors.system import SystemCollector
from perfloop.collectors.table import Garbled, Part, Rows, Table, excerpt, keyed
from perfloop.exposition.page import render_page
from perfloop.model import Paths
from tests.collectors.pages import page_of
from tests.collectors.recorded_host import RecordedHost, small_host

FILES = ("stat", "meminfo", "vmstat", "diskstats", "loadavg", "pressure/cpu", "proc/sys/fs/file-nr", "schedstat")
BYTES = st.binary(max_size=200)
# What kernels might write, shaken.
WORDS = st.sampled_from((Path(__file__).parent / "kernel_words.txt").read_text(encoding="utf-8").split())
SHAKEN = st.lists(st.lists(WORDS, max_size=22).map(" ".join), max_size=6).map("\n".join).map(lambda text: text.encode())


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(FILES), content=BYTES | SHAKEN, was_good=st.booleans())
def test_a_broken_file_never_damages_the_page(tmp_path: Path, *, name: str, content: bytes, was_good: bool) -> None:
    host = small_host(tmp_path)
    collector = SystemCollector(host.paths, aliases=node.ALIASES, surveys=node.SURVEYS)
    if was_good:
        page_of(collector.collect())
    host.write(name, content)

    # The official parser reads all of it, and each series stands there once.
    page = page_of(collector.collect())

    collector.close()
    source = name.removeprefix("proc/sys/fs/")
    good = {"stat", "meminfo", "vmstat", "diskstats", "loadavg", "pressure/cpu", "file-nr", "schedstat"} - {source}
    for other in good:
        assert page.value("perfloop_system_source_success", source=other) == 1


@pytest.mark.parametrize("first", ["0_0", "nan", "inf", "1e3", "-1.0", "0.50 x"])
def test_what_is_no_load_is_not_understood_though_python_may_read_it(tmp_path: Path, first: str) -> None:
    host = small_host(tmp_path)
    host.write("loadavg", f"{first} 0.25 0.10 1/2 3\n".encode())
    collector = SystemCollector(host.paths)

    page = page_of(collector.collect())

    collector.close()
    assert page.value("perfloop_system_source_success", source="loadavg") == 0
    assert "perfloop_system_load1" not in page.text


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(FILES), cut=st.integers(min_value=0, max_value=200))
def test_a_file_that_is_cut_off_anywhere_is_no_crash(tmp_path: Path, name: str, cut: int) -> None:
    host = small_host(tmp_path)
    host.write(name, host.read(name)[:cut])
    collector = SystemCollector(host.paths)

    page = page_of(collector.collect())

    collector.close()
    assert page.value("perfloop_system_source_success", source="uname") == 1


@given(table=BYTES | SHAKEN)
def test_any_mount_table_is_understood_or_left_alone(table: bytes) -> None:
    mountpoints = [mount.mountpoint for mount in parse(table)]

    assert len(mountpoints) == len(set(mountpoints))


def test_mounts_that_are_no_paths_are_errors(recorded_host: RecordedHost) -> None:
    recorded_host.write("1/mounts", b"/dev/a /\\000 ext4 rw 0 0\n/dev/b /\xff\xfe xfs rw 0 0\n")

    page = page_of(FilesystemCollector(Paths(procfs=recorded_host.paths.procfs)).collect())

    assert page.values("perfloop_system_filesystem_error") == [1, 1]


# -- the table ---------------------------------------------------------------------------------------------------------

NUMBER = gauge("number", "A number.", "name")


def survey(rows: Rows) -> list[Part]:
    return [Part([NUMBER], [(row.fields[0],) for row in rows], [row.start + 1 for row in rows])]


def test_a_name_that_moves_is_found_again_in_the_same_reading() -> None:
    table = Table([survey])

    def said(text: bytes) -> str:
        return page_of(table.render(text)).text.partition("gauge\n")[2]

    assert said(b"a 1\nb 2\n") == 'perfloop_system_number{name="a"} 1\nperfloop_system_number{name="b"} 2\n'
    assert said(b"b 3\na 4\n") == 'perfloop_system_number{name="b"} 3\nperfloop_system_number{name="a"} 4\n'
    assert said(b"b 5\n") == 'perfloop_system_number{name="b"} 5\n'


def test_a_word_where_a_number_should_stand_is_garbled_until_a_number_is_there_again() -> None:
    table = Table([survey])
    table.render(b"a 1\n")

    with pytest.raises(Garbled, match="perfloop_system_number"):
        table.render(b"a many\n")

    assert render_page(table.render(b"a 2\n")).endswith(b" 2\n")


@pytest.mark.parametrize("size", [0, 1, 2047, 2048, 4095, 8191, 8192, 8193, 100_000])
def test_a_kernel_file_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"x" * size)
    file = KernelFile(tmp_path / "file")

    assert [len(file.read()), len(file.read())] == [size, size]
    file.close()


@pytest.mark.parametrize("name", ["stat", "meminfo", "vmstat", "diskstats", "self/mounts", "net/dev", "zoneinfo"])
def test_a_file_of_this_kernel_is_read_to_its_end(name: str) -> None:
    file = KernelFile(Path("/proc") / name)

    ours, whole = file.read(), (Path("/proc") / name).read_bytes()

    assert ours.count(b"\n") == whole.count(b"\n")
    file.close()


def test_an_excerpt_has_the_lines_that_are_there_in_any_order() -> None:
    text = b"first 0\npgfault 1\npgfault_more 2\nend 3"

    assert excerpt(text, [b"end", b"pgfault", b"gone"]).split(b"\n") == [b"", b"end 3", b"pgfault 1"]


def test_keys_that_are_missing_have_no_sample() -> None:
    page = page_of(Table([keyed({b"a": gauge("a", "A."), b"b": gauge("b", "B.")})]).render(b"a 1\n"))

    assert page.names() == {"perfloop_system_a"}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"MemTotal: 1,2 kB\nMemFree: 5 kB\n", id="two numbers in one"),
        pytest.param(b"MemTotal: -5 kB\n", id="below zero"),
    ],
)
def test_what_is_no_whole_number_is_not_multiplied(text: bytes) -> None:
    with pytest.raises(Garbled):
        Table([survey_memory]).render(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("cpu 1 1 1 1 1 1 1 1\ncpu0 1 1 1 1 1 1 1 1\n", id="no counts"),
        pytest.param("intr 5\nctxt 1\nbtime 2\nprocesses 3\nprocs_running 4\nprocs_blocked 5\n", id="no CPUs"),
    ],
)
def test_half_of_a_file_is_not_taken_for_all_of_it(tmp_path: Path, text: str) -> None:
    host = small_host(tmp_path)
    host.write("stat", text)
    collector = SystemCollector(host.paths)

    page = page_of(collector.collect())

    collector.close()
    assert page.value("perfloop_system_source_success", source="stat") == 0


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(Part([NUMBER], [("a",)], [0, 1]), id="more places than series"),
        pytest.param(Part([NUMBER], [("a",), ("b",)], [0]), id="fewer places than series"),
        pytest.param(Part([NUMBER], [("a",)], [2]), id="a place behind the end"),
    ],
)
def test_a_survey_that_is_wrong_shows_nothing(part: Part) -> None:
    with pytest.raises(Garbled, match="do not stand where they should"):
        Table([lambda _: [part]]).render(b"1 2\n")


def test_a_family_in_two_parts_counts_once_for_its_bound() -> None:
    table = Table([lambda _: [Part([NUMBER], [("a",), ("b",)], [0, 1]), Part([NUMBER], [("c",)], [2])]])

    _, dropped = capped(list(table.render(b"1 2 3\n")), max_series=2)

    assert dropped == 1
