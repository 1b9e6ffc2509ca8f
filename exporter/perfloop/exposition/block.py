"""Sample lines as one prebuilt template: how a collector says what it measured.

    DISKS = (READS, WRITES, READ_SECONDS)              # families, declared once in the module
    self._disks = Block(DISKS, exponents={READ_SECONDS: -3})
    ...
    yield from self._disks.render([(b"vda",), (b"vdb",)], [(b"10", b"7", b"1200"), (b"3", b"0", b"40")])

There is one label set per row and one token per family in each row. Tokens are numbers as bytes, mostly just as the
source wrote them. The template is rebuilt only when label sets or values appear or go: a scrape costs one `%` a block,
headers and all, if no other block has the same families.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TypeVar

from msgspec import Struct

from perfloop.exposition.text import Label, header, openmetrics_header, series
from perfloop.model import Alias, Family
from perfloop.protocols import Sheet

Aliases = Mapping[Family, Alias]

T = TypeVar("T")

_NO_LABELS: list[tuple[Label, ...]] = [()]
# Stands between the families of a template. UTF-8 never holds this byte, so no label value can.
_END_OF_FAMILY = b"\xff"


class Layout:
    """Families and the templates of their lines; that of whole pages, with the headers, is made when asked for."""

    def __init__(self, families: Iterable[Family], lines: Sequence[Sequence[bytes]]) -> None:
        self.families = tuple(families)
        counts = Counter[str]()
        for family, each in zip(self.families, lines, strict=True):
            counts[family.name] += len(each)
        self.series = max(counts.values(), default=0)
        self.bare = _END_OF_FAMILY.join(map(b"".join, lines))
        self.whole: Mapping[bool, bytes] = _Whole(self.families, self.bare)


class _Whole(dict[bool, bytes]):
    """By whether it is for OpenMetrics: the template that has the headers, too."""

    def __init__(self, families: Sequence[Family], bare: bytes) -> None:
        self._families, self._bare = families, bare

    def __missing__(self, openmetrics: bool) -> bytes:  # noqa: FBT001 - it is a key
        head = openmetrics_header if openmetrics else header
        parts = zip(self._families, self._bare.split(_END_OF_FAMILY), strict=True)
        # Families without a sample have no header.
        template = self[openmetrics] = b"".join(_literal(head(family)) + lines for family, lines in parts if lines)
        return template


class Filled(Struct, frozen=True, gc=False):
    """A layout and the tokens that fit it: a Sheet."""

    layout: Layout
    tokens: tuple[bytes, ...]


def pairs(sheet: Sheet) -> Iterator[tuple[Family, bytes]]:
    """Return the lines of each family of a sheet, without headers."""
    return zip(sheet.layout.families, (sheet.layout.bare % sheet.tokens).split(_END_OF_FAMILY), strict=True)


class Block:
    """Families whose samples have the same label sets.

    `fixed` are the values of the first labels, the same in every row: a target's component. `exponents` turns the
    source's unit into the base unit without arithmetic: -3 shows the token `1200` of milliseconds as `1200e-3`.
    An empty token means that there is no value; it has no line. Families with an alias are shown under both names.
    """

    def __init__(
        self,
        families: Sequence[Family],
        *,
        fixed: Sequence[str] = (),
        exponents: Mapping[Family, int] | None = None,
        aliases: Aliases | None = None,
    ) -> None:
        self._fixed, self._exponents, aliases = tuple(fixed), exponents or {}, aliases or {}
        self._names = [Alias(family=family) for family in families]
        self._sources = list(families)
        # Where the tokens of each alias stand among those of our own families.
        self._copied = [i for i, family in enumerate(families) if family in aliases]
        self._names += [aliases[families[i]] for i in self._copied]
        self._sources += [families[i] for i in self._copied]
        # The same object for all layouts, see Layout in protocols.py.
        self.families = tuple(alias.family for alias in self._names)
        # One value, swapped as a whole: a late collection and the scrape that gave it up may render at the same time.
        self._last: tuple[Sequence[Sequence[Label]], tuple[int, ...], Layout] = ([], (), self.layout([]))

    def render(self, label_sets: Sequence[Sequence[Label]], rows: Iterable[Sequence[bytes]]) -> tuple[Sheet]:
        """Return the samples; `rows` holds one row per label set, with one token per family."""
        return self.render_tokens(label_sets, tuple(chain.from_iterable(zip(*rows, strict=True))))

    def render_row(self, row: Sequence[bytes]) -> tuple[Sheet]:
        """Return the samples of families that have the fixed labels only."""
        return self.render_tokens(_NO_LABELS, tuple(row))

    def render_tokens(self, label_sets: Sequence[Sequence[Label]], tokens: tuple[bytes, ...]) -> tuple[Sheet]:
        """Do the same with tokens that are in order already: family after family, row after row in each."""
        if self._copied:
            tokens = self.with_copies(tokens, len(label_sets))
        absent = () if all(tokens) else tuple([i for i, token in enumerate(tokens) if not token])
        last_labels, last_absent, layout = self._last
        if absent != last_absent or label_sets != last_labels:
            layout = self.layout(label_sets, absent=absent)
            self._last = (list(label_sets), absent, layout)
        return (Filled(layout, tuple(filter(None, tokens)) if absent else tokens),)

    def with_copies(self, tokens: tuple[T, ...], size: int) -> tuple[T, ...]:
        """Return what stands for our families, `size` for each, and then the same again for their aliases."""
        return tokens + tuple(chain.from_iterable(tokens[i * size : (i + 1) * size] for i in self._copied))

    def layout(self, label_sets: Sequence[Sequence[Label]], *, absent: Sequence[int] = ()) -> Layout:
        """Return the templates for these label sets, without the lines of those tokens that are not there."""
        return Layout(self.families, self.lines(label_sets, absent=absent))

    def lines(self, label_sets: Sequence[Sequence[Label]], *, absent: Sequence[int] = ()) -> list[list[bytes]]:
        """Return the templates of each family's lines."""
        lines = [
            [self._line(alias, source, labels) for labels in label_sets]
            for alias, source in zip(self._names, self._sources, strict=True)
        ]
        for i in absent:
            lines[i // len(label_sets)][i % len(label_sets)] = b""
        return lines

    def _line(self, alias: Alias, source: Family, labels: Sequence[Label]) -> bytes:
        exponent = self._exponents.get(source, 0)
        ours: dict[str, Label] = {**dict(zip(source.labels, (*self._fixed, *labels), strict=True)), **alias.fixed}
        family, renamed = alias.family, alias.renamed
        values = [ours[renamed.get(label, label)] for label in family.labels]
        value = f" %be{exponent}\n" if exponent else " %b\n"
        return _literal(series(family.name, family.labels, values)) + value.encode()


def _literal(text: bytes) -> bytes:
    return text.replace(b"%", b"%%")
