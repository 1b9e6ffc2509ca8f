"""Families that others wrote, from several sources on one page: each name has one type, and each series stands once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from perfloop.exposition.parse import Foreign, sample_names
from perfloop.model import Family, MetricType

Source = TypeVar("Source", bound=Hashable)
OWN_PREFIX = "perfloop_"
_GROUPED = (MetricType.HISTOGRAM, MetricType.SUMMARY)
_TOTAL, _CREATED = "_total", "_created"


class Names(Struct):
    """Which names are on the page already: those that begin with the words of `prefixes`, and the `written` of files.

    What files say comes before what is pushed.
    """

    prefixes: tuple[str, ...] = ()
    written: frozenset[str] = frozenset()


class Merged(Struct, Generic[Source], frozen=True, kw_only=True):
    """What of several sources can stand on one page, and why the other sources cannot."""

    samples: tuple[tuple[Family, bytes], ...]
    refused: dict[Source, str]
    names: frozenset[str]


class _Merge:
    """Takes one source after another, each as a whole or not at all."""

    def __init__(self, prefixes: Iterable[str], taken: frozenset[str]) -> None:
        self._prefixes, self._taken = tuple(f"{prefix}_" for prefix in prefixes), taken
        self._owners: dict[str, Family] = {}
        self._lines: dict[str, list[bytes]] = {}
        # Of families that several sources have.
        self._series: dict[str, set[bytes]] = {}

    def add(self, families: Sequence[Foreign]) -> str | None:
        """Take the families of a source, or return why they cannot stand beside those that are there."""
        for foreign in families:
            problem = self._obstacle(foreign)
            if problem:
                return problem
        for foreign in families:
            family = foreign.family
            self._owners |= {name: self._owners.get(name, family) for name in sample_names(family.name, family.type)}
            self._lines.setdefault(family.name, []).append(foreign.lines)
            if family.name in self._series:
                self._series[family.name] |= _series(foreign.lines)
        return None

    def families(self) -> Iterator[Family]:
        """Yield each family once, with the HELP of its first source."""
        yield from (self._owners[name] for name in self._lines)

    def samples(self) -> Iterator[tuple[Family, bytes]]:
        """Yield what was taken, so that it is valid as OpenMetrics: that reserves more names than the older format.

        A counter whose names somebody else uses loses its type. What stands where OpenMetrics has the time at which a
        histogram or summary was created is left out.
        """
        users = Counter(name for family in self.families() for name in openmetrics_names(family))
        grouped = {family.name for family in self.families() if family.type in _GROUPED}
        for family in self.families():
            if family.name.endswith(_CREATED) and family.name.removesuffix(_CREATED) in grouped:
                continue
            # Without its suffix, a counter `_total` would have no name at all.
            clashes = family.name == _TOTAL or any(users[name] > 1 for name in openmetrics_names(family))
            untyped = family.type is MetricType.COUNTER and clashes
            shown = replace(family, type=MetricType.UNTYPED) if untyped else family
            yield shown, b"".join(self._lines[family.name])

    def _obstacle(self, foreign: Foreign) -> str | None:
        family = foreign.family
        if family.name.startswith(OWN_PREFIX):
            return f"{family.name}: names that begin with {OWN_PREFIX} are perfloop's own"
        if f"{family.name}_".startswith(self._prefixes) or not self._taken.isdisjoint(openmetrics_names(family)):
            return f"{family.name} is exported by another collector"
        for name in sample_names(family.name, family.type):
            other = self._owners.get(name, family)
            if (other.name, other.type) != (family.name, family.type):
                return f"{family.name} is a {family.type} here, and {other.name} a {other.type} elsewhere"
        if family.name not in self._lines:
            return None
        if family.name not in self._series:
            self._series[family.name] = _series(*self._lines[family.name])
        if not self._series[family.name].isdisjoint(_series(foreign.lines)):
            return f"{family.name} has series that stand elsewhere, too"
        return None


def merge(
    sources: Iterable[tuple[Source, Sequence[Foreign]]],
    *,
    prefixes: Iterable[str] = (),
    taken: frozenset[str] = frozenset(),
) -> Merged[Source]:
    """Put sources together, the first ones first; where two do not agree, the later one is refused as a whole.

    `prefixes` and `taken` are the names of the page that are not theirs. Of two HELP texts the first one counts.
    """
    merged, refused = _Merge(prefixes, taken), dict[Source, str]()
    for source, families in sources:
        problem = merged.add(families)
        if problem:
            refused[source] = problem
    names = frozenset(name for family in merged.families() for name in openmetrics_names(family))
    return Merged(samples=tuple(merged.samples()), refused=refused, names=names)


def openmetrics_names(family: Family) -> set[str]:
    """Return the names that OpenMetrics knows for a family: its own, and those of its samples."""
    names = set(sample_names(family.name, family.type))
    if family.type is MetricType.COUNTER and family.name.endswith(_TOTAL):
        base = family.name.removesuffix(_TOTAL)
        names |= {base, base + _CREATED}
    if family.type in _GROUPED:
        names.add(family.name + _CREATED)
    return names


def _series(*lines: bytes) -> set[bytes]:
    return {line.rpartition(b" ")[0] for some in lines for line in some.split(b"\n") if line}
