"""One reload after another, whatever becomes of the one before."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from perfloop.app.reload import Reloads
from perfloop.config.apart import Reading, read
from perfloop.errors import ConfigInvalid
from tests.support import eventually

GOOD = read(Path("none.yml"), may_be_missing=True)


class Reader:
    """Reads what the test says, when it is let go."""

    def __init__(self) -> None:
        self.outcome: Reading | Exception = GOOD
        self.free = threading.Event()
        self.free.set()
        self.ends: list[bool] = []
        self.reloads = Reloads(
            read=self._read, apply=lambda _: None, end=self.ends.append, call_soon=lambda call: call()
        )

    def _read(self) -> Reading:
        self.free.wait(10)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("problem", [ConfigInvalid(["no"]), MemoryError("a bug")], ids=["foreseen", "unforeseen"])
def test_a_reading_that_fails_is_not_the_last_one(problem: Exception) -> None:
    reader = Reader()
    reader.outcome = problem

    first = reader.reloads.begin()
    eventually(lambda: first.ready)
    reader.outcome = GOOD
    second = reader.reloads.begin()
    eventually(lambda: second.ready)

    # A thread that ends with an error is said in the test that runs then.
    eventually(lambda: not any(thread.name == "reload" for thread in threading.enumerate()))
    assert (first.response().status, second.response().status) == (500, 200)
    assert reader.ends == [False, True]


def test_who_asks_while_one_is_read_shares_the_one_after_it() -> None:
    reader = Reader()
    reader.free.clear()

    first, *others = [reader.reloads.begin() for _ in range(5)]
    reader.free.set()
    eventually(lambda: others[0].ready)

    assert first is not others[0]
    assert {id(other) for other in others} == {id(others[0])}
    assert reader.ends == [True, True]


def test_without_a_thread_a_reload_fails_and_the_next_one_does_not() -> None:
    reader = Reader()

    with exhausted_threads():
        refused = reader.reloads.begin()
    following = reader.reloads.begin()
    eventually(lambda: following.ready)

    assert refused.ready
    assert reader.ends == [False, True]


class exhausted_threads:  # noqa: N801 - reads as what it does
    """A system that has no thread left."""

    def __enter__(self) -> None:
        self._start: Callable[[threading.Thread], None] = threading.Thread.start
        threading.Thread.start = _refuse  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        threading.Thread.start = self._start  # type: ignore[method-assign]


def _refuse(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_nothing_is_imported_from_the_folder_it_is_started_in(tmp_path: Path) -> None:
    for name in ("msgspec", "yaml", "perfloop"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from here')\n", encoding="utf-8")

    command = [Path(sys.executable).with_name("perfloop"), "exporter", "--web.listen-address", "127.0.0.1:99999"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60)

    assert "imported from here" not in done.stderr
    assert "cannot listen on 127.0.0.1:99999" in done.stderr
