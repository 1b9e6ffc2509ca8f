"""Files that others write: what is on the page, and what each broken, stale, hanging or hostile one costs."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from perfloop.collectors.others.merge import Names
from perfloop.collectors.textfile import TextfileCollector
from perfloop.exposition.page import render_page
from perfloop.stack.process import Child, free_port
from perfloop.stack.servers import HOST, http_ready
from tests.bench.peers import find_peer
from tests.collectors.pages import Page, lint, page_of
from tests.exposition.test_parse import PAGES
from tests.support import eventually

BACKUP = '# HELP backup_bytes Size of the last backup.\n# TYPE backup_bytes gauge\nbackup_bytes{db="orders"} 12345\n'
AN_HOUR_AGO = int(time.time()) - 3600


def write(folder: Path, name: str, text: str | bytes, *, modified_at: float = AN_HOUR_AGO) -> Path:
    """Write a file as one should: beside, then renamed."""
    temporary, file = folder / f"{name}.{threading.get_ident()}", folder / name
    temporary.write_bytes(text.encode() if isinstance(text, str) else text)
    os.utime(temporary, (modified_at, modified_at))
    temporary.rename(file)
    return file


def scrape(collector: TextfileCollector) -> Page:
    return page_of(collector.collect())


def success(page: Page, file: Path) -> float:
    return page.value("perfloop_textfile_success", file=str(file))


def test_samples_of_all_files_are_on_the_page(tmp_path: Path) -> None:
    file = write(tmp_path, "backup.prom", BACKUP, modified_at=1.7e9)
    write(tmp_path, "raid.prom", "raid_disks 4\n")
    write(tmp_path, "notes.txt", "no metrics\n")
    write(tmp_path, ".half.prom", "raid_disks 5\n")

    page = scrape(TextfileCollector([tmp_path]))

    assert page.value("backup_bytes", db="orders") == 12345
    assert page.value("raid_disks") == 4
    assert success(page, file) == 1
    assert page.value("perfloop_textfile_modified_timestamp_seconds", file=str(file)) == 1.7e9
    assert page.value("perfloop_textfile_series", file=str(file)) == 1
    assert page.value("perfloop_textfile_folder_readable", folder=str(tmp_path)) == 1
    assert page.value("perfloop_textfile_files_left_out") == 0
    assert len(page.values("perfloop_textfile_success")) == 2
    assert lint(page.text) == ""


def test_a_file_that_is_replaced_or_gone_is_so_at_the_next_scrape(tmp_path: Path) -> None:
    file, collector = write(tmp_path, "a.prom", "a 1\n"), TextfileCollector([tmp_path])
    assert scrape(collector).value("a") == 1

    write(tmp_path, "a.prom", "a 2\n")
    assert scrape(collector).value("a") == 2

    file.unlink()
    assert scrape(collector).values("perfloop_textfile_success") == []
    assert scrape(collector).values("a") == []


def test_a_second_write_within_the_same_tick_of_the_clock_is_seen(tmp_path: Path) -> None:
    file, collector = tmp_path / "a.prom", TextfileCollector([tmp_path])
    now = time.time()
    file.write_text("a 1\n")
    os.utime(file, (now, now))
    scrape(collector)

    file.write_text("a 2\n")
    os.utime(file, (now, now))

    assert scrape(collector).value("a") == 2


def test_a_file_that_is_written_in_place_with_its_old_time_is_seen(tmp_path: Path) -> None:
    file, collector = write(tmp_path, "a.prom", "a 1\n"), TextfileCollector([tmp_path])
    scrape(collector)

    file.write_text("a 2\n")
    os.utime(file, (AN_HOUR_AGO, AN_HOUR_AGO))

    assert scrape(collector).value("a") == 2


def test_unchanged_files_are_not_read_again(tmp_path: Path) -> None:
    collector = TextfileCollector([tmp_path])
    write(tmp_path, "a.prom", "a 1\n")
    write(tmp_path, "broken.prom", "a")

    def lines() -> bytes:
        return next(text for family, text in collector.collect() if family.name == "a")

    eventually(lambda: lines() is lines(), what="the same object")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param("b 1\nb 2\n", "line 2: this series stands twice", id="series twice"),
        pytest.param("b 1", "line 1: has no line feed", id="half-written"),
        pytest.param("b 1 1700000000000\n", "line 1: has a timestamp", id="timestamp"),
        pytest.param(b"b\xff 1\n", "line 1: is not UTF-8", id="not UTF-8"),
        pytest.param("# TYPE a counter\na 1\n", "a is a counter here, and a a gauge elsewhere", id="another type"),
        pytest.param("b 1\na 2\n", "a is a untyped here, and a a gauge elsewhere", id="no type"),
        pytest.param("perfloop_up 1\n", "names that begin with perfloop_ are perfloop's own", id="our prefix"),
        pytest.param("node_load1 1\n", "node_load1 is exported by another collector", id="name of another collector"),
        pytest.param("".join(f"b{i} 1\n" for i in range(21)), "line 21: more than 20 series", id="too many series"),
        pytest.param("".join(f"b{i} 1\n" for i in range(20)), "does not fit into the 20 series", id="too many in all"),
        pytest.param("#" * 2000 + "\n", "has 2001 bytes, max 2000", id="too large"),
    ],
)
def test_a_broken_file_costs_only_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str | bytes, reason: str
) -> None:
    write(tmp_path, "a.prom", "# TYPE a gauge\na 1\n")
    broken = write(tmp_path, "broken.prom", content)
    write(tmp_path, "z.prom", "z 3\n")
    names = Names(prefixes=("node_load1",))
    collector = TextfileCollector([tmp_path], max_file_bytes=2000, max_series=20, names=names)

    pages = [scrape(collector), scrape(collector)]

    for page in pages:
        assert {name for name in page.names() if not name.startswith("perfloop_")} == {"a", "z"}
        assert success(page, broken) == 0
        assert success(page, tmp_path / "z.prom") == 1
    [record] = caplog.records
    assert reason in vars(record)["reason"]
    assert vars(record)["file"] == str(broken)


def test_a_mended_file_is_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "perfloop")
    file, collector = write(tmp_path, "a.prom", "a"), TextfileCollector([tmp_path])
    scrape(collector)

    write(tmp_path, "a.prom", "a 1\n")

    assert scrape(collector).value("a") == 1
    assert success(scrape(collector), file) == 1
    assert [record.message for record in caplog.records] == ["file is not shown", "file is shown again"]


def test_a_stale_file_disappears_and_says_so(tmp_path: Path) -> None:
    file = write(tmp_path, "a.prom", "a 1\n", modified_at=1000)
    now = 1050.0
    collector = TextfileCollector([tmp_path], max_age_seconds=60, clock=lambda: now)
    assert scrape(collector).value("a") == 1

    now = 1061.0
    page = scrape(collector)

    assert page.values("a") == []
    assert (success(page, file), page.value("perfloop_textfile_stale", file=str(file))) == (0, 1)
    assert page.value("perfloop_textfile_modified_timestamp_seconds", file=str(file)) == 1000

    write(tmp_path, "a.prom", "a 2\n", modified_at=1060)
    assert scrape(collector).value("a") == 2


@pytest.mark.parametrize("kind", ["pipe", "folder", "loop", "dangling", "device", "unreadable"])
def test_what_is_no_readable_file_never_holds_anything_up(tmp_path: Path, kind: str) -> None:
    write(tmp_path, "z.prom", "z 1\n")
    strange = tmp_path / "strange.prom"
    if kind == "pipe":
        os.mkfifo(strange)
    elif kind == "folder":
        strange.mkdir()
    else:
        target = {"loop": strange, "dangling": tmp_path / "none", "device": "/dev/zero", "unreadable": "/proc/self/mem"}
        strange.symlink_to(target[kind])
    started_at = time.monotonic()

    page = scrape(TextfileCollector([tmp_path]))

    assert (page.value("z"), success(page, strange)) == (1, 0)
    assert time.monotonic() - started_at < 5


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "folder"
    for each in (elsewhere, folder):
        each.mkdir()
    (folder / "a.prom").symlink_to(write(elsewhere, "a.prom", "a 1\n"))

    assert scrape(TextfileCollector([folder])).value("a") == 1


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    write(tmp_path, "a.prom", "a 1\n")
    missing = tmp_path / "missing"

    page = scrape(TextfileCollector([missing, tmp_path, tmp_path]))

    assert page.value("perfloop_textfile_folder_readable", folder=str(missing)) == 0
    assert page.value("perfloop_textfile_folder_readable", folder=str(tmp_path)) == 1
    assert page.value("a") == 1


def test_names_that_are_no_text_are_files_like_any_other(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.prom")).write_text("a 1\n")

    page = scrape(TextfileCollector([tmp_path]))

    assert page.value("a") == 1
    assert page.labels("perfloop_textfile_success", "file") == {f"{tmp_path}/\\xff.prom"}


def test_beyond_a_thousand_files_the_rest_is_counted(tmp_path: Path) -> None:
    for i in range(1001):
        (tmp_path / f"{i:04}.prom").write_text(f'a{{i="{i}"}} 1\n')

    page = scrape(TextfileCollector([tmp_path]))

    assert len(page.values("a")) == 1000
    assert page.value("perfloop_textfile_files_left_out") == 1


def test_a_file_that_is_replaced_all_the_time_is_always_whole(tmp_path: Path) -> None:
    stop, collector = threading.Event(), TextfileCollector([tmp_path])

    def replace() -> None:
        version = 0
        while not stop.is_set():
            version += 1
            write(tmp_path, "a.prom", "".join(f'a{{i="{i}"}} {version}\n' for i in range(200)))

    write(tmp_path, "a.prom", "".join(f'a{{i="{i}"}} 0\n' for i in range(200)))
    writer = threading.Thread(target=replace)
    writer.start()
    seen, deadline = set(), time.monotonic() + 20
    try:
        while len(seen) < 10 and time.monotonic() < deadline:
            values = scrape(collector).values("a")
            assert len(values) == 200
            assert len(set(values)) == 1
            seen.add(values[0])
    finally:
        stop.set()
        writer.join()
    assert len(seen) == 10


def test_a_file_that_is_written_in_place_is_right_once_it_is_complete(tmp_path: Path) -> None:
    stop, collector, file = threading.Event(), TextfileCollector([tmp_path]), tmp_path / "a.prom"

    def rewrite() -> None:
        while not stop.is_set():
            with file.open("w", buffering=1) as stream:
                stream.writelines(f'a{{i="{i}"}} 1\n' for i in range(20))

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(50):
            scrape(collector)
    finally:
        stop.set()
        writer.join()

    assert len(scrape(collector).values("a")) == 20


@settings(max_examples=100, deadline=None)
@given(contents=st.lists(PAGES | st.binary(max_size=100), min_size=1, max_size=3))
def test_whatever_stands_in_the_files_both_formats_stay_valid(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("files")
    for i, content in enumerate(contents):
        write(folder, f"{i}.prom", content)

    samples = list(TextfileCollector([folder]).collect())

    assert len(page_of(samples).values("perfloop_textfile_success")) == len(contents)
    list(read_openmetrics(render_page(samples, openmetrics=True).decode()))


@pytest.fixture
def node_exporter(tmp_path: Path) -> Iterator[str]:
    """node_exporter with its textfile collector over a folder `files`; its address."""
    port = free_port()
    argv = [
        str(find_peer("prometheus-node-exporter")),
        "--collector.disable-defaults",
        "--collector.textfile",
        f"--collector.textfile.directory={tmp_path / 'files'}",
        "--web.disable-exporter-metrics",
        f"--web.listen-address={HOST}:{port}",
    ]
    child = Child("node", argv, log=tmp_path / "log", ready=lambda: http_ready(f"http://{HOST}:{port}/"), address="")
    child.start()
    child.wait_ready()
    yield f"http://{HOST}:{port}/metrics"
    child.stop()


def test_node_exporter_shows_the_same_samples_of_the_same_files(tmp_path: Path, node_exporter: str) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    write(folder, "backup.prom", BACKUP)
    write(folder, "odd.prom", 'odd{a="\\"\\\\\\n",b="é",} 1e-7\nodd NaN\n odd{a="2"}\t+Inf\n# comment\n\n')
    write(
        folder,
        "kinds.prom",
        "# TYPE jobs_total counter\njobs_total 7\n# TYPE wait_seconds histogram\n"
        'wait_seconds_bucket{le="0.5"} 1\nwait_seconds_bucket{le="+Inf"} 2\n'
        "wait_seconds_sum 3.5\nwait_seconds_count 2\n"
        '# TYPE size_bytes summary\nsize_bytes{quantile="0.5"} 4\nsize_bytes_sum 8\nsize_bytes_count 2\n',
    )

    theirs = Page(requests.get(node_exporter, timeout=10).content)
    ours = scrape(TextfileCollector([folder], compat=True))

    def comparable(page: Page) -> dict[object, str]:
        # node_exporter gives all samples of a family the same labels, empty where they have none.
        return {
            (name, frozenset((label, text) for label, text in labels if text)): str(value)
            for (name, labels), value in page._values.items()
            if not name.startswith(("perfloop_", "node_exporter_", "node_scrape_", "promhttp_"))
        }

    assert comparable(ours) == comparable(theirs)
    assert len(comparable(ours)) > 12
