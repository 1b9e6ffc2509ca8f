"""The page of each alert: what it means, why this threshold, what to do, which policy can act, how to silence it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec
import yaml

from perfloop.rules.promql import duration
from perfloop.rules.shipped import Explanation, ShippedAlert, shipped
from perfloop.rules.thresholds import documented

_YOURS = "Yours, in `performance_collection.alert_thresholds` of perfloop.yml; `duration` says how long it must last."


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    meaning: str
    actions: tuple[str, ...]
    threshold: str = _YOURS
    policy: str = "One with this metric as its objective, if an executor can move it; none is shipped."


@cache
def explanations() -> dict[str, Explanation]:
    """Return what is to be said of the alerts from thresholds, by metric."""
    content = yaml.safe_load((Path(__file__).parent / "explanations.yml").read_text(encoding="utf-8"))
    entries = msgspec.convert(content, dict[str, _Entry])
    return {
        metric: Explanation(
            meaning=entry.meaning, threshold=entry.threshold, actions=entry.actions, policy=entry.policy
        )
        for metric, entry in entries.items()
    }


def pages() -> dict[str, str]:
    """Return the text of each page by its file name, and of README.md, which lists them."""
    listed = {subject: dict(entries) for subject, entries in shipped().items()}
    found = {
        f"{name}.md": _page(name, entry.summary, entry.explanation, facts=_facts(entry))
        for entries in listed.values()
        for name, entry in entries.items()
    }
    metrics = documented()
    for name, metric in metrics.items():
        facts = [f"`{metric.series}`, in {metric.unit}: {metric.help}"]
        found[f"{name}.md"] = _page(name, "", explanations()[metric.name], facts=facts)
    lines = ["# Alerts", "", *_INTRODUCTION]
    for subject, entries in listed.items():
        lines += ["", f"## {subject}", "", "| alert | severity | what it says |", "| --- | --- | --- |"]
        lines += [
            f"| [{name}]({name}.md) | {_severities(entry)} | {entry.summary} |" for name, entry in entries.items()
        ]
    lines += ["", "## Thresholds", "", "| alert | metric | of |", "| --- | --- | --- |"]
    lines += [f"| [{name}]({name}.md) | `{metric.name}` | {metric.help} |" for name, metric in metrics.items()]
    return {"README.md": "\n".join(lines) + "\n", **found}


_INTRODUCTION = (
    "The link `runbook_url` of every alert leads to its page here. Those under *Thresholds* exist for the thresholds",
    "in your perfloop.yml; all others are shipped, and `alerts.disable` and `alerts.override` turn them off or change",
    "them. A threshold on a metric of your own, or with another operator, has no page (`queue_length` and `LessThan`:",
    "`QueueLengthLow`), and none of your `alert_rules` has; the description says the metric, the value and the limit.",
    "",
    "Each alert carries `severity` (`critical` mutes `warning` of the same thing), `rule` (what policies match) and,",
    "where it is about a component, `component`. What the optimizer made of it: `perfloop actions list --decisions`.",
)


def _facts(entry: ShippedAlert) -> list[str]:
    lasting = f", for {duration(entry.for_seconds)}" if entry.for_seconds else ""
    if entry.for_intervals:
        lasting += f" and at least {entry.for_intervals} collection intervals"
    marked = [f"`$threshold` is {threshold} for {severity}" for severity, threshold in entry.levels if threshold != ""]
    facts = "; ".join([f"Severity {_severities(entry)}{lasting}", f"`rule` is `{entry.rule}`", *marked])
    return [f"{facts}.", f"```promql\n{entry.expr.strip()}\n```"]


def _severities(entry: ShippedAlert) -> str:
    return " and ".join(severity for severity, _ in entry.levels)


def _page(name: str, summary: str, text: Explanation, *, facts: list[str]) -> str:
    actions = "\n".join(f"{i}. {action}" for i, action in enumerate(text.actions, 1))
    parts = [
        f"# {name}",
        summary,
        *facts,
        f"## What it means\n\n{text.meaning}",
        f"## Why this threshold\n\n{text.threshold}",
        f"## What to do\n\n{actions}",
        f"## Which policy can act\n\n{text.policy}",
        f"## How to silence it\n\n{_silence(name)}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _silence(name: str) -> str:
    return (
        f"For a while: `perfloop alerts ack {name} --for 2h --comment WHY`. For good:"
        " [how-to.md](../how-to.md#turn-one-alert-off)."
    )
