"""Which series an expression reads, and the same expression without the help of recorded ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

from perfloop.rules.promql import duration

_STRINGS = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`")
_LABEL_LISTS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)")
_SELECTIONS = re.compile(r"\{[^{}]*\}|\[[^\[\]]*\]")
_NAMES = re.compile(r"(?<![\w:.])[a-zA-Z_:][\w:]*(?!\s*\()(?![\w:])")
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "atan2", "inf", "nan", "by", "without"})
_WORDS_OF_JOINS = frozenset({"on", "ignoring", "group_left", "group_right"})
_DEEPEST = 4


class Recorded(Struct, frozen=True, kw_only=True):
    """How a series is recorded: its expressions (several where labels keep them apart), and how often."""

    exprs: tuple[str, ...]
    interval_seconds: int


def series_read(expr: str) -> frozenset[str]:
    """Return the names of the series that PromQL reads; those chosen by a label `__name__` are not among them."""
    bare = _SELECTIONS.sub("", _LABEL_LISTS.sub("", _STRINGS.sub('""', expr)))
    return frozenset(
        name for name in _NAMES.findall(bare) if name.lower() not in _WORDS and name not in _WORDS_OF_JOINS
    )


def unrecorded(expr: str, recorded: Mapping[str, Recorded], *, missing: Iterable[str]) -> str | None:
    """Return the expression with what records the missing series in their place; None where that cannot be said.

    So an alert can be tried on history that was never recorded. A series that is selected by its labels, or that
    several rules record, cannot be replaced.
    """
    lacking = frozenset(missing) & recorded.keys()
    for _ in range(_DEEPEST):
        names = sorted(series_read(expr) & lacking, key=len, reverse=True)
        if not names:
            return expr
        for name in names:
            rule = recorded[name]
            found = re.compile(rf"(?<![\w:]){re.escape(name)}(?![\w:])(\s*\{{)?(\[[^\[\]:]+\]|\s+offset\s+\w+)?")
            if len(rule.exprs) > 1 or any(match[1] for match in found.finditer(expr)):
                return None
            expr = found.sub(lambda match, rule=rule: _in_place(rule, match[2]), expr)  # type: ignore[misc]
    return None


def _in_place(rule: Recorded, window: str | None) -> str:
    if window is None:
        return f"({rule.exprs[0]})"
    step = duration(rule.interval_seconds)
    if window.startswith("["):
        return f"({rule.exprs[0]}){window[:-1]}:{step}]"
    # Only a selector and a subquery may have an offset.
    return f"last_over_time(({rule.exprs[0]})[{step}:{step}]{window})"
