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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from perfloop.exposition.text import Label, header, openmetrics_header, series
from perfloop.model import Alias, Family

Aliases = Mapping[Family, Alias]

# Stands between the families of a template. UTF-8 never holds this byte, so no label value can.
_END_OF_FAMILY = b"\xff"


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
        self._families = tuple(alias.family for alias in self._names)
        # One value, swapped as a whole: a late collection and the scrape that gave it up may render at the same time.
        self._layout = Layout(self._families, (), (), [[] for _ in self._families])

    def render(self, label_sets: Sequence[Sequence[Label]], rows: Iterable[Sequence[bytes]]) -> tuple[Rows]:
        """Return the samples; `rows` holds one row per label set, with one token per family."""
        return self.render_tokens(label_sets, tuple(chain.from_iterable(zip(*rows, strict=True))))

    def render_row(self, row: Sequence[bytes]) -> tuple[Rows]:
        """Return the samples of families that have the fixed labels only."""
        return self.render_tokens([()], tuple(row))

    def render_tokens(self, label_sets: Sequence[Sequence[Label]], tokens: tuple[bytes, ...]) -> tuple[Rows]:
        """Do the same with tokens that are in order already: family after family, row after row in each."""
        if self._copied:
            size = len(label_sets)
            tokens += tuple(chain.from_iterable(tokens[i * size : (i + 1) * size] for i in self._copied))
        absent = tuple(i for i, token in enumerate(tokens) if not token) if b"" in tokens else ()
        layout = self._layout
        if absent != layout.absent or label_sets != layout.label_sets:
            layout = self._layout = Layout(self._families, list(label_sets), absent, self._lines(label_sets, absent))
        return (Rows(layout, tuple(filter(None, tokens)) if absent else tokens),)

    def _lines(self, label_sets: Sequence[Sequence[Label]], absent: Sequence[int]) -> list[list[bytes]]:
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


class Layout:
    """The templates for one choice of label sets and absent values; those of whole pages are made when asked for."""

    def __init__(
        self,
        families: tuple[Family, ...],
        label_sets: Sequence[Sequence[Label]],
        absent: tuple[int, ...],
        lines: Sequence[Sequence[bytes]],
    ) -> None:
        self.families, self.label_sets, self.absent = families, label_sets, absent
        self.bare = _END_OF_FAMILY.join(map(b"".join, lines))
        self._whole: dict[bool, bytes] = {}

    def whole(self, *, openmetrics: bool) -> bytes:
        """Return the template that has the headers, too, but not those of families without a sample."""
        template = self._whole.get(openmetrics)
        if template is None:
            head = openmetrics_header if openmetrics else header
            parts = zip(self.families, self.bare.split(_END_OF_FAMILY), strict=True)
            template = b"".join(_literal(head(family)) + lines for family, lines in parts if lines)
            self._whole[openmetrics] = template
        return template


class Rows:
    """Tokens and the layout that they fit: a Sheet."""

    __slots__ = ("_layout", "_tokens", "families", "series")

    def __init__(self, layout: Layout, tokens: tuple[bytes, ...]) -> None:
        self._layout, self._tokens = layout, tokens
        self.families, self.series = layout.families, len(layout.label_sets)

    def page(self, *, openmetrics: bool) -> bytes:
        """Return all lines, with the headers."""
        return self._layout.whole(openmetrics=openmetrics) % self._tokens

    def pairs(self) -> Iterator[tuple[Family, bytes]]:
        """Return the lines of each family, without its header."""
        return zip(self.families, (self._layout.bare % self._tokens).split(_END_OF_FAMILY), strict=True)


def _literal(text: bytes) -> bytes:
    return text.replace(b"%", b"%%")
