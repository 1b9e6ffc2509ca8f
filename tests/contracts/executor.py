"""What every executor promises, asked of each on a real server."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import msgspec
import pytest

from perfloop.drivers import connect
from perfloop.errors import ActionRefused, Conflict, OutcomeUnknown, Unavailable
from perfloop.executors import EXECUTORS
from perfloop.executors.setting import SettingExecutor, write
from perfloop.model import Action, Change, Component, Probe, Setting, Step
from perfloop.protocols import Driver
from perfloop.stack.process import Child, free_port
from perfloop.testing import Fault, FaultyDriver
from tests.support import eventually, freeze


@dataclass(frozen=True)
class Case:
    """One parameter of one executor on one real system: where it starts, where it goes, and what is too far."""

    executor: str
    driver: str
    parameter: str
    step: Step
    too_far: Step
    key: str
    start: Setting
    someone_elses: str

    def __str__(self) -> str:
        return f"{self.executor}-{self.driver}-{self.parameter}-{'explicit' if self.start.explicit else 'default'}"


class Patient:
    """A component of a running server, its executor, and its driver with failures on demand."""

    def __init__(self, case: Case, server: Child, *, timeout_seconds: float = 5.0) -> None:
        self.case, self.server = case, server
        self.driver = FaultyDriver(self._connect(server.address, timeout_seconds=timeout_seconds))
        self.executor = self._executor(server.address, connect=lambda _: self.driver)

    def plan(self, step: Step | None = None) -> Change:
        """Plan the case's step, or another one."""
        (change,) = self.executor.plan(self.action(step or self.case.step))
        return change

    def action(self, step: Step) -> Action:
        return Action(
            id="a1",
            policy="p1",
            executor=self.case.executor,
            component="patient",
            parameters={self.case.parameter: step},
        )

    def elsewhere(self, address: str, *, timeout_seconds: float) -> SettingExecutor:
        """Return the same executor for another address, over the driver that users get."""
        return self._executor(address, connect=partial(self._connect_component, timeout_seconds=timeout_seconds))

    def _executor(self, address: str, *, connect: Callable[[Component], Driver]) -> SettingExecutor:
        return EXECUTORS[self.case.executor]({"patient": self._component(address)}, connect=connect)

    def _component(self, address: str) -> Component:
        user = "" if self.case.driver == "redis" else "postgres"
        return Component(name="patient", driver=self.case.driver, address=address, user=user)

    def _connect(self, address: str, *, timeout_seconds: float) -> Driver:
        return self._connect_component(self._component(address), timeout_seconds=timeout_seconds)

    @staticmethod
    def _connect_component(component: Component, *, timeout_seconds: float) -> Driver:
        return connect(component, timeout_seconds=timeout_seconds)


class ExecutorContract:
    """Inherit, and give the fixtures `case` and `servers` (running servers by driver)."""

    @pytest.fixture
    def patient(self, case: Case, servers: Mapping[str, Child]):
        patient = Patient(case, servers[case.driver])
        write(patient.driver, case.key, case.start)
        patient.driver.writes = 0
        yield patient
        write(patient.driver, case.key, case.start)

    def test_plan_says_what_would_change_and_writes_nothing(self, patient: Patient):
        change = patient.plan()

        assert patient.driver.writes == 0
        assert change.before == patient.case.start == patient.executor.read_back(change)
        assert change.after.value != change.before.value
        assert patient.executor.probe(change) is Probe.BEFORE

    def test_a_change_survives_json(self, patient: Patient):
        change = patient.plan()

        stored = msgspec.json.decode(msgspec.json.encode(change), type=Change)

        assert stored == change

    def test_what_was_written_is_read_back(self, patient: Patient):
        change = patient.plan()

        patient.executor.apply(change)

        assert patient.executor.read_back(change) == change.after
        assert patient.executor.probe(change) is Probe.AFTER

    def test_applying_twice_is_harmless(self, patient: Patient):
        change = patient.plan()

        patient.executor.apply(change)
        patient.executor.apply(change)

        assert patient.driver.writes == 1
        assert patient.executor.probe(change) is Probe.AFTER

    def test_rollback_restores_the_origin_and_twice_is_harmless(self, patient: Patient):
        change = patient.plan()
        patient.executor.apply(change)

        patient.executor.rollback(change)
        patient.executor.rollback(change)

        assert patient.executor.read_back(change) == patient.case.start

    def test_apply_leaves_someone_elses_change_alone(self, patient: Patient):
        change = patient.plan()
        patient.driver.set(change.key, patient.case.someone_elses)

        with pytest.raises(Conflict, match=f"is {patient.case.someone_elses}, expected {change.before.value}"):
            patient.executor.apply(change)

        assert patient.executor.read_back(change).value == patient.case.someone_elses

    def test_rollback_leaves_someone_elses_change_alone(self, patient: Patient):
        change = patient.plan()
        patient.executor.apply(change)
        patient.driver.set(change.key, patient.case.someone_elses)

        with pytest.raises(Conflict, match=f"is {patient.case.someone_elses}, expected {change.after.value}"):
            patient.executor.rollback(change)

        assert patient.executor.probe(change) is Probe.OTHER
        assert patient.executor.read_back(change).value == patient.case.someone_elses

    @pytest.mark.parametrize(
        ("fault", "stands"), [(Fault.LOST_BEFORE, Probe.BEFORE), (Fault.LOST_AFTER, Probe.AFTER)], ids=str
    )
    def test_a_lost_response_is_resolved_by_probe(self, patient: Patient, fault: Fault, stands: Probe):
        change = patient.plan()
        patient.driver.fail_writes(fault)

        with pytest.raises(OutcomeUnknown):
            patient.executor.apply(change)

        assert patient.executor.probe(change) is stands
        patient.executor.apply(change)
        assert patient.driver.writes == 1, "what had been written is not written again"
        assert patient.executor.probe(change) is Probe.AFTER

    @pytest.mark.parametrize("fault", [Fault.LOST_BEFORE, Fault.LOST_AFTER])
    def test_a_lost_response_of_the_rollback_is_resolved_by_probe(self, patient: Patient, fault: Fault):
        change = patient.plan()
        patient.executor.apply(change)
        patient.driver.fail_writes(fault)

        with pytest.raises(OutcomeUnknown):
            patient.executor.rollback(change)
        patient.executor.rollback(change)

        assert patient.executor.read_back(change) == patient.case.start

    def test_it_refuses_to_pass_its_bound(self, patient: Patient):
        with pytest.raises(ActionRefused, match=patient.case.parameter):
            patient.plan(patient.case.too_far)

        assert patient.driver.writes == 0

    def test_what_stands_already_is_no_change(self, patient: Patient):
        with pytest.raises(ActionRefused, match=f"nothing to change, {patient.case.key} is "):
            patient.plan(Step(set=patient.case.start.value))

    def test_an_unknown_parameter_is_refused_with_the_known_ones(self, patient: Patient):
        action = Action(
            id="a1",
            policy="p1",
            executor=patient.case.executor,
            component="patient",
            parameters={"speed": Step(set="1")},
        )

        with pytest.raises(ActionRefused, match=patient.case.parameter):
            patient.executor.plan(action)

    def test_a_dead_server_is_unavailable_at_once(self, patient: Patient):
        change = patient.plan()
        dead = patient.elsewhere(f"127.0.0.1:{free_port()}", timeout_seconds=5.0)
        began_at = time.monotonic()

        for call in (lambda: dead.plan(patient.action(patient.case.step)), lambda: dead.apply(change)):
            with pytest.raises(Unavailable, match="patient"):
                call()

        assert time.monotonic() - began_at < 1.0

    def test_a_hung_server_costs_no_more_than_the_time_limit(self, patient: Patient):
        change = patient.plan()
        hung = patient.elsewhere(patient.server.address, timeout_seconds=0.3)
        freeze(patient.server.pid)
        began_at = time.monotonic()

        try:
            for call in (lambda: hung.probe(change), lambda: hung.apply(change), lambda: hung.rollback(change)):
                with pytest.raises(Unavailable, match="patient"):
                    call()
        finally:
            patient.server.send(signal.SIGCONT)

        assert time.monotonic() - began_at < 3.0
        eventually(patient.server.is_ready)
        assert patient.executor.read_back(change) == patient.case.start
