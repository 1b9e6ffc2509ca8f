"""Mistakes in alert_rules: names that are taken, metrics that do not exist, pasts that nobody remembers."""

from __future__ import annotations

from collections.abc import Mapping

from perfloop.config.names import check_known
from perfloop.config.reader import Document
from perfloop.config.rules import alert_rule, service_levels
from perfloop.config.schema import AlertRule, Config
from perfloop.config.schema.alerting import ChangeDirection, Condition
from perfloop.model import CatalogueMetric
from perfloop.rules import alert_rules, shipped
from perfloop.rules.thresholds import alert_name

# The kinds of conditions: as perfloop.yml calls them, and the word of it that says how far back it looks.
_KINDS = {
    "threshold": ("Threshold", ""),
    "percent_change": ("PercentChange", "baseline_hours"),
    "statistical": ("Statistical", "window_hours"),
}


def check_alert_rules(document: Document, config: Config, metrics: Mapping[str, CatalogueMetric]) -> None:
    """Report every mistake in alert_rules to the document."""
    _check_names(document, config)
    for i, section in enumerate(config.alert_rules):
        path = f"alert_rules[{i}].condition"
        given = [kind for kind in _KINDS if getattr(section.condition, kind) is not None]
        if len(given) != 1:
            names = ", ".join(name for name, _ in _KINDS.values())
            document.report(path, f"expected exactly one of {names}, got {len(given) or 'none'}")
            continue
        name, back = _KINDS[given[0]]
        metric = getattr(section.condition, given[0]).metric
        check_known(document, f"{path}.{name}.metric", metric, metrics, "metric")
        _check_past(document, f"{path}.{name}.{back}", config, section)
        _check_fall(document, f"{path}.{name}.change_percent", section.condition)


def _check_past(document: Document, path: str, config: Config, section: AlertRule) -> None:
    collection = config.performance_collection
    past = alert_rules.past_seconds(alert_rule(config, section), interval_seconds=collection.collection_interval)
    if past > collection.retention_period:
        kept = f"performance_collection.retention_period, {collection.retention_period}"
        document.report(path, f"the alert looks back over {past} seconds, which is longer than {kept}")


def _check_fall(document: Document, path: str, condition: Condition) -> None:
    changed = condition.percent_change
    if changed is not None and changed.direction is ChangeDirection.DECREASE and changed.change_percent >= 100:
        document.report(path, f"expected less than 100, as nothing falls by more, got {changed.change_percent:g}")


def _check_names(document: Document, config: Config) -> None:
    """Report alerts, and values of the label `rule`, that are there already: policies and silences go by both."""
    names, rules = _taken(config)
    own: dict[str, int] = {}
    for i, section in enumerate(config.alert_rules):
        path, name = f"alert_rules[{i}].name", alert_rules.alert_name(section.name)
        if not name:
            document.report(path, f"expected a name with a letter or a digit, got {section.name!r}")
        elif name in own:
            document.report(path, f"the alert would be called {name}, as that of alert_rules[{own[name]}] is")
        elif name in names:
            document.report(path, f"the alert would be called {name}, as {names[name]} is")
        elif section.name in rules:
            document.report(path, f"{section.name} is the label `rule` of {rules[section.name]} already")
        own.setdefault(name, i)


def _taken(config: Config) -> tuple[dict[str, str], dict[str, str]]:
    """Return the names of alerts that are there, each with what it is, and what has which label `rule`."""
    names, rules = {}, {}
    for entries in shipped.shipped().values():
        for name, entry in entries.items():
            if name not in config.alerts.disable:
                names[name] = "a shipped alert"
                rules[entry.rule] = name
    for metric, threshold in config.performance_collection.alert_thresholds.items():
        name = alert_name(metric, threshold.operator)
        names[name] = f"that of performance_collection.alert_thresholds.{metric}"
        rules[metric] = name
    for level in service_levels(config):
        names[level.alert] = f"that of slos.{level.name}"
        rules[level.name] = level.alert
    return names, rules
