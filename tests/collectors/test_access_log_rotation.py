"""A log is followed through everything that happens to files: each line is counted once, whatever was when."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfloop.collectors.access_log import AccessLogCollector
from perfloop.errors import Unavailable
from tests.collectors.pages import Page, page_of
from tests.support import eventually


class Log:
    """A log, who writes it, who rotates it, and an exporter that may be started again."""

    def __init__(self, folder: Path, **options: object) -> None:
        self.folder, self.path, self.written = folder, folder / "access.log", 0
        self._number, self._options = count(1), {"from_start": True, **options}
        self.now = 0.0
        self.source = self._make()

    def write(self, lines: int = 1) -> None:
        with self.path.open("ab") as file:
            for _ in range(lines):
                self.written += 1
                file.write(self.line())

    def line(self) -> bytes:
        time = b"21/Nov/2026:10:00:00 +0000"
        return b'127.0.0.1 - - [%b] "GET /r?%d HTTP/1.1" 200 10 "-" "-" 0.%03d\n' % (time, self.written, self.written)

    def rename(self) -> Path:
        return self.path.rename(self._rotated())

    def copy_and_truncate(self) -> Path:
        copy = Path(shutil.copy(self.path, self._rotated()))
        os.truncate(self.path, 0)
        return copy

    def restart(self) -> None:
        self.source.close()
        self.source = self._make()

    def page(self) -> Page:
        return page_of(self.source.collect())

    def value(self, name: str) -> float:
        return self.page().value(f"perfloop_access_log_{name}", component="shop")

    def counted(self) -> float:
        """Lines, of which each must also be a request with its duration."""
        page = self.page()
        lines = page.value("perfloop_access_log_lines_total", component="shop")
        labels = {"component": "shop", "route": "/r"}
        requests = page.values("perfloop_http_requests_total", **labels, code="2xx")
        durations = page.values("perfloop_http_request_duration_seconds_count", **labels)
        assert (
            sum(requests)
            == sum(durations)
            == lines - page.value("perfloop_access_log_unparsed_lines_total", component="shop")
        )
        return lines

    def _rotated(self) -> Path:
        return self.folder / f"access.log.{next(self._number)}"

    def _make(self) -> AccessLogCollector:
        state = self.folder / "state" / "shop.json"
        return AccessLogCollector("shop", self.path, state=state, clock=lambda: self.now, **self._options)  # type: ignore[arg-type]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def test_a_new_log_is_read_from_its_end_by_default(tmp_path: Path) -> None:
    log = Log(tmp_path, from_start=False)
    log.write(3)

    assert log.counted() == 0
    log.write(2)
    assert log.counted() == 2


def test_a_log_that_appears_later_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = Log(tmp_path, from_start=False)
    with pytest.raises(FileNotFoundError):
        log.source.collect()
    log.write(3)
    log.restart()

    assert log.counted() == 3


def test_a_line_is_counted_when_it_has_ended(log: Log) -> None:
    log.write()
    whole = log.line()
    with log.path.open("ab") as file:
        file.write(whole[:30])

    assert log.counted() == 1
    assert log.value("lag_bytes") == 30
    with log.path.open("ab") as file:
        file.write(whole[30:])
    assert log.counted() == 2
    assert log.value("lag_bytes") == 0


def test_a_restart_goes_on_where_the_last_one_stopped(log: Log) -> None:
    log.write(3)
    assert log.counted() == 3
    log.write(2)

    log.restart()

    assert log.counted() == 5


def test_other_routes_begin_other_counters_and_keep_the_position(log: Log) -> None:
    log.write(3)
    log.counted()
    log.source.close()
    log.write(2)

    log = Log(log.folder, routes=("/r", "/s"))

    assert log.counted() == 2


def test_routes_that_paths_have_opened_are_remembered(log: Log) -> None:
    log = Log(log.folder, max_routes=1)
    log.write()
    log.counted()
    log.restart()
    with log.path.open("ab") as file:
        file.write(log.line().replace(b"/r", b"/late"))

    page = log.page()

    assert page.labels("perfloop_http_requests_total", "route") == {"/r", "other"}
    assert page.value("perfloop_http_capped_requests_total", component="shop") == 1


@pytest.mark.parametrize("again", [Log.restart, lambda _: None], ids=["restarted", "running"])
@pytest.mark.parametrize(
    "rotate",
    [
        pytest.param(lambda log: log.rename(), id="renamed"),
        pytest.param(lambda log: log.copy_and_truncate(), id="copied and truncated"),
        pytest.param(lambda log: compress(log.copy_and_truncate()), id="copied, truncated and compressed"),
        pytest.param(lambda log: (log.rename(), log.write(2), log.rename()), id="renamed twice"),
    ],
)
def test_what_was_not_read_before_a_rotation_is_read_after_it(
    log: Log, rotate: Callable[[Log], object], again: Callable[[Log], None]
) -> None:
    log.write(3)
    assert log.counted() == 3
    log.write(2)

    rotate(log)
    # More than there was, so that the length alone says nothing.
    log.write(9)
    again(log)

    assert log.counted() == log.written
    assert log.value("lost_files_total") == 0


def test_a_file_that_was_compressed_while_the_exporter_was_down_is_read_to_its_end(log: Log) -> None:
    log.write(3)
    assert log.counted() == 3
    log.write(2)
    log.source.close()
    compress(log.rename())
    log.write()

    log.restart()

    assert log.counted() == 6


def test_a_file_that_vanished_unread_is_said(log: Log) -> None:
    log.write(3)
    assert log.counted() == 3
    log.write(2)
    log.source.close()
    log.rename().unlink()
    log.write()

    log.restart()

    assert log.counted() == 4
    assert log.value("lost_files_total") == 1


def test_a_server_that_still_writes_to_the_renamed_file_is_heard(log: Log) -> None:
    log.write(3)
    log.counted()
    with log.path.open("ab") as old:
        log.rename()
        log.write()
        assert log.counted() == 4
        old.write(log.line())

    assert log.counted() == 5


def test_a_renamed_file_is_let_go_when_nothing_was_written_to_it_for_a_while(log: Log) -> None:
    log.write(3)
    log.counted()
    old = log.rename()
    log.write()
    log.counted()

    log.now = old.stat().st_mtime + 301
    log.counted()
    log.restart()

    assert log.counted() == 4
    assert str(old) not in open_files()


def test_while_there_is_no_file_the_counters_stand(log: Log) -> None:
    log.write(3)
    log.counted()
    log.rename()

    assert log.counted() == 3
    log.source.close()
    log.folder.joinpath("access.log.1").unlink()
    page = page_of(log.source.down())
    assert page.value("perfloop_access_log_up", component="shop") == 0
    assert page.value("perfloop_access_log_lines_total", component="shop") == 3


def test_a_scrape_reads_a_bounded_part_and_says_what_is_left(tmp_path: Path) -> None:
    log = Log(tmp_path, max_read_bytes=1 << 18)
    log.write(10_000)
    size = log.path.stat().st_size

    page = log.page()

    lines = page.value("perfloop_access_log_lines_total", component="shop")
    assert 0 < lines < 10_000
    assert 0 < page.value("perfloop_access_log_lag_bytes", component="shop") < size
    while log.value("lag_bytes"):
        pass
    assert log.counted() == 10_000


def test_a_scrape_stops_when_its_time_is_up(tmp_path: Path) -> None:
    log = Log(tmp_path, max_seconds=0.0)
    log.write(10_000)

    assert 0 < log.counted() < 10_000
    log.restart()
    while log.value("lag_bytes"):
        pass
    assert log.counted() == 10_000
    assert log.value("rotations_total") == 0


def test_a_line_without_an_end_costs_one_line(log: Log) -> None:
    log.write()
    with log.path.open("ab") as file:
        file.write(b"x" * 1_000_000)
    assert log.counted() == 1
    log.restart()
    with log.path.open("ab") as file:
        file.write(b"x" * 1_000_000 + b"\n")
    log.write()

    assert log.counted() == 3
    assert log.value("unparsed_lines_total") == 1


def test_a_pipe_is_no_log(log: Log) -> None:
    os.mkfifo(log.path)

    with pytest.raises(Unavailable, match="is no file"):
        log.source.collect()


def test_a_state_that_cannot_be_stored_is_said_and_counting_goes_on(log: Log) -> None:
    log.folder.joinpath("state").write_text("not a folder")
    log.write(3)

    assert log.counted() == 3
    assert log.value("state_stored") == 0
    log.folder.joinpath("state").unlink()
    log.write()
    assert log.counted() == 4
    assert log.value("state_stored") == 1


def test_a_broken_state_is_forgotten(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    log.folder.joinpath("state").mkdir()
    log.folder.joinpath("state", "shop.json").write_bytes(b'{"path": "acc')
    log.write(3)

    assert log.counted() == 3
    assert "the log's position cannot be read, and is forgotten" in caplog.messages


def test_who_is_killed_at_any_moment_neither_loses_nor_doubles_a_line(log: Log) -> None:
    """The child collects as fast as it can, until it is killed in the middle of something."""
    code = (
        "import sys; from pathlib import Path; from perfloop.collectors.access_log import AccessLogCollector\n"
        "c = AccessLogCollector('shop', Path(sys.argv[1]), state=Path(sys.argv[2]), from_start=True)\n"
        "while True: list(c.collect())"
    )
    state = log.folder / "state" / "shop.json"
    log.write()
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", code, log.path, state]) as child:
            eventually(state.exists)
            before = state.read_bytes()
            for _ in range(20):
                log.write(50)
            eventually(lambda before=before: state.read_bytes() != before)
            child.send_signal(signal.SIGKILL)

    log.restart()

    assert log.counted() == log.written


MOMENTS = st.lists(
    st.sampled_from(["write", "write", "half", "collect", "rename", "copy", "restart", "compress"]), max_size=25
)


@settings(max_examples=60, deadline=None)
@given(moments=MOMENTS)
def test_the_totals_do_not_depend_on_when_what_was_rotated_or_read(moments: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Log(Path(folder))
        log.write()
        log.counted()
        for moment in moments:
            happen(log, moment)

        assert log.counted() == log.written
        assert log.value("unparsed_lines_total") == 0
        assert log.value("lost_files_total") == 0
        log.source.close()


def happen(log: Log, moment: str) -> None:
    if moment == "write" or not log.path.exists():
        log.write(2)
    elif moment == "half":
        # The exporter looks while the server is writing.
        log.written += 1
        line = log.line()
        with log.path.open("ab") as file:
            file.write(line[:-9])
            file.flush()
            log.counted()
            file.write(line[-9:])
    elif moment == "rename":
        log.rename()
    elif moment == "restart":
        log.restart()
    elif moment == "collect":
        log.counted()
    elif moment == "copy":
        log.copy_and_truncate()
    else:
        # Nobody reads an archive that came between two looks, unless its beginning was seen before.
        log.write()
        log.counted()
        log.write()
        compress(log.copy_and_truncate())


def compress(path: Path) -> None:
    """Compress a file as gzip does: beside it, and then it is removed."""
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def open_files() -> set[str]:
    return {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
