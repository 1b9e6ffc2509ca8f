"""The optimizer's own metrics, counted from the store, so that a restart forgets nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client import Counter as CounterMetric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from perfloop import __version__
from perfloop.model import LatestEffect, State
from perfloop.protocols import Store

NOTIFICATION_FAILURES = ("rejected", "throttled", "unauthorized", "unavailable")
_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


class OptimizerMetrics:
    """What happens in this process: deliveries, their duration, reloads."""

    def __init__(self, store: Store, *, last_tick_at: Callable[[], float]) -> None:
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
        self.notifications = CounterMetric(
            "perfloop_optimizer_notifications",
            "Notifications that Alertmanager handed over for a channel, those that failed among them.",
            ["channel"],
            registry=self.registry,
        )
        self.notifications_failed = CounterMetric(
            "perfloop_optimizer_notifications_failed",
            "Notifications that did not reach their channel; Alertmanager sends them again.",
            ["channel", "reason"],
            registry=self.registry,
        )
        for result in ("opened", "repeated", "resolved", "late"):
            self.alerts.labels(result)

    def expect_notifications(self, channel: str) -> None:
        """Count the failures of a channel from zero, so that the first one is an increase."""
        self.notifications.labels(channel)
        for reason in NOTIFICATION_FAILURES:
            self.notifications_failed.labels(channel, reason)


class StoreCollector:
    """Counts what stands in the store at each scrape."""

    def __init__(self, store: Store, *, last_tick_at: Callable[[], float]) -> None:
        self._store, self._last_tick_at = store, last_tick_at

    def collect(self) -> Iterable[Metric]:
        """Return the families anew, so that nothing stale survives."""
        counts = self._store.counts()
        yield InfoMetricFamily("perfloop_optimizer_build", "Version of the optimizer.", {"version": __version__})
        yield _counter(
            "perfloop_optimizer_decisions", "Decisions by outcome and policy.", ["outcome", "policy"], counts.decisions
        )
        yield _gauge(
            "perfloop_optimizer_executions",
            "Executions by state.",
            ["state"],
            {(state,): counts.states.get(state, 0) for state in State},
        )
        yield _counter(
            "perfloop_optimizer_verdicts",
            "Verdicts of the evaluator, with the grade of what they say about causes (D: before/after only).",
            ["policy", "executor", "verdict", "grade"],
            counts.verdicts,
        )
        yield _counter(
            "perfloop_optimizer_rollbacks",
            "Changes that were undone.",
            ["policy"],
            {(policy,): count for policy, count in counts.rollbacks.items()},
        )
        yield _gauge(
            "perfloop_optimizer_locked_executions",
            "Changes that could not be undone; their component is left alone until a person releases it.",
            ["component"],
            {(component,): count for component, count in counts.locked.items()},
        )
        yield from _latest(counts.latest)
        yield GaugeMetricFamily("perfloop_optimizer_queue_length", "Open episodes that await a decision.", counts.queue)
        yield GaugeMetricFamily(
            "perfloop_optimizer_paused", "Whether acting is paused by hand.", float(self._store.paused() is not None)
        )
        yield _gauge(
            "perfloop_optimizer_last_success_timestamp_seconds",
            "When the controller last finished a round, applied a change, and reached a verdict.",
            ["what"],
            {
                ("tick",): self._last_tick_at(),
                ("apply",): max((effect.executed_at for effect in counts.latest), default=0.0),
                ("verdict",): counts.last_verdict_at or 0.0,
            },
        )


def _latest(effects: Sequence[LatestEffect]) -> Iterator[Metric]:
    names = ["policy", "component"]
    yield _gauge(
        "perfloop_optimizer_effect_ratio",
        "Effect that was measured last, as a share of the value before; positive is better.",
        names,
        {(e.policy, e.component): e.ratio for e in effects if e.ratio is not None},
    )
    yield _gauge(
        "perfloop_optimizer_execution_changed_timestamp_seconds",
        "When a change of this policy was last read back at the component.",
        names,
        {(e.policy, e.component): e.executed_at for e in effects},
    )
    yield _gauge(
        "perfloop_optimizer_execution_duration_seconds",
        "Time from the decision to the end of the last execution.",
        names,
        {(e.policy, e.component): e.duration_seconds for e in effects if e.duration_seconds is not None},
    )


def _counter(name: str, text: str, labels: list[str], values: Mapping[tuple[str, ...], float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(key, value)
    return family


def _gauge(name: str, text: str, labels: list[str], values: Mapping[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(key, value)
    return family
