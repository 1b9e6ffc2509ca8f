"""The compiled rules as entries to look at: found by their names, those that are off among them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from msgspec import Struct

from perfloop.errors import NotFound
from perfloop.rules.groups import Group, Rule


class Entry(Struct, frozen=True, kw_only=True):
    """One rule with its group; `enabled` is false for what would be compiled if perfloop.yml did not say otherwise."""

    group: str
    interval_seconds: int
    rule: Rule
    enabled: bool = True

    @property
    def name(self) -> str:
        """The alert's name, or the recorded series'."""
        return self.rule.alert or self.rule.record

    @property
    def severity(self) -> str:
        """The label, of alerts."""
        return self.rule.labels.get("severity", "")

    @property
    def is_alert(self) -> bool:
        """Whether it is an alert, and not a recorded series."""
        return bool(self.rule.alert)


def entries(groups: Iterable[Group], *, enabled: Iterable[Group] | None = None) -> tuple[Entry, ...]:
    """Return an entry for each rule of `groups`; what `enabled` does not hold is off."""
    known = None if enabled is None else {_key(rule) for group in enabled for rule in group.rules}
    return tuple(
        Entry(
            group=group.name,
            interval_seconds=group.interval_seconds,
            rule=rule,
            enabled=known is None or _key(rule) in known,
        )
        for group in groups
        for rule in group.rules
    )


def find(among: Sequence[Entry], name: str) -> tuple[Entry, ...]:
    """Return the entries of an alert's name, of a rule's word, or of a recorded series; `cpu_usage` may be any.

    The word of a threshold is the name of its metric: both its alerts and its recorded series are found.
    Raises NotFound with the nearest name.
    """
    found = tuple(entry for entry in among if name in _names(entry))
    if found:
        return found
    known = sorted({each for entry in among for each in _names(entry)})
    raise NotFound(f"there is no rule {name!r}; {suggestion(name, known, see='perfloop rules list')}")


def suggestion(name: str, known: Sequence[str], *, see: str) -> str:
    """Return what was probably meant, or where the names are listed; small and capital letters do not count."""
    folded = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f"did you mean {folded[close[0]]}?" if close else f"see: {see}"


def _names(entry: Entry) -> tuple[str, ...]:
    rule = entry.rule
    return tuple(each for each in (rule.alert, rule.record, _word(rule)) if each)


def _word(rule: Rule) -> str:
    return rule.labels.get("rule", "") if rule.alert else rule.record.removeprefix("perfloop:")


def _key(rule: Rule) -> tuple[str, str, str, str]:
    return rule.alert, rule.record, rule.labels.get("severity", ""), rule.labels.get("source_metric", "")
