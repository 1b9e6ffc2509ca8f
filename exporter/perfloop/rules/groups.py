"""Rule groups, and the file that Prometheus reads them from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from textwrap import indent
from typing import Any

import yaml
from msgspec import Struct, field

from perfloop.rules.promql import duration


class Notice(Struct, frozen=True, kw_only=True):
    """Who is told of an alert besides the optimizer, by the names of channels, and how often at most."""

    channels: tuple[str, ...] = ()
    cooldown_seconds: int = 0

    @property
    def keep_firing_for_seconds(self) -> int:
        """How long the alert stays after its condition ended, so that one that comes and goes is one notification.

        Nothing where only the optimizer is told: it wants to know at once.
        """
        return self.cooldown_seconds if self.channels else 0


class Rule(Struct, frozen=True, kw_only=True):
    """One rule: it records a series when `record` is set, else it raises `alert`.

    `source` is the path in perfloop.yml that asked for it; it becomes a comment. The path and not the line, so that
    a comment added to perfloop.yml does not touch the compiled files. `notice` becomes a route of Alertmanager.
    """

    expr: str
    record: str = ""
    alert: str = ""
    for_seconds: int = 0
    keep_firing_for_seconds: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    notice: Notice = Notice()


class Group(Struct, frozen=True, kw_only=True):
    """Rules that are evaluated one after the other, every `interval_seconds`; `note` becomes a comment."""

    name: str
    interval_seconds: int
    rules: tuple[Rule, ...]
    note: str = ""


def render(groups: Iterable[Group]) -> str:
    """Return a rule file without its header; a group without rules is left out."""
    filled = [_render_group(group) for group in groups if group.rules]
    return "groups:\n" + "".join(filled) if filled else "groups: []\n"


def as_mapping(groups: Iterable[Group]) -> dict[str, Any]:
    """Return what stands in a rule file, without its comments."""
    return {
        "groups": [
            {
                "name": group.name,
                "interval": duration(group.interval_seconds),
                "rules": [_fields(rule) for rule in group.rules],
            }
            for group in groups
            if group.rules
        ]
    }


def to_yaml(value: Mapping[str, Any]) -> str:
    """Return a mapping as YAML in its own order, one line for each scalar."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1 << 20)


def _render_group(group: Group) -> str:
    note = f"  # {group.note}\n" if group.note else ""
    head = f"{note}  - name: {group.name}\n    interval: {duration(group.interval_seconds)}\n    rules:\n"
    return head + "".join(_render_rule(rule) for rule in group.rules)


def _render_rule(rule: Rule) -> str:
    source = f"      # source: {rule.source}\n" if rule.source else ""
    lines = indent(to_yaml(_fields(rule)), " " * 8)
    return f"{source}      - {lines[8:]}"


def _fields(rule: Rule) -> dict[str, Any]:
    name = {"record": rule.record} if rule.record else {"alert": rule.alert}
    optional = {
        "for": duration(rule.for_seconds) if rule.for_seconds else None,
        "keep_firing_for": duration(rule.keep_firing_for_seconds) if rule.keep_firing_for_seconds else None,
        "labels": dict(rule.labels),
        "annotations": dict(rule.annotations),
    }
    return {**name, "expr": rule.expr, **{key: value for key, value in optional.items() if value}}
