"""An optimizer on a real PgBouncer that kills itself (SIGKILL) at a given write to its store.

usage: python -m tests.optimizer.crashing FOLDER PGBOUNCER_ADDRESS VERDICT PHASE before|after

PHASE is the phase that is being stored; `before` dies with the phase's work done and its record missing, `after`
dies with the record on disk and the next phase's work not begun. On the way to `unknown` PgBouncer's answer is lost.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from perfloop.drivers import connect
from perfloop.executors.database import Database
from perfloop.model import Component, Execution, Phase, Verdict
from perfloop.optimizer.controller import Controller
from perfloop.optimizer.decider import Parts
from perfloop.optimizer.policy import Budget
from perfloop.protocols import Driver, DriverFactory
from perfloop.stores import SqlStore
from perfloop.testing import FakeClock, Fault, FaultyDriver
from tests.optimizer.loop import POLICY, POOL, Alerts, ScriptedEvaluator, firing, judged


class DyingStore(SqlStore):
    """A store whose process is killed at one write."""

    die_at: tuple[Phase, str] | None = None

    def begin(self, execution: Execution) -> None:
        self._die(execution.phase, "before")
        super().begin(execution)
        self._die(execution.phase, "after")

    def save(self, execution: Execution, *, note: str, only_while_wanted: bool = False) -> Execution:
        self._die(execution.phase, "before")
        saved = super().save(execution, note=note, only_while_wanted=only_while_wanted)
        self._die(execution.phase, "after")
        return saved

    def _die(self, phase: Phase, moment: str) -> None:
        if self.die_at == (phase, moment):
            os.kill(os.getpid(), signal.SIGKILL)


def make_controller(
    folder: Path, address: str, verdict: Verdict, clock: FakeClock, *, connect: DriverFactory = connect
) -> tuple[DyingStore, Controller]:
    """The real store, the real executor and the real PgBouncer; only the verdict is given."""
    components = {POOL: Component(name=POOL, driver="pgbouncer", address=address, user="postgres")}
    store = DyingStore(folder / "perfloop.db")
    parts = Parts(
        policies=[POLICY],
        own_rules=frozenset(),
        alert_source=Alerts(),
        components=frozenset(components),
        executors={"database": Database(components, connect=connect)},
        evaluator=ScriptedEvaluator(judged(verdict)),
        budget=Budget(),
        action_timeout_seconds=300.0,
        decide_again_seconds=15.0,
    )
    return store, Controller(store, parts, clock=clock)


def run(controller: Controller, clock: FakeClock, seconds: int) -> None:
    """Let time pass, tick by tick."""
    for _ in range(seconds):
        clock.advance(1.0)
        controller.tick()


def main() -> None:
    """Deliver one alert and run into death."""
    folder, address, verdict, phase, moment = sys.argv[1:]
    clock = FakeClock()

    def lossy(component: Component) -> Driver:
        driver = FaultyDriver(connect(component))
        driver.fail_writes(Fault.LOST_AFTER)
        return driver

    loses = Phase(phase) is Phase.UNKNOWN
    store, controller = make_controller(
        Path(folder), address, Verdict(verdict), clock, connect=lossy if loses else connect
    )
    store.die_at = (Phase(phase), moment)
    store.receive([firing()], now=clock())
    run(controller, clock, 100)
    sys.exit("it was not killed")


if __name__ == "__main__":
    main()
