"""The optimizer's own metrics, counted from the store, so that a restart forgets nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client import Counter as CounterMetric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from perfloop import __version__
from perfloop.model import Execution, State
from perfloop.protocols import Store

_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


class Counts(Store, Protocol):
    """A store that can also count."""

    def count_decisions(self) -> list[tuple[str, str, int]]:
        """Return (outcome, policy, count) over all decisions."""

    def count_queue(self) -> int:
        """Return how many open episodes await a decision."""


class OptimizerMetrics:
    """What happens in this process: deliveries, their duration, reloads."""

    def __init__(self, store: Counts, *, last_tick_at: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(StoreCollector(store, last_tick_at=last_tick_at))
        self.alerts = CounterMetric(
            "perfloop_optimizer_alerts_received",
            "Alerts delivered by Alertmanager, by what became of them.",
            ["result"],
            registry=self.registry,
        )
        self.truncated = CounterMetric(
            "perfloop_optimizer_alerts_truncated",
            "Alerts that Alertmanager cut off because of max_alerts; perfloop never saw them.",
            registry=self.registry,
        )
        self.refused = CounterMetric(
            "perfloop_optimizer_deliveries_refused",
            "Webhook deliveries that were not stored, by HTTP status.",
            ["status"],
            registry=self.registry,
        )
        self.delivery_seconds = Histogram(
            "perfloop_optimizer_delivery_duration_seconds",
            "Time from a delivery's arrival until it was stored.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.reload_ok = Gauge(
            "perfloop_optimizer_config_last_reload_successful",
            "Whether the last attempt to reload perfloop.yml succeeded.",
            registry=self.registry,
        )
        self.reload_at = Gauge(
            "perfloop_optimizer_config_last_reload_success_timestamp_seconds",
            "When perfloop.yml was last loaded with success.",
            registry=self.registry,
        )
        for result in ("opened", "repeated", "resolved", "late"):
            self.alerts.labels(result)


class StoreCollector:
    """Counts what stands in the store at each scrape."""

    def __init__(self, store: Counts, *, last_tick_at: Callable[[], float]) -> None:
        self._store, self._last_tick_at = store, last_tick_at

    def collect(self) -> Iterable[Metric]:
        """Return the families anew, so that nothing stale survives."""
        executions = self._store.executions()
        yield InfoMetricFamily("perfloop_optimizer_build", "Version of the optimizer.", {"version": __version__})
        yield self._decisions()
        yield _states(executions)
        yield _verdicts(executions)
        yield _rollbacks(executions)
        yield _effects(executions)
        yield _changed(executions)
        yield _durations(executions)
        yield GaugeMetricFamily(
            "perfloop_optimizer_queue_length", "Open episodes that await a decision.", self._store.count_queue()
        )
        yield GaugeMetricFamily(
            "perfloop_optimizer_paused", "Whether acting is paused by hand.", float(self._store.paused() is not None)
        )
        yield self._last_success(executions)

    def _decisions(self) -> Metric:
        family = CounterMetricFamily(
            "perfloop_optimizer_decisions", "Decisions by outcome and policy.", labels=["outcome", "policy"]
        )
        for outcome, policy, count in self._store.count_decisions():
            family.add_metric([outcome, policy], count)
        return family

    def _last_success(self, executions: list[Execution]) -> Metric:
        family = GaugeMetricFamily(
            "perfloop_optimizer_last_success_timestamp_seconds",
            "When the controller last finished a round, applied a change, and reached a verdict.",
            labels=["what"],
        )
        family.add_metric(["tick"], self._last_tick_at())
        family.add_metric(["apply"], max((e.executed_at or 0.0 for e in executions), default=0.0))
        judged = (e.ended_at or 0.0 for e in executions if e.evaluation is not None)
        family.add_metric(["verdict"], max(judged, default=0.0))
        return family


def _states(executions: list[Execution]) -> Metric:
    family = GaugeMetricFamily("perfloop_optimizer_executions", "Executions by state.", labels=["state"])
    counts = Counter(execution.state for execution in executions)
    for state in State:
        family.add_metric([state], counts[state])
    return family


def _verdicts(executions: list[Execution]) -> Metric:
    family = CounterMetricFamily(
        "perfloop_optimizer_verdicts",
        "Verdicts of the evaluator, with the grade of what they say about causes (D: before/after only).",
        labels=["policy", "executor", "verdict", "grade"],
    )
    counts = Counter(
        (e.policy.name, e.action.executor, e.evaluation.verdict.value, e.evaluation.grade.value)
        for e in executions
        if e.evaluation is not None and e.state.final
    )
    for labels, count in sorted(counts.items()):
        family.add_metric(labels, count)
    return family


def _rollbacks(executions: list[Execution]) -> Metric:
    family = CounterMetricFamily("perfloop_optimizer_rollbacks", "Changes that were undone.", labels=["policy"])
    for policy, count in sorted(Counter(e.policy.name for e in executions if e.state is State.ROLLED_BACK).items()):
        family.add_metric([policy], count)
    return family


def _effects(executions: list[Execution]) -> Metric:
    family = GaugeMetricFamily(
        "perfloop_optimizer_effect_ratio",
        "Effect that was measured last, as a share of the value before; positive is better.",
        labels=["policy", "component"],
    )
    for (policy, component), execution in _latest(executions).items():
        if execution.evaluation is not None and execution.evaluation.effect is not None:
            family.add_metric([policy, component], execution.evaluation.effect.ratio)
    return family


def _changed(executions: list[Execution]) -> Metric:
    family = GaugeMetricFamily(
        "perfloop_optimizer_execution_changed_timestamp_seconds",
        "When a change of this policy was last in force at the component.",
        labels=["policy", "component"],
    )
    for (policy, component), execution in _latest(executions).items():
        if execution.executed_at is not None:
            family.add_metric([policy, component], execution.executed_at)
    return family


def _durations(executions: list[Execution]) -> Metric:
    family = GaugeMetricFamily(
        "perfloop_optimizer_execution_duration_seconds",
        "Time from the decision to the end of the last execution.",
        labels=["policy", "component"],
    )
    for (policy, component), execution in _latest(executions).items():
        if execution.ended_at is not None:
            family.add_metric([policy, component], execution.ended_at - execution.created_at)
    return family


def _latest(executions: list[Execution]) -> dict[tuple[str, str], Execution]:
    """Return the newest execution of each policy and component that got as far as a change."""
    latest: dict[tuple[str, str], Execution] = {}
    for execution in executions:
        if execution.executed_at is not None:
            latest.setdefault((execution.policy.name, execution.action.component), execution)
    return latest
