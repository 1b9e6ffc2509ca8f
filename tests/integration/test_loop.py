"""The loop on real servers: Prometheus fires, Alertmanager delivers, the optimizer acts on Redis and judges."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import requests

from perfloop.model import Alert, AlertStatus, Execution, Outcome, Phase, RecordedDecision, State, Verdict
from perfloop.optimizer.controller import Controller
from perfloop.stack.process import Child
from perfloop.stack.supervisor import Supervisor
from perfloop.stores import SqlStore
from perfloop.testing import FakeClock
from tests.integration.quick import quick_parts
from tests.integration.stack import LIMIT_BYTES, Ground
from tests.support import eventually, perfloop


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """The stack, for all stories."""
    ground = Ground(tmp_path_factory.mktemp("loop"))
    with ground.running():
        yield ground


@pytest.fixture
def prometheus(ground: Ground) -> Iterator[Child]:
    """A Prometheus that the test may stop."""
    child = ground.prometheus()
    yield child
    child.stop()


@pytest.fixture
def twice(ground: Ground) -> Iterator[Supervisor]:
    store = SqlStore(ground.folder / "twice.yml.db")
    store.pause("until the alert has come again")
    store.close()
    yield from _started(ground.quick("twice"))


@pytest.fixture
def killed(ground: Ground) -> Iterator[Supervisor]:
    yield from _started(ground.quick("killed"))


def test_a_delivery_with_a_wrong_token_fails_in_alertmanager_and_leaves_no_trace(ground: Ground) -> None:
    alertmanager = ground.stack.config.prometheus.alertmanager_url
    alert = {"labels": {"alertname": "CrowdingHigh", "rule": "crowding", "component": "intruder"}}

    requests.post(f"{alertmanager}/api/v2/alerts", json=[alert], timeout=5).raise_for_status()

    failed = 'alertmanager_notifications_failed_total{integration="webhook"}'
    eventually(lambda: _metric(alertmanager, failed) >= 1, what="a failed notification")
    optimizer = f"http://{ground.addresses['optimizer']}"
    assert _metric(optimizer, 'perfloop_optimizer_deliveries_refused_total{status="401"}') >= 1
    assert "intruder" not in {decision.component for decision in ground.client("optimizer").decisions()}


def test_an_alert_that_is_repeated_and_then_resolved_is_acted_upon_once_and_judged(
    ground: Ground, twice: Supervisor
) -> None:
    optimizer, address = ground.client("twice"), twice.children[0].address
    repeated = 'perfloop_optimizer_alerts_received_total{result="repeated"}'
    eventually(lambda: _metric(address, repeated) >= 2, what="the same alert three times")
    optimizer.resume()

    execution = eventually(lambda: _ended(optimizer.actions()), timeout_seconds=40, what="the end of the action")

    assert _metric(address, 'perfloop_optimizer_alerts_received_total{result="resolved"}') >= 1
    assert len(optimizer.actions()) == 1
    assert (execution.state, _verdict(execution)) == (State.COMPLETED, Verdict.EFFECTIVE)
    assert ground.limit("twice") == 2 * LIMIT_BYTES


def test_an_optimizer_killed_while_the_change_settles_is_restarted_and_judges_it(
    ground: Ground, killed: Supervisor
) -> None:
    optimizer = ground.client("killed")
    eventually(lambda: [e for e in optimizer.actions() if e.phase is Phase.SETTLING], what="settling")
    first = killed.children[0].pid

    os.kill(first, signal.SIGKILL)

    eventually(lambda: killed.watch() or killed.children[0].pid != first, what="another process")
    eventually(killed.children[0].is_ready)
    execution = eventually(lambda: _ended(optimizer.actions()), timeout_seconds=40, what="the end of the action")
    assert (execution.state, _verdict(execution)) == (State.COMPLETED, Verdict.EFFECTIVE)
    assert ground.limit("killed") == 2 * LIMIT_BYTES
    assert [entry.phase for entry in optimizer.action(execution.id).log].count(Phase.EXECUTED) == 1


def test_nothing_is_done_while_prometheus_is_away_and_it_is_done_when_it_is_back(
    ground: Ground, prometheus: Child, tmp_path: Path
) -> None:
    store, controller = _controller(ground, "absent", prometheus, tmp_path)
    store.receive([_firing("absent")], now=time.time())

    controller.tick()

    (refusal,) = store.decisions(limit=10)
    assert refusal.decision.outcome is Outcome.REFUSE
    assert refusal.decision.reason.startswith(f"the effect could not be measured: Prometheus at {prometheus.address}")
    assert ground.limit("absent") == LIMIT_BYTES
    prometheus.start()
    prometheus.wait_ready()
    eventually(_ticking(controller, lambda: ground.limit("absent") == 2 * LIMIT_BYTES), what="the change")
    acted, *refused = [entry.decision for entry in store.decisions(limit=10)]
    assert acted.outcome is Outcome.ACT
    assert any("samples" in refusal.reason for refusal in refused)


def test_a_prometheus_stopped_during_verification_makes_the_action_unverifiable_and_keeps_the_change(
    ground: Ground, prometheus: Child, tmp_path: Path
) -> None:
    prometheus.start()
    prometheus.wait_ready()
    clock = FakeClock(time.time())
    store, controller = _controller(ground, "unverified", prometheus, tmp_path, clock=clock)
    store.receive([_firing("unverified")], now=clock())
    eventually(_ticking(controller, lambda: _in(store, Phase.VERIFYING), clock=clock), what="verification")

    prometheus.stop()
    controller.tick()
    waiting = store.executions()[0]
    clock.advance(600.0)
    controller.tick()

    (execution,) = store.executions()
    assert waiting.state is State.RUNNING
    assert (execution.state, _verdict(execution)) == (State.COMPLETED, Verdict.UNVERIFIABLE)
    assert f"Prometheus at {prometheus.address} does not answer" in execution.reason
    assert ground.limit("unverified") == 2 * LIMIT_BYTES


def test_a_real_alert_is_decided_and_the_decision_is_seen_in_both_places(ground: Ground) -> None:
    def suggestions() -> list[RecordedDecision]:
        return [d for d in ground.client("optimizer").decisions() if d.decision.outcome is Outcome.SUGGEST]

    # The last test, as production's timing wants twenty samples from before: they came in meanwhile.
    (suggestion,) = eventually(suggestions, timeout_seconds=60, what="a suggestion")

    expected = f"mode is suggest: suggested maxmemory {LIMIT_BYTES} -> {2 * LIMIT_BYTES}"
    assert (suggestion.component, suggestion.rule) == ("suggested", "crowding")
    assert suggestion.decision.reason == expected
    done = perfloop("actions", "--config.file", str(ground.file), "list", "--decisions", "--output", "json")
    assert done.returncode == 0, done.stderr
    assert suggestion in msgspec.json.decode(done.stdout, type=list[RecordedDecision])
    assert ground.client("optimizer").actions() == []
    assert ground.limit("suggested") == LIMIT_BYTES


def _started(supervisor: Supervisor) -> Iterator[Supervisor]:
    supervisor.start()
    yield supervisor
    supervisor.stop()


def _controller(
    ground: Ground, name: str, prometheus: Child, folder: Path, *, clock: Callable[[], float] = time.time
) -> tuple[SqlStore, Controller]:
    """A controller in this process, with a store of its own, that asks the given Prometheus."""
    store = SqlStore(folder / "perfloop.db")
    parts = quick_parts(ground.quick_config(name), base=ground.folder, prometheus_url=prometheus.address)
    return store, Controller(store, parts, clock=clock)


def _ticking(
    controller: Controller, reached: Callable[[], bool], *, clock: FakeClock | None = None
) -> Callable[[], bool]:
    def probe() -> bool:
        if clock is not None:
            clock.now = time.time()
        controller.tick()
        return reached()

    return probe


def _firing(component: str) -> Alert:
    labels = {"alertname": "CrowdingHigh", "rule": "crowding", "component": component}
    now = time.time()
    return Alert(fingerprint=component, status=AlertStatus.FIRING, labels=labels, annotations={}, starts_at=now)


def _in(store: SqlStore, phase: Phase) -> bool:
    return any(execution.phase is phase for execution in store.executions())


def _ended(executions: list[Execution]) -> Execution | None:
    return next((execution for execution in executions if execution.state.final), None)


def _verdict(execution: Execution) -> Verdict | None:
    return execution.evaluation.verdict if execution.evaluation else None


def _metric(url: str, series: str) -> float:
    """Read one sample of an exposition; absent is zero here, as counters appear when they are first counted."""
    lines = requests.get(f"{url}/metrics", timeout=5).text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{series} ")), 0.0)
