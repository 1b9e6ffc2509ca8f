"""Children together: started, restarted with back-off, and all ended when one fails to start."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from perfloop.errors import StackFailed
from perfloop.stack.process import Child, find_binary
from perfloop.stack.supervisor import Supervisor
from perfloop.testing import FakeClock
from tests.support import eventually


class Told(list[str]):
    """What the supervisor has said."""

    def __call__(self, who: str, what: str) -> None:
        self.append(f"{who}: {what}")


def child(folder: Path, name: str, script: str = "sleep 60", *, ready: bool = True) -> Child:
    """A child that runs a few words of shell."""
    return Child(name, [find_binary("sh"), "-c", script], log=folder / f"{name}.log", ready=lambda: ready)


def test_a_child_that_keeps_dying_is_started_later_and_later(tmp_path: Path) -> None:
    clock, told = FakeClock(), Told()
    patient = child(tmp_path, "patient", "echo no memory; exit 3")
    supervisor = Supervisor([patient], say=told, clock=clock)
    patient.start()

    for _ in range(3):
        eventually(lambda: not patient.is_alive())
        supervisor.watch()
        clock.advance(30.0)
        supervisor.watch()

    assert [line for line in told if "again in" in line] == [
        "patient: ended with 3: no memory; again in 1 s",
        "patient: ended with 3: no memory; again in 2 s",
        "patient: ended with 3: no memory; again in 5 s",
    ]


def test_it_waits_before_it_starts_a_child_again(tmp_path: Path) -> None:
    clock, told = FakeClock(), Told()
    patient = child(tmp_path, "patient")
    supervisor = Supervisor([patient], say=told, clock=clock)
    supervisor.start()
    patient.kill()

    supervisor.watch()
    clock.advance(0.9)
    supervisor.watch()
    waited = supervisor.state(patient)
    clock.advance(0.2)
    supervisor.watch()

    assert waited == "restarting"
    assert supervisor.state(patient) == "ready"
    assert told[1:] == ["patient: killed by signal 9; again in 1 s", f"patient: started again, pid {patient.pid}"]
    supervisor.stop()


def test_a_minute_of_health_makes_the_next_restart_quick_again(tmp_path: Path) -> None:
    clock, told = FakeClock(), Told()
    patient = child(tmp_path, "patient")
    supervisor = Supervisor([patient], say=told, clock=clock)
    supervisor.start()

    for _ in range(2):
        patient.kill()
        supervisor.watch()
        clock.advance(1.0)
        supervisor.watch()
        clock.advance(61.0)
        supervisor.watch()

    assert told.count("patient: killed by signal 9; again in 1 s") == 2
    supervisor.stop()


def test_all_are_ended_when_one_does_not_start(tmp_path: Path) -> None:
    well, ill = child(tmp_path, "well"), child(tmp_path, "ill", "exit 4", ready=False)

    with pytest.raises(StackFailed, match="ill ended with 4"):
        Supervisor([well, ill], say=Told()).start()

    assert not well.is_alive()


def test_a_start_that_is_no_longer_wanted_waits_for_nobody(tmp_path: Path) -> None:
    told, stop = Told(), threading.Event()
    supervisor = Supervisor([child(tmp_path, "slow", ready=False)], say=told)
    stop.set()

    supervisor.start(stop=stop)
    supervisor.stop()

    assert told == []
    assert supervisor.state(supervisor.children[0]) == "restarting"
