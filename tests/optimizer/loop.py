"""A controller over a real store, with a component in memory and an evaluator that says what the test wants."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec.structs import replace

from perfloop.errors import PerfloopError, Unavailable
from perfloop.executors.database import Database
from perfloop.model import (
    Alert,
    AlertStatus,
    Baseline,
    Component,
    Direction,
    Evaluation,
    Execution,
    Limits,
    Mode,
    Objective,
    Policy,
    RuleState,
    Sample,
    Step,
    Timing,
    Verdict,
)
from perfloop.optimizer.controller import Controller
from perfloop.optimizer.decider import Parts
from perfloop.optimizer.policy import Budget
from perfloop.protocols import Driver
from perfloop.stores import SqlStore
from perfloop.testing import FakeClock, FaultyDriver, MemoryDriver

POOL = "orders-pool"
BASELINE = Baseline(samples={"pool_wait": (Sample(at=1.0, value=50.0),)})

POLICY = Policy(
    name="pool-too-small",
    matchers=('rule="pool_wait"',),
    executor="database",
    component=None,
    parameters={"connection_pool_size": Step(increase_ratio=1.0, max="40")},
    objective=Objective(metric="pool_wait", direction=Direction.LOWER),
    guards=(),
    mode=Mode.AUTO,
    limits=Limits(),
    timing=Timing(settle_seconds=10.0, sample_seconds=3.0),
)


def judged(verdict: Verdict, *, final: bool = True) -> Evaluation:
    """An evaluation as the evaluator returns it."""
    return Evaluation(verdict=verdict, reason=f"the test says {verdict}", final=final)


class ScriptedEvaluator:
    """Says in turn what the test wants; the last one again and again. An error in the script is raised."""

    def __init__(self, *script: Evaluation | PerfloopError, baseline: PerfloopError | None = None) -> None:
        self.script: deque[Evaluation | PerfloopError] = deque(script or (judged(Verdict.EFFECTIVE),))
        self.baseline_error = baseline

    def baseline(self, policy: Policy, component: str, *, now: float) -> Baseline:
        if self.baseline_error is not None:
            raise self.baseline_error
        return BASELINE

    def evaluate(
        self, policy: Policy, component: str, baseline: Baseline, *, executed_at: float, now: float
    ) -> Evaluation:
        said = self.script.popleft() if len(self.script) > 1 else self.script[0]
        if isinstance(said, PerfloopError):
            raise said
        return said


def firing(
    rule: str = "pool_wait", component: str = POOL, *, starts_at: float = 100.0, severity: str = "warning"
) -> Alert:
    """A firing alert of a compiled rule."""
    labels = {"alertname": "PoolWaitHigh", "rule": rule, "component": component, "severity": severity}
    return Alert(
        fingerprint=f"{rule}-{component}-{severity}",
        status=AlertStatus.FIRING,
        labels=labels,
        annotations={},
        starts_at=starts_at,
    )


def resolved(alert: Alert, *, ends_at: float) -> Alert:
    """The same alert, resolved."""
    return replace(alert, status=AlertStatus.RESOLVED, ends_at=ends_at)


class Alerts:
    """A Prometheus that knows no rules, or says what the test wants."""

    def __init__(self) -> None:
        self.states: Callable[[], Mapping[str, RuleState]] = dict

    def rule_states(self) -> Mapping[str, RuleState]:
        return self.states()


def silence() -> Mapping[str, RuleState]:
    """What a Prometheus says that does not answer."""
    raise Unavailable("the test has no Prometheus")


class Loop:
    """Everything a test of the loop touches."""

    def __init__(self, folder: Path, *policies: Policy, evaluator: ScriptedEvaluator | None = None) -> None:
        self.clock = FakeClock()
        self.alerts = Alerts()
        self.store = SqlStore(folder / "perfloop.db")
        self.evaluator = evaluator or ScriptedEvaluator()
        self.policies = policies or (POLICY,)
        self.drivers: dict[str, FaultyDriver] = {}
        self.values: dict[str, MemoryDriver] = {}
        for name in (POOL, "billing-pool"):
            self.values[name] = MemoryDriver({"default_pool_size": "2"}, defaults={"query_timeout": "0"})
            self.drivers[name] = FaultyDriver(self.values[name])
        self.controller = Controller(self.store, self.parts(), clock=self.clock)

    @property
    def driver(self) -> FaultyDriver:
        return self.drivers[POOL]

    def parts(self, *, budget: Budget | None = None) -> Parts:
        components: Mapping[str, Component] = {
            name: Component(name=name, driver="pgbouncer", address="127.0.0.1:1") for name in self.drivers
        }

        def connect(component: Component) -> Driver:
            return self.drivers[component.name]

        return Parts(
            policies=self.policies,
            own_rules=frozenset({"pool_wait"}),
            alert_source=self.alerts,
            components=frozenset(components),
            executors={"database": Database(components, connect=connect)},
            evaluator=self.evaluator,
            budget=budget or Budget(),
            action_timeout_seconds=300.0,
            decide_again_seconds=15.0,
        )

    def deliver(self, *alerts: Alert) -> None:
        self.store.receive(alerts, now=self.clock())
        self.controller.tick()

    def run(self, seconds: float = 100.0, *, step_seconds: float = 1.0) -> None:
        """Let time pass, tick by tick."""
        end = self.clock() + seconds
        while self.clock() < end:
            self.clock.advance(step_seconds)
            self.controller.tick()

    def only(self) -> Execution:
        """The one execution there is."""
        (execution,) = self.store.executions()
        return execution

    def pool_size(self, component: str = POOL) -> str:
        return self.values[component].get("default_pool_size").value

    def reasons(self) -> list[str]:
        return [entry.decision.reason for entry in self.store.decisions(limit=100)]
