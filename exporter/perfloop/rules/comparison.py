"""Two sets of rules side by side: what one has and the other has not, and what of a rule is different."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from perfloop.rules.groups import Group
from perfloop.rules.promql import duration, seconds_of


class Plain(Struct, frozen=True, kw_only=True):
    """A rule as a rule file or a Prometheus has it, without where it came from. Durations in whole seconds."""

    group: str
    interval_seconds: float
    name: str
    kind: str
    expr: str
    for_seconds: float = 0
    keep_firing_for_seconds: float = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name, with what tells rules of one name apart."""
        apart = self.labels.get("severity") or self.labels.get("source_metric", "")
        return f"{self.name} ({apart})" if apart else self.name


class Difference(Struct, frozen=True, kw_only=True):
    """One thing of a rule that is not the same on both sides."""

    what: str
    old: str
    new: str


class Compared(Struct, frozen=True, kw_only=True):
    """One rule that is not the same on both sides: `added`, `removed` or `changed`."""

    rule: str
    kind: str
    change: str
    differences: tuple[Difference, ...] = ()


def plain(groups: Iterable[Group]) -> tuple[Plain, ...]:
    """Return compiled groups as plain rules."""
    return tuple(
        Plain(
            group=group.name,
            interval_seconds=group.interval_seconds,
            name=rule.alert or rule.record,
            kind="alert" if rule.alert else "recorded series",
            expr=rule.expr,
            for_seconds=rule.for_seconds,
            keep_firing_for_seconds=rule.keep_firing_for_seconds,
            labels=rule.labels,
            annotations=rule.annotations,
        )
        for group in groups
        for rule in group.rules
    )


def compare(old: Iterable[Plain], new: Iterable[Plain], *, normal: Callable[[str], str] = str) -> tuple[Compared, ...]:
    """Return what is different, in the order of the new rules, those that are gone at the end.

    Rules of one name are told apart by severity, then by what they are recorded from, then by their order.
    Expressions that are not the same text are compared after `normal`.
    """
    before, after = _keyed(old), _keyed(new)
    found = []
    for key, rule in after.items():
        if key not in before:
            found.append(Compared(rule=rule.title, kind=rule.kind, change="added"))
        elif differences := differences_of(before[key], rule, normal=normal):
            found.append(Compared(rule=rule.title, kind=rule.kind, change="changed", differences=differences))
    gone = [before[key] for key in before if key not in after]
    return (*found, *(Compared(rule=rule.title, kind=rule.kind, change="removed") for rule in gone))


def differences_of(old: Plain, new: Plain, *, normal: Callable[[str], str] = str) -> tuple[Difference, ...]:
    """Return in what two rules of one name differ; space in expressions does not count."""
    same = _spaced(old.expr) == _spaced(new.expr)
    pairs = {
        "expr": ("", "") if same else (_spaced(normal(old.expr)), _spaced(normal(new.expr))),
        "for": (_seconds(old.for_seconds), _seconds(new.for_seconds)),
        "keep_firing_for": (_seconds(old.keep_firing_for_seconds), _seconds(new.keep_firing_for_seconds)),
        "group": (old.group, new.group),
        "interval": (_seconds(old.interval_seconds), _seconds(new.interval_seconds)),
        **_each("labels", old.labels, new.labels),
        **_each("annotations", old.annotations, new.annotations),
    }
    return tuple(Difference(what=what, old=a, new=b) for what, (a, b) in pairs.items() if a != b)


def rules_of_file(content: Any) -> tuple[Plain, ...]:  # noqa: ANN401 - whatever a YAML file may hold
    """Return the rules of a rule file that was read as YAML. Raises ValueError if it is none."""
    try:
        return tuple(_rule_of_file(group, rule) for group in content["groups"] for rule in group.get("rules") or ())
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError("is not a rule file of Prometheus") from error


def _rule_of_file(group: Mapping[str, Any], rule: Mapping[str, Any]) -> Plain:
    return Plain(
        group=group["name"],
        interval_seconds=seconds_of(group.get("interval", "0s")),
        name=rule.get("alert") or rule["record"],
        kind="alert" if "alert" in rule else "recorded series",
        expr=str(rule["expr"]),
        for_seconds=seconds_of(rule.get("for", "0s")),
        keep_firing_for_seconds=seconds_of(rule.get("keep_firing_for", "0s")),
        labels=rule.get("labels") or {},
        annotations=rule.get("annotations") or {},
    )


_Key = tuple[str, str, str, str, int]


def _keyed(rules: Iterable[Plain]) -> dict[_Key, Plain]:
    found: dict[_Key, Plain] = {}
    for rule in rules:
        apart = (rule.kind, rule.name, rule.labels.get("severity", ""), rule.labels.get("source_metric", ""))
        found[*apart, sum(1 for key in found if key[:4] == apart)] = rule
    return found


def _each(what: str, old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    names = sorted(old.keys() | new.keys())
    return {f"{what}.{name}": (old.get(name, ""), new.get(name, "")) for name in names}


def _spaced(expr: str) -> str:
    return " ".join(expr.split())


def _seconds(seconds: float) -> str:
    return duration(round(seconds))
