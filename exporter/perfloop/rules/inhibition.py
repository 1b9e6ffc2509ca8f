"""Which alerts mute which: critical mutes warning of the same thing, a dead exporter mutes what it measured."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from perfloop.rules.groups import Group, Notice, Rule

# Labels of what is measured. One that is missing on both sides counts as equal, so that there can be too few of them,
# and then a critical alert of one thing mutes the warning of another; but never too many.
THINGS = (
    *("address", "application", "benchmark", "channel", "code", "collector", "command", "component", "cpu"),
    *("database", "db", "device", "event", "file", "fstype", "group", "handler", "host", "instance", "ip", "job"),
    *("kind", "method", "mode", "mountpoint", "name", "operation", "os", "outcome", "path", "phase", "policy", "port"),
    *("query", "queue", "reason", "replica", "resource", "result", "role", "route", "schema", "slot", "source"),
    *("state", "status", "table", "target", "tool", "user", "variant", "version", "what"),
)

_DEAD, _INHIBITOR, _ALWAYS = "ExporterDown", "ExporterDownInhibitor", "Watchdog"
# by (queue), on (queue), group_left (queue); {queue="a"}; label_replace(..., "queue", ...)
_LABEL_LISTS = re.compile(r"\b(?:by|on|group_left|group_right)\s*\(([^()]*)\)")
_LABEL_MATCHED = re.compile(r"([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)\s*[\"'`]")
_LABEL_MADE = re.compile(r"[(,]\s*\"([a-zA-Z_]\w*)\"")
_NOT_A_THING = {"__name__", "alertname", "le", "rule", "severity"}


def with_inhibitor(groups: Iterable[Group]) -> tuple[Group, ...]:
    """Return the groups with a twin beside ExporterDown, if that stays after the exporter is back.

    People are told of a dead exporter once in a cooldown, so the alert is kept firing for that long. Were it the one
    that mutes, a host that was away for two minutes would be mute for an hour: the twin ends at once, and is told to
    nobody but the optimizer.
    """
    return tuple(replace(group, rules=tuple(_twins(group.rules))) for group in groups)


def inhibit_rules(alerts: Sequence[Rule], expressions: Iterable[str]) -> list[dict[str, Any]]:
    """Return Alertmanager's inhibit_rules; `expressions` are those of the series that the alerts are on."""
    named = labels_of((*expressions, *(rule.expr for rule in alerts)))
    critical = {
        "source_matchers": ['severity="critical"'],
        "target_matchers": ['severity="warning"'],
        "equal": ["rule", *sorted({*THINGS, *named})],
    }
    names = {rule.alert for rule in alerts}
    source = next((name for name in (_INHIBITOR, _DEAD) if name in names), None)
    if source is None:
        return [critical]
    dead = {
        "source_matchers": [f'alertname="{source}"', 'instance!=""'],
        # Only what perfloop compiled: what else is said of the target is somebody else's to mute.
        "target_matchers": ['rule!=""', 'instance!=""', f'alertname!~"{_DEAD}|{_INHIBITOR}|{_ALWAYS}"'],
        # Its target, not its host: where instances are called by their hosts, others on it are well.
        "equal": ["instance", "job"],
    }
    return [critical, dead]


def labels_of(expressions: Iterable[str]) -> frozenset[str]:
    """Return the labels that PromQL names: where it groups, joins, selects, or makes them."""
    text = "\n".join(expressions)
    listed = (name.strip() for names in _LABEL_LISTS.findall(text) for name in names.split(","))
    found = {*filter(None, listed), *_LABEL_MATCHED.findall(text), *_LABEL_MADE.findall(text)}
    return frozenset(found - _NOT_A_THING)


def _twins(rules: Iterable[Rule]) -> Iterable[Rule]:
    for rule in rules:
        yield rule
        if rule.alert == _DEAD and rule.keep_firing_for_seconds:
            yield replace(
                rule,
                alert=_INHIBITOR,
                keep_firing_for_seconds=0,
                labels=_labels(rule.labels),
                annotations={
                    **rule.annotations,
                    "summary": "This alert mutes those on what an exporter measured that does not answer.",
                    "description": "The exporter at {{ $labels.instance }} does not answer; nothing is told meanwhile"
                    " of what it measured before.",
                },
                notice=Notice(),
            )


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    return {**labels, "severity": "none", "rule": f"{labels['rule']}_inhibitor"}
