"""Writes the tables of all metrics from their own declarations: generate_metrics.py FILE."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from perfloop.app.probe import FAMILIES as PROBE_FAMILIES
from perfloop.collectors import COLLECTORS, collector
from perfloop.collectors.guard import FAMILIES
from perfloop.instrument.meter import Metrics
from perfloop.model import (
    Action,
    Alert,
    AlertStatus,
    Decision,
    Direction,
    Effect,
    Evaluation,
    Execution,
    Family,
    Limits,
    MetricType,
    Mode,
    Objective,
    Outcome,
    Phase,
    Policy,
    State,
    Timing,
    Verdict,
)
from perfloop.rules.catalogue import shipped
from perfloop.stores import SqlStore
from perfloop.web.metrics import OptimizerMetrics

INTRODUCTION = """\
# Metrics

<!-- Generated from the declarations in the code by scripts/generate_metrics.py; do not edit. -->

What a source does not say has no sample: absent is never zero.

## Catalogue

The names that thresholds, aggregations, objectives, guards and boards use. Prometheus records each as `perfloop:NAME`;
the PromQL behind it is in [catalogue.yml](../rules/catalogue.yml). A metric of your own is one more entry, under
[metrics](configuration.md#metricsname) in perfloop.yml.

| metric | unit | better | meaning |
|---|---|---|---|
"""
EXPORTER = """\
## Exporter

Everything `perfloop exporter` can show. Every metric of a target has the label `component`, the name under which
perfloop.yml knows it. An info metric is a gauge that is always 1. A number like `1200e-3` is the source's own (1200 ms)
in seconds, without a detour through arithmetic.
"""
INSTRUMENTATION = """\
## Instrumentation

What a Python application with the [middleware](instrumentation.md) says of itself, on its own page.
"""
OPTIMIZER = """\
## Optimizer

What `perfloop optimizer` says of its own work. What stands in its store is counted from there, so that a restart
forgets nothing; deliveries and reloads are counted from the start of the process.
"""


def page() -> str:
    """Return the document."""
    collectors = [_section(name, collector(name).families) for name in COLLECTORS]
    collectors += [_section("about collectors", FAMILIES), _section("on /probe", PROBE_FAMILIES)]
    own = [INSTRUMENTATION, _table(_instrumentation()), OPTIMIZER, _table(_optimizer())]
    return "\n".join([INTRODUCTION + _catalogue(), EXPORTER, *collectors, *own])


def _catalogue() -> str:
    rows = [f"| `{m.name}` | {m.unit} | {m.direction} | {m.help} |" for m in shipped().values()]
    return "\n".join([*rows, ""])


def _section(name: str, families: Iterable[Family]) -> str:
    return "\n".join([f"### {name}", "", _table(families)])


def _table(families: Iterable[Family]) -> str:
    rows = [f"| `{f.name}` | {f.type} | {_labels(f)} | {f.help} |" for f in families]
    return "\n".join(["| metric | type | labels | meaning |", "|---|---|---|---|", *rows, ""])


def _labels(family: Family) -> str:
    return " ".join(f"`{label}`" for label in family.labels)


def _optimizer() -> list[Family]:
    """Return the optimizer's families as its page shows them once every one has a sample."""
    with tempfile.TemporaryDirectory() as folder:
        store = SqlStore(Path(folder) / "perfloop.db")
        _remember(store)
        metrics = OptimizerMetrics(store, last_tick_at=lambda: 0.0)
        metrics.refused.labels("503")
        metrics.expect_notifications("github")
        text = generate_latest(metrics.registry).decode()
        store.close()
    return _declared(text)


def _instrumentation() -> list[Family]:
    """Return the middleware's families as its page shows them once every one has a sample."""
    registry = CollectorRegistry()
    for metric in vars(Metrics(registry)).values():
        metric.labels(*metric._labelnames)
    return _declared(generate_latest(registry).decode())


def _declared(text: str) -> list[Family]:
    found = {}
    for family in text_string_to_metric_families(text):
        kind, suffix = _TYPES.get(family.type, (None, ""))
        if kind is not None and not family.name.endswith("_created"):
            labels = tuple(label for label in family.samples[0].labels if label != "le")
            info = kind is MetricType.GAUGE and family.name.endswith("_info")
            name = family.name + suffix
            kind = MetricType.INFO if info else kind
            found[name] = Family(name=name, type=kind, help=family.documentation, labels=labels)
    return list(found.values())


_TYPES: Mapping[str, tuple[MetricType, str]] = {
    "counter": (MetricType.COUNTER, "_total"),
    "gauge": (MetricType.GAUGE, ""),
    "histogram": (MetricType.HISTOGRAM, ""),
}


def _remember(store: SqlStore) -> None:
    """Store one action that was kept, so that every family has a sample."""
    labels = {"alertname": "PoolWaitHigh", "component": "pool"}
    alert = Alert(fingerprint="a", status=AlertStatus.FIRING, labels=labels, annotations={}, starts_at=1.0)
    store.receive([alert], now=1.0)
    (episode,) = store.episodes_due(now=1.0)
    policy = Policy(
        name="policy",
        matchers=(),
        executor="database",
        component=None,
        parameters={},
        objective=Objective(metric="pool_wait", direction=Direction.LOWER),
        guards=(),
        mode=Mode.AUTO,
        limits=Limits(),
        timing=Timing(settle_seconds=1.0, sample_seconds=1.0),
    )
    action = Action(id="a", policy=policy.name, executor=policy.executor, component="pool", parameters={})
    execution = Execution(
        id="a",
        episode_id=episode.id,
        action=action,
        policy=policy,
        state=State.ROLLED_BACK,
        phase=Phase.DONE,
        created_at=1.0,
        updated_at=1.0,
        due_at=1.0,
        executed_at=1.0,
        ended_at=1.0,
        evaluation=Evaluation(verdict=Verdict.INEFFECTIVE, reason="", effect=_NO_EFFECT),
        locked=True,
    )
    store.begin(execution)
    store.record_decision(episode, Decision(outcome=Outcome.ACT, policy=policy.name, reason=""), now=1.0, again_at=None)


_NO_EFFECT = Effect(
    metric="pool_wait",
    ratio=0.0,
    lower=0.0,
    upper=0.0,
    before_mean=1.0,
    after_mean=1.0,
    before_samples=1,
    after_samples=1,
    before_effective_samples=1.0,
    after_effective_samples=1.0,
    autocorrelation=0.0,
    alpha=0.05,
)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
