"""One scenario of the demo: patients, load and the whole stack on free ports, told as it happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import yaml

from perfloop.app.stack import Stack
from perfloop.config import component_of
from perfloop.drivers import connect
from perfloop.errors import PerfloopError, StackFailed, Unavailable
from perfloop.model import Execution, Outcome
from perfloop.prometheus.client import PrometheusClient
from perfloop.stack.process import free_port
from perfloop.stack.scenarios import Patient, Scenario
from perfloop.stack.supervisor import Supervisor
from perfloop.web.client import OptimizerClient

T = TypeVar("T")
Say = Callable[[str, str], None]

_POLL_SECONDS = 0.5
_NEWS_SECONDS = 15.0


@dataclass(frozen=True, kw_only=True)
class Report:
    """How a scenario ended: the execution, what Prometheus and the server say now, and what is wrong with it."""

    execution: Execution
    metric_now: float | None
    setting_now: str
    complaints: list[str]


def configuration(scenario: Scenario, patient: Patient, folder: Path) -> dict[str, Any]:
    """Return the scenario's perfloop.yml: short intervals, one threshold, one policy in mode auto."""
    ports = {name: f"127.0.0.1:{free_port()}" for name in ("prometheus", "alertmanager", "exporter", "optimizer")}
    policy = {
        "name": f"demo-{scenario.name}",
        "match": [f'rule="{scenario.metric}"', f'component="{scenario.component}"'],
        "objective": {"metric": scenario.metric},
        "mode": "auto",
        **scenario.policy,
    }
    return {
        "performance_collection": {
            "collection_interval": 1,
            "retention_period": 3600,
            "alert_thresholds": {scenario.metric: dict(scenario.threshold)},
        },
        "components": patient.components,
        "policies": [policy],
        "prometheus": {
            "url": f"http://{ports['prometheus']}",
            "alertmanager_url": f"http://{ports['alertmanager']}",
            "exporters": [ports["exporter"]],
            "rate_range_seconds": 3,
        },
        "web": {
            "exporter_address": ports["exporter"],
            "optimizer_address": ports["optimizer"],
            "token": {"file": str(folder / "token")},
        },
        "store": {"path": str(folder / "perfloop.db")},
    }


class Demo:
    """Runs one scenario in a folder; `say` gets who speaks and what happened."""

    def __init__(self, scenario: Scenario, folder: Path, *, say: Say, stop: threading.Event) -> None:
        self._scenario, self._folder, self._say, self._stop = scenario, folder, say, stop
        self._told: set[str] = set()
        self._watched: tuple[Supervisor, ...] = ()
        self._next_news_at = 0.0

    def run(self, *, timeout_seconds: float) -> Report:
        """Start everything, tell what happens, and check the end. Raises StackFailed if it does not come in time."""
        patient = self._scenario.make(self._folder)
        config_file = self._folder / "perfloop.yml"
        settings = configuration(self._scenario, patient, self._folder)
        config_file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        with self._running(patient, config_file) as stack:
            self._prometheus = PrometheusClient(stack.prometheus_url)
            token = (self._folder / "token").read_text(encoding="utf-8").strip()
            self._optimizer = OptimizerClient(stack.config.web.optimizer_address, token=token)
            execution = self._follow(timeout_seconds)
            return self._report(stack, execution)

    @contextmanager
    def _running(self, patient: Patient, config_file: Path) -> Iterator[Stack]:
        patients = Supervisor(patient.servers, say=self._say)
        stack = Stack(config_file, state=self._folder)
        processes = Supervisor(stack.prepare(), say=self._say)
        load = Supervisor(patient.load, say=self._say)
        try:
            patients.start(stop=self._stop)
            self._go_on()
            patient.prepare()
            processes.start(stop=self._stop)
            load.start(stop=self._stop)
            self._watched = (patients, processes, load)
            yield stack
        finally:
            for supervisor in (load, processes, patients):
                supervisor.stop()

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise StackFailed("interrupted")

    # -- telling -------------------------------------------------------------------------------------------------------

    def _follow(self, timeout_seconds: float) -> Execution:
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            self._go_on()
            for supervisor in self._watched:
                supervisor.watch()
            self._tell_alerts()
            self._tell_decisions()
            ended = self._tell_actions()
            if ended is not None:
                return ended
            self._tell_value()
            self._stop.wait(_POLL_SECONDS)
        raise StackFailed(f"scenario {self._scenario.name} did not end within {timeout_seconds:g} s")

    def _tell_alerts(self) -> None:
        try:
            alerts = self._prometheus.alerts()
        except PerfloopError:
            return
        for alert in alerts:
            if alert.labels.get("rule") == self._scenario.metric:
                self._once("alert", f"{alert.labels['alertname']} ({alert.labels['severity']}) is {alert.state}")

    def _tell_decisions(self) -> None:
        for entry in reversed(_answer(self._optimizer.decisions) or []):
            if entry.component != self._scenario.component:
                continue
            self._once("received", f"episode {entry.episode_id}: {entry.rule} on {entry.component}")
            self._once("waits" if entry.decision.retry else "decided", entry.decision.reason)
            if entry.decision.outcome is Outcome.REFUSE and not entry.decision.retry:
                raise StackFailed(f"the optimizer refused: {entry.decision.reason}")

    def _tell_actions(self) -> Execution | None:
        for execution in _answer(self._optimizer.actions) or []:
            detail = _answer(partial(self._optimizer.action, execution.id))
            for entry in detail.log if detail is not None else ():
                self._once(str(entry.phase).replace("_", " "), entry.text)
            if execution.state.final and detail is not None:
                return execution
        return None

    def _tell_value(self) -> None:
        now = time.monotonic()
        if now < self._next_news_at:
            return
        value = self._value()
        if value is not None:
            self._next_news_at = now + _NEWS_SECONDS
            self._say("measured", f"{self._scenario.metric} of {self._scenario.component} is {value:.1f}")

    def _once(self, who: str, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            self._say(who, what)

    # -- checking ------------------------------------------------------------------------------------------------------

    def _report(self, stack: Stack, execution: Execution) -> Report:
        component = component_of(stack.config, self._scenario.component, base=self._folder, environ={})
        setting = connect(component).get(self._scenario.key).value
        change = execution.changes[0] if execution.changes else None
        complaints = []
        if execution.state is not self._scenario.state:
            complaints.append(f"the action ended {execution.state}, promised {self._scenario.state}")
        if execution.evaluation is None or execution.evaluation.verdict is not self._scenario.verdict:
            found = execution.evaluation.verdict if execution.evaluation else "none"
            complaints.append(f"the verdict is {found}, promised {self._scenario.verdict}")
        if change is not None:
            kept = self._scenario.state.value == "completed"
            expected = change.after.value if kept else change.before.value
            if setting != expected:
                complaints.append(f"{change.target} has {change.key} {setting}, promised {expected}")
        value = self._value()
        if value is None:
            complaints.append(f"Prometheus has no {self._scenario.metric} now")
        return Report(execution=execution, metric_now=value, setting_now=setting, complaints=complaints)

    def _value(self) -> float | None:
        try:
            found = self._prometheus.query(
                f'perfloop:{self._scenario.metric}{{component="{self._scenario.component}"}}'
            )
        except PerfloopError:
            return None
        return found[0].sample.value if found else None


def _answer(question: Callable[[], T]) -> T | None:
    """Ask the optimizer; nothing comes back while it is being started again."""
    try:
        return question()
    except Unavailable:
        return None
