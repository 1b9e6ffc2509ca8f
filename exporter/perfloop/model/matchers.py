"""Label matchers in Alertmanager's notation: `name="value"`, `!=`, `=~`, `!~`; regular expressions are anchored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

from perfloop.errors import ConfigInvalid

_MATCHER = re.compile(r"^\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*(.*?)\s*$", re.DOTALL)
# What Python's regular expressions have and Prometheus' have not: looking around, atoms, back references.
_ESCAPED = re.compile(r"\\[^1-9ZuUN]|\[\^?\]?[^\]]*\]")
_PYTHON_ONLY = re.compile(r"\(\?(?:[=!>(#]|<[=!]|P=)|[*+?}]\+|\\[1-9ZuUN]")


class Matcher(Struct, frozen=True, kw_only=True):
    """One condition on one label; a label that is not there reads as empty."""

    label: str
    operator: Literal["=", "!=", "=~", "!~"]
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Say whether the labels meet the condition."""
        found = labels.get(self.label, "")
        if self.operator in {"=", "!="}:
            return (found == self.value) == (self.operator == "=")
        return (re.fullmatch(self.value, found) is not None) == (self.operator == "=~")

    @property
    def quoted(self) -> str:
        """The value as a string of PromQL and of Prometheus' templates; it may hold anything."""
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'

    def promql(self) -> str:
        """Return the condition as PromQL writes it."""
        return f"{self.label}{self.operator}{self.quoted}"


def parse_matcher(text: str) -> Matcher:
    """Parse one matcher. Raises ConfigInvalid with what was expected."""
    found = _MATCHER.match(text)
    if not found:
        raise ConfigInvalid([f'expected a matcher such as component="orders-db", got {text!r}'])
    label, operator, value = found.groups()
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = re.sub(r'\\([\\"])', r"\1", value[1:-1])
    elif '"' in value:
        raise ConfigInvalid([f"unbalanced quotes in the matcher {text!r}"])
    if operator in {"=~", "!~"}:
        try:
            re.compile(value)
        except re.error as error:
            raise ConfigInvalid([f"bad regular expression in the matcher {text!r}: {error}"]) from error
    return Matcher(label=label, operator=operator, value=value)  # type: ignore[arg-type]


def parse_selector(text: str) -> Matcher:
    """Parse one matcher that Prometheus is to evaluate. Raises ConfigInvalid for what only Python understands."""
    matcher = parse_matcher(text)
    if matcher.label == "__name__":
        raise ConfigInvalid([f"expected a matcher of a label, got {text!r}; the metric is named already"])
    if matcher.operator in {"=~", "!~"} and (found := _PYTHON_ONLY.search(_ESCAPED.sub("_", matcher.value))):
        raise ConfigInvalid([f"Prometheus' regular expressions have no {found[0]!r}, which stands in {text!r}"])
    return matcher


def match_all(matchers: Iterable[str], labels: Mapping[str, str]) -> bool:
    """Say whether the labels meet every matcher."""
    return all(parse_matcher(matcher).matches(labels) for matcher in matchers)
