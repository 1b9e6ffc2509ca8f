"""Alerts about perfloop itself: the shipped list in rules/alerts/meta.yml."""

from __future__ import annotations

from importlib.resources import files

import msgspec
import yaml

from perfloop.rules.groups import Rule
from perfloop.rules.thresholds import runbook_url


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    rule: str
    expr: str
    severity: str
    summary: str
    description: str
    for_intervals: int = 0
    for_seconds: int = 0


def meta_alerts(*, interval_seconds: int) -> tuple[Rule, ...]:
    """Return the shipped alerts; how long they wait follows the collection interval."""
    text = files("perfloop.rules").joinpath("meta.yml").read_text(encoding="utf-8")
    entries = msgspec.convert(yaml.safe_load(text), dict[str, _Entry])
    return tuple(
        Rule(
            alert=name,
            expr=entry.expr,
            for_seconds=max(entry.for_intervals * interval_seconds, entry.for_seconds),
            labels={"severity": entry.severity, "rule": entry.rule},
            annotations={
                "summary": entry.summary,
                "description": entry.description,
                "runbook_url": runbook_url(name),
            },
        )
        for name, entry in entries.items()
    )
