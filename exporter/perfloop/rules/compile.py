"""Everything that perfloop.yml becomes: file names and their text, as a pure function of its values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from perfloop import __version__
from perfloop.model import CatalogueMetric
from perfloop.rules import alert_rules, slo
from perfloop.rules.aggregation import Aggregation, compile_aggregation
from perfloop.rules.alert_rules import BASELINE_INTERVAL_SECONDS, AlertRule
from perfloop.rules.alertmanager import compile_alertmanager
from perfloop.rules.analysis import analysis_groups
from perfloop.rules.catalogue import recorded_expression, without_nan
from perfloop.rules.channels import Channel
from perfloop.rules.groups import Group, Notice, Rule, render
from perfloop.rules.inhibition import with_inhibitor
from perfloop.rules.links import Links
from perfloop.rules.prometheus import compile_prometheus, reachable, retention_flag
from perfloop.rules.shipped import Change, shipped_groups
from perfloop.rules.slo import ServiceLevel
from perfloop.rules.targets import Targets
from perfloop.rules.thresholds import Threshold, compile_threshold

RECORDING_FILE = "rules/perfloop-recording.yml"
ALERTS_FILE = "rules/perfloop-alerts.yml"
ALERTMANAGER_FILE = "alertmanager.yml"
PROMETHEUS_FILE = "prometheus.yml"
FLAGS_FILE = "prometheus.flags"


class RuleInputs(msgspec.Struct, frozen=True, kw_only=True):
    """What the compiler needs of perfloop.yml. `own_metrics` are the catalogue names that the user added or replaced.

    `credentials_file` is the webhook's token as Alertmanager will find it: absolute, or relative to alertmanager.yml.
    `group_by` are the labels by which alerts share a notification to people.
    """

    source: str
    catalogue: Mapping[str, CatalogueMetric]
    own_metrics: frozenset[str]
    thresholds: tuple[Threshold, ...]
    aggregations: tuple[Aggregation, ...]
    alert_rules: tuple[AlertRule, ...] = ()
    service_levels: tuple[ServiceLevel, ...] = ()
    channels: Mapping[str, Channel] = msgspec.field(default_factory=dict)
    disabled: frozenset[str] = frozenset()
    changes: Mapping[str, Change] = msgspec.field(default_factory=dict)
    notice: Notice = Notice()
    group_by: tuple[str, ...] = ("alertname", "severity")
    targets: Targets = Targets()
    links: Links = Links()
    interval_seconds: int
    rate_range_seconds: int
    retention_seconds: int
    exporters: tuple[str, ...]
    optimizer: str
    prometheus_url: str
    alertmanager_url: str
    credentials_file: str

    @property
    def digest(self) -> str:
        """A short hash of all values: the same input gives the same files."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()[:12]


def compile_rules(inputs: RuleInputs) -> dict[str, str]:
    """Return the text of every file by its name relative to the output folder. Raises ConfigInvalid."""
    header = header_of(inputs.source, inputs.digest)
    alerts = alert_groups(inputs)
    prometheus = compile_prometheus(
        interval_seconds=inputs.interval_seconds,
        exporters=inputs.exporters,
        optimizer=inputs.optimizer,
        prometheus_url=inputs.prometheus_url,
        alertmanager_url=inputs.alertmanager_url,
        rule_files=(RECORDING_FILE, ALERTS_FILE),
        retention_seconds=inputs.retention_seconds if inputs.targets.retention_in_file else None,
    )
    flag = retention_flag(inputs.retention_seconds)
    by_flag = {
        PROMETHEUS_FILE: f"{header}# start Prometheus with {flag} (see {FLAGS_FILE})\n{prometheus}",
        FLAGS_FILE: f"{header}{flag}\n",
    }
    return {
        **({PROMETHEUS_FILE: header + prometheus} if inputs.targets.retention_in_file else by_flag),
        ALERTMANAGER_FILE: header + alertmanager(inputs, alerts),
        RECORDING_FILE: header + render(recording_groups(inputs)),
        ALERTS_FILE: header + render(alerts),
    }


def header_of(source: str, digest: str) -> str:
    """Return the first lines of every compiled file; `write` knows its own files by them."""
    return f"# compiled from {source} by perfloop {__version__}; do not edit\n# input sha256 {digest}\n"


def recording_groups(inputs: RuleInputs) -> tuple[Group, ...]:
    """Return the catalogue's recorded series, and the aggregations over time."""
    catalogue = tuple(_recorded(inputs, metric) for metric in inputs.catalogue.values())
    aggregations = tuple(
        rule
        for i, entry in enumerate(inputs.aggregations)
        for rule in compile_aggregation(
            entry,
            inputs.catalogue,
            interval_seconds=inputs.interval_seconds,
            rate_range_seconds=inputs.rate_range_seconds,
            path=f"aggregation_rules[{i}]",
        )
    )
    interval_seconds = inputs.interval_seconds
    return (
        Group(name="perfloop-catalogue", interval_seconds=interval_seconds, rules=catalogue),
        Group(name="perfloop-aggregations", interval_seconds=interval_seconds, rules=aggregations),
        Group(name="perfloop-baselines", interval_seconds=BASELINE_INTERVAL_SECONDS, rules=_baselines(inputs)),
        *slo.recording_groups(inputs.service_levels, interval_seconds=interval_seconds),
        *analysis_groups(
            inputs.catalogue,
            own=inputs.own_metrics,
            interval_seconds=interval_seconds,
            retention_seconds=inputs.retention_seconds,
        ),
    )


def alert_groups(inputs: RuleInputs) -> tuple[Group, ...]:
    """Return the alerts of the thresholds, the user's own, those of service levels, and the shipped ones."""
    interval_seconds = inputs.interval_seconds
    thresholds = tuple(
        rule
        for threshold in inputs.thresholds
        for rule in compile_threshold(
            threshold,
            inputs.catalogue[threshold.metric],
            links=inputs.links,
            path=f"performance_collection.alert_thresholds.{threshold.metric}",
        )
    )
    own = tuple(
        rule
        for each in inputs.alert_rules
        for rule in alert_rules.alerts(
            each, inputs.catalogue[each.metric], interval_seconds=interval_seconds, links=inputs.links
        )
    )
    levels = tuple(rule for each in inputs.service_levels for rule in slo.alerts(each, links=inputs.links))
    groups = (
        Group(name="perfloop-thresholds", interval_seconds=interval_seconds, rules=thresholds),
        Group(name="perfloop-alert-rules", interval_seconds=interval_seconds, rules=own),
        Group(name="perfloop-service-levels", interval_seconds=interval_seconds, rules=levels),
        *shipped_groups(
            inputs.changes,
            disabled=inputs.disabled,
            notice=inputs.notice,
            links=inputs.links,
            interval_seconds=interval_seconds,
            range_seconds=inputs.rate_range_seconds,
        ),
    )
    return with_inhibitor(groups)


def alertmanager(inputs: RuleInputs, groups: tuple[Group, ...]) -> str:
    """Return alertmanager.yml without its header. Raises ConfigInvalid."""
    levels = (text for level in inputs.service_levels for text in (level.errors, level.total))
    return compile_alertmanager(
        webhook_url=f"http://{reachable(inputs.optimizer)}/api/v1/alerts",
        credentials_file=inputs.credentials_file,
        interval_seconds=inputs.interval_seconds,
        alerts=[rule for group in groups for rule in group.rules],
        channels=inputs.channels,
        group_by=inputs.group_by,
        expressions=(*(metric.expr for metric in inputs.catalogue.values()), *levels),
        targets=inputs.targets,
    )


def _baselines(inputs: RuleInputs) -> tuple[Rule, ...]:
    """Return what alerts compare with; several may compare with the same."""
    found = {
        rule.record: rule
        for each in reversed(inputs.alert_rules)
        for rule in alert_rules.recordings(
            each, inputs.catalogue[each.metric], interval_seconds=inputs.interval_seconds
        )
    }
    return tuple(found[name] for name in sorted(found))


def _recorded(inputs: RuleInputs, metric: CatalogueMetric) -> Rule:
    expr = recorded_expression(metric, range_seconds=inputs.rate_range_seconds)
    if metric.name not in inputs.own_metrics:
        return Rule(record=metric.series, expr=expr)
    return Rule(record=metric.series, expr=without_nan(expr), source=f"metrics.{metric.name}")
