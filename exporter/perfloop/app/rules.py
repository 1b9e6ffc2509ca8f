"""The compiled rules of a configuration to look at, and what can be said of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from perfloop.app.compile import Targets, rule_inputs
from perfloop.config import Config, place
from perfloop.rules.compile import RuleInputs, alert_groups, recording_groups
from perfloop.rules.entries import Entry, entries
from perfloop.rules.explanation import guards, timing
from perfloop.rules.groups import Group
from perfloop.rules.pages import explanations
from perfloop.rules.promql import duration
from perfloop.rules.reading import Recorded, series_read
from perfloop.rules.shipped import Explanation, shipped

# How often alertmanager.yml repeats what still fires, if no cooldown says it: in collection intervals, and at most.
_REPEAT_INTERVALS, _LONGEST_REPEAT_SECONDS = 240, 3600

# Rules are the same for all; channels are not, and some need a newer Alertmanager.
NEWEST = Targets(alertmanager=(0, 99))


class Read(Struct, frozen=True, kw_only=True):
    """A recorded series that a rule reads."""

    name: str
    expr: str
    guards: tuple[str, ...]


class Explained(Struct, frozen=True, kw_only=True):
    """Everything that is to be known of one rule."""

    name: str
    kind: str
    severity: str
    enabled: bool
    group: str
    interval_seconds: int
    expr: str
    guards: tuple[str, ...]
    timing: tuple[str, ...]
    reads: tuple[Read, ...]
    for_seconds: int
    keep_firing_for_seconds: int
    receivers: tuple[str, ...]
    repeats: tuple[str, ...]
    source: str
    runbook_url: str
    meaning: str = ""
    threshold: str = ""
    actions: tuple[str, ...] = ()


def rule_groups(config: Config, *, config_path: Path) -> tuple[Group, ...]:
    """Return all groups that perfloop.yml compiles to."""
    return _groups(rule_inputs(config, config_path=config_path, targets=NEWEST))


def compiled_entries(config: Config, *, config_path: Path) -> tuple[Entry, ...]:
    """Return what perfloop.yml compiles to."""
    return entries(rule_groups(config, config_path=config_path))


def all_entries(config: Config, *, config_path: Path) -> tuple[Entry, ...]:
    """Return what perfloop.yml compiles to, and what it would if nothing were switched off."""
    everything = replace(
        config,
        alerts=replace(config.alerts, disable=()),
        alert_rules=tuple(replace(rule, enabled=True) for rule in config.alert_rules),
    )
    groups = (rule_groups(each, config_path=config_path) for each in (everything, config))
    return entries(next(groups), enabled=next(groups))


def recorded_by(among: Iterable[Entry]) -> dict[str, Recorded]:
    """Return how each recorded series is made, by its name."""
    found: dict[str, Recorded] = {}
    for entry in among:
        if not entry.is_alert:
            before = found[entry.name].exprs if entry.name in found else ()
            found[entry.name] = Recorded(exprs=(*before, entry.rule.expr), interval_seconds=entry.interval_seconds)
    return found


def explain(entry: Entry, among: Sequence[Entry], config: Config, *, config_path: Path) -> Explained:
    """Say what an alert or a recorded series is, why its guards are there, and who is told when."""
    rule = entry.rule
    recorded = recorded_by(among)
    page = _page(entry)
    return Explained(
        name=entry.name,
        kind="alert" if entry.is_alert else "recorded series",
        severity=entry.severity,
        enabled=entry.enabled,
        group=entry.group,
        interval_seconds=entry.interval_seconds,
        expr=rule.expr,
        guards=guards(rule.expr),
        timing=timing(rule) if entry.is_alert else (),
        reads=tuple(
            Read(name=name, expr=expr, guards=guards(expr))
            for name in sorted(series_read(rule.expr) & recorded.keys())
            for expr in recorded[name].exprs
        ),
        for_seconds=rule.for_seconds,
        keep_firing_for_seconds=rule.keep_firing_for_seconds,
        receivers=receivers(entry),
        repeats=_repeats(entry, config),
        source=_source(entry, config_path),
        runbook_url=rule.annotations.get("runbook_url", ""),
        meaning=page.meaning if page else "",
        threshold=page.threshold if page else "",
        actions=page.actions if page else (),
    )


def receivers(entry: Entry) -> tuple[str, ...]:
    """Return who is told of an alert: the optimizer of each, and its channels."""
    return ("optimizer", *entry.rule.notice.channels) if entry.is_alert else ()


def repeat_seconds(config: Config) -> int:
    """Return how often is told of what still fires, where no cooldown says it."""
    return min(_REPEAT_INTERVALS * config.performance_collection.collection_interval, _LONGEST_REPEAT_SECONDS)


def _groups(inputs: RuleInputs) -> tuple[Group, ...]:
    return (*recording_groups(inputs), *alert_groups(inputs))


def _page(entry: Entry) -> Explanation | None:
    alerts = {name: alert for subject in shipped().values() for name, alert in subject.items()}
    if entry.name in alerts:
        return alerts[entry.name].explanation
    return explanations().get(entry.rule.labels.get("rule", "")) if entry.is_alert else None


def _repeats(entry: Entry, config: Config) -> tuple[str, ...]:
    if not entry.is_alert:
        return ()
    often = duration(repeat_seconds(config))
    told = (f"The optimizer hears again every {often} that it still fires.",)
    notice = entry.rule.notice
    if not notice.channels:
        return told
    people = ", ".join(notice.channels)
    if not notice.cooldown_seconds:
        return (*told, f"{people}: at each firing, as there is no cooldown, and every {often}.")
    cooldown = duration(notice.cooldown_seconds)
    return (*told, f"{people}: at most once in {cooldown}, and every {cooldown} while it fires.")


def _source(entry: Entry, config_path: Path) -> str:
    if not entry.rule.source:
        return "shipped with perfloop"
    return place(config_path, entry.rule.source)
