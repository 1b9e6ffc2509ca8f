"""One child process: how it is found, started, awaited and ended."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from perfloop.errors import StackFailed
from perfloop.stack.process import Child, find_binary, free_port, port_is_taken, wait_until
from tests.support import eventually


def shell(folder: Path, script: str, *, ready: bool = True, stop_signal: signal.Signals = signal.SIGTERM) -> Child:
    """A child that runs a few words of shell."""
    argv = [find_binary("sh"), "-c", script]
    return Child("patient", argv, log=folder / "log", ready=lambda: ready, stop_signal=stop_signal)


def test_a_program_is_found_where_path_does_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    assert find_binary("pgbouncer") == "/usr/sbin/pgbouncer"


def test_an_unknown_program_is_named() -> None:
    with pytest.raises(StackFailed, match="no-such-server is not installed; `make install`"):
        find_binary("no-such-server")


def test_a_free_port_is_not_taken() -> None:
    assert not port_is_taken("127.0.0.1", free_port())


def test_one_that_dies_is_quoted_without_control_characters(tmp_path: Path) -> None:
    child = shell(tmp_path, r"printf 'fine\n\033[31mno memory\n' >&2; exit 7", ready=False)
    child.start()

    with pytest.raises(StackFailed) as caught:
        child.wait_ready()

    assert str(caught.value) == f"patient ended with 7: \ufffd[31mno memory (log: {tmp_path}/log)"


def test_one_that_stays_silent_is_given_up(tmp_path: Path) -> None:
    child = shell(tmp_path, "sleep 60", ready=False)
    child.start()

    with pytest.raises(StackFailed, match="patient does not become ready: nothing in its log"):
        child.wait_ready(timeout_seconds=0.1)

    child.stop()


def test_one_that_ignores_the_signal_is_killed_with_its_own_children(tmp_path: Path) -> None:
    child = shell(tmp_path, "trap '' TERM; sleep 60 & echo begun; wait; sleep 60")
    child.start()
    eventually(lambda: child.last_words() == "begun")
    family = [psutil.Process(child.pid), *psutil.Process(child.pid).children()]

    child.stop(timeout_seconds=0.2)
    child.stop()

    assert len(family) == 2
    assert not child.is_alive()
    eventually(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family))


def test_waiting_names_what_did_not_come() -> None:
    with pytest.raises(StackFailed, match=r"the flood: not within 0\.01 s"):
        wait_until(lambda: False, timeout_seconds=0.01, what="the flood")
