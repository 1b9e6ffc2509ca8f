"""The page of each alert: what it means, why this threshold, what to do, which policy can act, how to silence it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec
import yaml

from perfloop.rules.promql import duration
from perfloop.rules.shipped import Explanation, ShippedAlert, shipped
from perfloop.rules.slo import PAGE as BURN
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
    lines += [
        "",
        "## Service levels",
        "",
        f"[{BURN}]({BURN}.md) is the page of those of all service levels.",
    ]
    found[f"{BURN}.md"] = _page(BURN, _BURN_SUMMARY, _BURN, facts=[_BURN_NAME], named=f"Checkout{BURN}")
    return {"README.md": "\n".join(lines) + "\n", **found}


_BURN_SUMMARY = "A service level uses its error budget up too fast."
_BURN_NAME = "The name begins with that of the service level: `checkout` has `CheckoutErrorBudgetBurn`."
_BURN = Explanation(
    meaning=(
        "More goes wrong than the service level allows. The budget is what may go wrong over its whole window; at a"
        " burn rate of 1 it lasts exactly that long. `slo:error_budget_remaining:ratio` says what is left of it."
    ),
    threshold=(
        "Critical: burn rates above 14.4 over an hour (a fiftieth of the budget of 30 days) or above 6 over six hours"
        " (a twentieth). Warning: above 3 over a day or above 1 over three days (a tenth each). A shorter window, of 5"
        " and 30 minutes, 2 and 6 hours, must be above the same rate, so that the alert ends soon after the errors do."
    ),
    actions=(
        "Look at `slo:error_ratio:rate5m` and `slo:error_ratio:rate1h`: does it go on, and since when?",
        "Ask what was changed then. Undo it first, and understand it afterwards.",
        "If it is only a warning, plan the repair before the budget is gone.",
        "If nobody was harmed, the objective is stricter than the users are: change it.",
    ),
    policy="One whose objective measures the same errors, as `error_rate` does for HTTP probes.",
)


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


def _page(name: str, summary: str, text: Explanation, *, facts: list[str], named: str = "") -> str:
    actions = "\n".join(f"{i}. {action}" for i, action in enumerate(text.actions, 1))
    parts = [
        f"# {name}",
        summary,
        *facts,
        f"## What it means\n\n{text.meaning}",
        f"## Why this threshold\n\n{text.threshold}",
        f"## What to do\n\n{actions}",
        f"## Which policy can act\n\n{text.policy}",
        f"## How to silence it\n\n{_silence(named or name)}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _silence(name: str) -> str:
    return (
        f"For a while: `perfloop alerts ack {name} --for 2h --comment WHY`. For good:"
        " [how-to.md](../how-to.md#turn-one-alert-off)."
    )
