"""Reads the text format 0.0.4 as others write it, and writes it again so that it is valid in every format we serve.

It is as strict as the format: the page of which these lines become a part must never break. The official Python parser
is lax, knows no line numbers, and would stay in memory; tests ask it, and promtool, about all that is accepted here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from msgspec import Struct

from perfloop.errors import PerfloopError
from perfloop.exposition.soundness import Sample, number_token, ordered
from perfloop.model import Family, MetricType

# Possessive quantifiers (++, *+): no line, however long, is looked at twice.
_BLANKS = r"[ \t]*+"
_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*+"
_LABEL_NAME, _LABEL_VALUE = r"[a-zA-Z_][a-zA-Z0-9_]*+", r'(?:[^"\\]|\\["\\n])*+'
_LABEL = rf'{_BLANKS}{_LABEL_NAME}{_BLANKS}={_BLANKS}"{_LABEL_VALUE}"{_BLANKS}'
_LABELS = rf"{_BLANKS}(?:{_LABEL}(?:,{_LABEL})*+(?:,{_BLANKS})?+)?+"
_SAMPLE_LINE = re.compile(
    rf"({_NAME})(?:{_BLANKS}\{{({_LABELS})\}}{_BLANKS}|[ \t]++)([^ \t]++){_BLANKS}([+-]?[0-9]++)?+{_BLANKS}"
)
_PAIR = re.compile(rf'({_LABEL_NAME}){_BLANKS}={_BLANKS}"({_LABEL_VALUE})"')
_COMMENT = re.compile(rf"#{_BLANKS}(HELP|TYPE)(?![^ \t]){_BLANKS}({_NAME})(?:[ \t]++(.*+))?+", re.DOTALL)
_KEYWORD = re.compile(rf"#{_BLANKS}(HELP|TYPE)(?![^ \t])")
_HELP_ESCAPE = re.compile(r"\\([\\n])")
_TYPES = {
    kind.value: kind
    for kind in (
        MetricType.COUNTER,
        MetricType.GAUGE,
        MetricType.HISTOGRAM,
        MetricType.SUMMARY,
        MetricType.UNTYPED,
    )
}
_SUFFIXES: Mapping[MetricType | None, tuple[str, ...]] = {
    MetricType.HISTOGRAM: ("_bucket", "_sum", "_count"),
    MetricType.SUMMARY: ("_sum", "_count"),
}
_NO_LABELS: dict[str, str] = {}


class PageInvalid(PerfloopError):
    """A foreign page that breaks the format; never says what stands in the line, which may be a secret."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")


class Foreign(Struct, frozen=True, kw_only=True):
    """One family of a foreign page, with lines as `Block` would make them: labels sorted, no empty ones."""

    family: Family
    lines: bytes


class _Draft:
    """A family as far as it was read."""

    def __init__(self, name: str, line: int) -> None:
        self.name, self.line = name, line
        self.help: str | None = None
        self.type: MetricType | None = None
        self.samples: list[Sample] = []


class _Parts(NamedTuple):
    """What one sample line says."""

    name: str
    labels: dict[str, str]
    value: str


def parse(
    page: bytes, *, max_series: int, default_help: str, labels: Mapping[str, str] | None = None
) -> tuple[Foreign, ...]:
    """Return the families of a page that have samples, in their order. Raises PageInvalid.

    `labels` are added to every sample; their values must need no escapes. A family whose samples break the rules of
    its type is shown as untyped, so that its samples are kept.
    """
    reader = _Reader(max_series, labels or {})
    try:
        text = page.decode()
    except UnicodeDecodeError as error:
        raise PageInvalid(page.count(b"\n", 0, error.start) + 1, "is not UTF-8") from error
    lines = text.split("\n")
    if lines.pop():
        raise PageInvalid(len(lines) + 1, "has no line feed at its end; the page may be incomplete")
    for number, line in enumerate(lines, 1):
        reader.read(number, line.lstrip(" \t"))
    return tuple(_finish(reader.drafts(), default_help))


class _Reader:
    """Takes a page line by line."""

    def __init__(self, max_series: int, labels: Mapping[str, str]) -> None:
        self._max_series, self._added = max_series, labels
        self._drafts: dict[str, _Draft] = {}
        self._seen: set[str] = set()
        # Each name once, however many samples have it.
        self._names: dict[str, str] = {}

    def read(self, number: int, line: str) -> None:
        """Take one line without the blanks at its beginning. Raises PageInvalid."""
        if line.startswith("#"):
            self._comment(number, line)
        elif line:
            parts = _split(number, line)
            self._add_labels(number, parts.labels)
            draft = self._draft_of(number, parts.name)
            series = _series(parts.name, parts.labels)
            if series in self._seen:
                raise PageInvalid(number, "this series stands twice")
            self._seen.add(series)
            if len(self._seen) > self._max_series:
                raise PageInvalid(number, f"more than {self._max_series} series")
            # Of others nobody asks for the labels any more, and there may be very many.
            labels = parts.labels if draft.type in _SUFFIXES else _NO_LABELS
            name = self._names.setdefault(parts.name, parts.name)
            draft.samples.append(Sample(name, labels, parts.value, series))

    def drafts(self) -> list[_Draft]:
        """Return the families with samples. Raises PageInvalid when two of them share a name."""
        owners: dict[str, _Draft] = {}
        found = [draft for draft in self._drafts.values() if draft.samples]
        for draft in found:
            for name in sample_names(draft.name, draft.type):
                if name in owners:
                    raise PageInvalid(draft.line, f"the families {owners[name].name} and {draft.name} share a name")
                owners[name] = draft
        return found

    def _comment(self, number: int, line: str) -> None:
        match = _COMMENT.fullmatch(line)
        if match is None:
            if _KEYWORD.match(line):
                raise PageInvalid(number, "expected a metric name after HELP or TYPE")
            return
        keyword, name, text = match.groups(default="")
        draft = self._drafts.setdefault(name, _Draft(name, number))
        if keyword == "HELP":
            if draft.help is not None:
                raise PageInvalid(number, "a second HELP for this name")
            draft.help = _HELP_ESCAPE.sub(lambda found: "\n" if found[1] == "n" else "\\", text)
            return
        if draft.type is not None or draft.samples:
            raise PageInvalid(number, "a second TYPE for this name, or one after its samples")
        draft.type = _TYPES.get(text.strip(" \t").lower())
        if draft.type is None:
            raise PageInvalid(number, f"expected one of the types {', '.join(_TYPES)}")

    def _draft_of(self, number: int, name: str) -> _Draft:
        if name in self._drafts:
            return self._drafts[name]
        for suffix in ("_bucket", "_sum", "_count"):
            base = self._drafts.get(name.removesuffix(suffix)) if name.endswith(suffix) else None
            if base is not None and suffix in _SUFFIXES.get(base.type, ()):
                return base
        return self._drafts.setdefault(name, _Draft(name, number))

    def _add_labels(self, number: int, labels: dict[str, str]) -> None:
        for name, value in self._added.items():
            if labels.setdefault(name, value) != value:
                raise PageInvalid(number, f"the label {name} must be left out, or be {value!r}")


def sample_names(name: str, kind: MetricType | None) -> Iterator[str]:
    """Yield the names that samples of a family have, and its own."""
    yield name
    yield from (name + suffix for suffix in _SUFFIXES.get(kind, ()))


def _split(number: int, line: str) -> _Parts:
    match = _SAMPLE_LINE.fullmatch(line)
    if match is None:
        raise PageInvalid(number, 'expected NAME{LABEL="VALUE"} NUMBER')
    name, inside, value, timestamp = match.groups()
    if timestamp is not None:
        raise PageInvalid(number, "has a timestamp; samples are of the time of the scrape")
    pairs = _PAIR.findall(inside or "")
    # Prometheus takes a label without a value for no label.
    labels = {label: text for label, text in pairs if text}
    if len(labels) < len(pairs) and len({label for label, _ in pairs}) < len(pairs):
        raise PageInvalid(number, "a label stands twice")
    if inside and "__" in inside and any(label.startswith("__") for label, _ in pairs):
        raise PageInvalid(number, "label names that begin with __ are reserved")
    if name.endswith("_bucket") and number_token(labels.get("le", "")) == "+Inf":
        labels["le"] = "+Inf"
    token = number_token(value)
    if token is None:
        raise PageInvalid(number, "the value is not a number")
    return _Parts(name, labels, token)


def _series(name: str, labels: Mapping[str, str]) -> str:
    if not labels:
        return name
    pairs = ",".join([f'{label}="{labels[label]}"' for label in sorted(labels)])
    return f"{name}{{{pairs}}}"


def _finish(drafts: list[_Draft], default_help: str) -> Iterator[Foreign]:
    for draft in drafts:
        kind, text = draft.type or MetricType.UNTYPED, draft.help or default_help
        samples = ordered(draft.name, kind, draft.samples)
        if samples is not None:
            yield _foreign(draft.name, kind, text, samples)
            continue
        names = dict.fromkeys(sample.name for sample in draft.samples)
        for name in names:
            alone = [sample for sample in draft.samples if sample.name == name]
            yield _foreign(name, MetricType.UNTYPED, text, alone)


def _foreign(name: str, kind: MetricType, text: str, samples: list[Sample]) -> Foreign:
    lines = "".join([f"{sample.series} {sample.value}\n" for sample in samples]).encode()
    return Foreign(family=Family(name=name, type=kind, help=text), lines=lines)
