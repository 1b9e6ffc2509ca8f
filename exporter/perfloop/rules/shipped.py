"""Alerts that come with perfloop: the lists in rules/alerts, each explained, less what the user turned off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

from perfloop.rules.groups import Group, Notice, Rule
from perfloop.rules.links import OVERVIEW, Links
from perfloop.rules.prometheus import scrape_timeout_seconds
from perfloop.rules.promql import duration, number

FOLDER = Path(__file__).parent / "alerts"


class Explanation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands on an alert's page, docs/alerts/NAME.md."""

    #: What is wrong when it fires, for somebody who never saw it.
    meaning: str
    #: Why this value, and why it must last so long.
    threshold: str
    #: What to look at and to do, in this order.
    actions: tuple[str, ...]
    #: Which policy of the optimizer can act on it, if one can.
    policy: str = "None of perfloop's executors can mend this."


class ShippedAlert(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry. `$range` in `expr` is the range of rates; `for_intervals` counts collection intervals.

    An alert with two severities has `$threshold` in `expr`: it stands for `threshold` at `severity`, and for `critical`
    at the severity of that name. `$timeout` is how many seconds a scrape may take. `rule` is the word that policies
    match and routes use. `board` is the board that shows it.
    """

    rule: str
    expr: str
    severity: str
    threshold: float | str = ""
    critical: float | str = ""
    summary: str
    description: str
    explanation: Explanation
    for_seconds: int = 0
    for_intervals: int = 0
    board: str = OVERVIEW

    @property
    def levels(self) -> tuple[tuple[str, float | str], ...]:
        """Each severity with what `$threshold` stands for there, the worst first."""
        mild = (self.severity, self.threshold)
        return (mild,) if self.critical == "" else (("critical", self.critical), mild)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What the user wants different of one shipped alert; None leaves it.

    Another severity is that of the whole alert, at its mildest threshold. Another expression without `$threshold`
    has no place for a second severity.
    """

    expr: str | None = None
    severity: str | None = None
    for_seconds: int | None = None
    notice: Notice | None = None


@cache
def shipped() -> Mapping[str, Mapping[str, ShippedAlert]]:
    """Return the shipped alerts by subject (the file's name) and name. Raises msgspec.ValidationError."""
    return {file.stem: _entries(file) for file in sorted(FOLDER.glob("*.yml"))}


def names() -> frozenset[str]:
    """Return the names of all shipped alerts."""
    return frozenset(name for entries in shipped().values() for name in entries)


def quiet() -> frozenset[str]:
    """Return the names of those that people are told of only if an override names the channels: Watchdog."""
    every = (item for entries in shipped().values() for item in entries.items())
    return frozenset(name for name, entry in every if entry.severity == "none")


def shipped_groups(
    changes: Mapping[str, Change],
    *,
    disabled: frozenset[str],
    notice: Notice,
    links: Links,
    interval_seconds: int,
    range_seconds: int,
) -> tuple[Group, ...]:
    """Return a group for each subject, without the alerts that are off."""

    def rules(name: str, entry: ShippedAlert) -> Iterator[Rule]:
        change = changes.get(name, Change())
        usual = Notice() if entry.severity == "none" else notice
        told = usual if change.notice is None else change.notice
        lasting = max(entry.for_intervals * interval_seconds, entry.for_seconds)
        for severity, threshold in _levels(entry, change):
            values = {"range": duration(range_seconds), "timeout": str(scrape_timeout_seconds(interval_seconds))}
            yield Rule(
                alert=name,
                expr=_fill(change.expr or entry.expr, {**values, "threshold": _text(threshold)}),
                for_seconds=lasting if change.for_seconds is None else change.for_seconds,
                keep_firing_for_seconds=told.keep_firing_for_seconds,
                labels={"severity": severity, "rule": entry.rule},
                annotations={
                    "summary": entry.summary,
                    "description": entry.description,
                    **links.annotations(name, board=entry.board),
                },
                source=f"alerts.override.{name}" if name in changes else "",
                notice=told,
            )

    return tuple(
        Group(
            name=f"perfloop-{subject}",
            interval_seconds=interval_seconds,
            rules=tuple(rule for name, entry in entries.items() if name not in disabled for rule in rules(name, entry)),
        )
        for subject, entries in shipped().items()
    )


def _levels(entry: ShippedAlert, change: Change) -> tuple[tuple[str, float | str], ...]:
    mild = (change.severity or entry.severity, entry.threshold)
    both = change.severity is None and "$threshold" in (change.expr or entry.expr)
    return entry.levels if both else (mild,)


def _fill(expression: str, values: Mapping[str, str]) -> str:
    for word, text in values.items():
        expression = expression.replace(f"${word}", text)
    return expression


def _text(threshold: float | str) -> str:
    return threshold if isinstance(threshold, str) else number(threshold)


def _entries(file: Path) -> dict[str, ShippedAlert]:
    content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    return msgspec.convert(content, dict[str, ShippedAlert])
