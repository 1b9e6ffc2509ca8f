"""How node_exporter's families are declared."""

from __future__ import annotations

from collections.abc import Mapping

from perfloop.model import Alias, Family, MetricType


def theirs(name: str, ours: Family, kind: MetricType | None = None, **renamed: str) -> Alias:
    """Return node_exporter's name for a family of ours; `renamed` gives our label for its label, where they differ."""
    back = {our: their for their, our in renamed.items()}
    labels = tuple(back.get(label, label) for label in ours.labels)
    text = f"{ours.name} under node_exporter's name."
    return Alias(family=Family(name=f"node_{name}", type=kind or ours.type, help=text, labels=labels), renamed=renamed)


def named(families: Mapping[Family, str], kind: MetricType | None = None) -> dict[Family, Alias]:
    """Return the names of many, of one type if theirs is another one."""
    return {ours: theirs(name, ours, kind) for ours, name in families.items()}


def only_theirs(name: str, kind: MetricType, source: str, *labels: str) -> Family:
    """Return a family that we show in another unit or another cut, or not at all."""
    return Family(name=f"node_{name}", type=kind, help=f"{source}, as node_exporter shows it.", labels=labels)
