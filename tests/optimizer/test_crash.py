"""kill -9 at every write of the state machine, on a real PgBouncer: after a restart the truth is reached."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from perfloop.model import Phase, State, Verdict
from perfloop.stack.process import Child
from perfloop.testing import FakeClock
from tests.optimizer.crashing import make_controller, run

KEPT = [
    Phase.PLANNED,
    Phase.SNAPSHOTTED,
    Phase.EXECUTING,
    Phase.UNKNOWN,
    Phase.EXECUTED,
    Phase.SETTLING,
    Phase.VERIFYING,
    Phase.DONE,
]


@pytest.fixture
def pool(pgbouncer: Child) -> Iterator[Child]:
    _console(pgbouncer, "SET default_pool_size = 2")
    yield pgbouncer
    _console(pgbouncer, "SET default_pool_size = 20")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("phase", KEPT)
def test_an_effective_change_stands_once_after_a_crash(tmp_path: Path, pool: Child, phase: Phase, moment: str) -> None:
    _crash(tmp_path, pool, Verdict.EFFECTIVE, phase, moment)

    states = _restart(tmp_path, pool, Verdict.EFFECTIVE)

    assert states == [State.COMPLETED]
    assert _pool_size(pool) == "4"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("phase", [*KEPT[:-1], Phase.ROLLING_BACK, Phase.DONE])
def test_an_ineffective_change_is_gone_after_a_crash(tmp_path: Path, pool: Child, phase: Phase, moment: str) -> None:
    _crash(tmp_path, pool, Verdict.INEFFECTIVE, phase, moment)

    states = _restart(tmp_path, pool, Verdict.INEFFECTIVE)

    assert states == [State.ROLLED_BACK]
    assert _pool_size(pool) == "2"


def test_somebody_elses_change_during_the_outage_is_left_alone(tmp_path: Path, pool: Child) -> None:
    _crash(tmp_path, pool, Verdict.INEFFECTIVE, Phase.ROLLING_BACK, "after")
    _console(pool, "SET default_pool_size = 9")

    states = _restart(tmp_path, pool, Verdict.INEFFECTIVE)

    assert states == [State.FAILED]
    assert _pool_size(pool) == "9"


def _crash(folder: Path, pool: Child, verdict: Verdict, phase: Phase, moment: str) -> None:
    argv = [sys.executable, "-m", "tests.optimizer.crashing", str(folder), pool.address, verdict, phase, moment]
    died = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL, died.stderr


def _restart(folder: Path, pool: Child, verdict: Verdict) -> list[State]:
    # Later than the crashed one ever saw: its clock ran for at most a hundred seconds.
    clock = FakeClock(1_700_000_000.0 + 200.0)
    store, controller = make_controller(folder, pool.address, verdict, clock)
    run(controller, clock, 60)
    return [execution.state for execution in store.executions()]


def _pool_size(pool: Child) -> str:
    return next(row[1] for row in _console(pool, "SHOW CONFIG") if row[0] == "default_pool_size")


def _console(pool: Child, command: str) -> list[tuple[str, ...]]:
    host, _, port = pool.address.rpartition(":")
    connection = psycopg2.connect(host=host, port=port, user="postgres", dbname="pgbouncer")
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(command)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()
