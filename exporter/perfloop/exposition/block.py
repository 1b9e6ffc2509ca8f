"""Sample lines as one prebuilt template: how a collector says what it measured.

    DISKS = (READS, WRITES, READ_SECONDS)              # families, declared once in the module
    self._disks = Block(DISKS, exponents={READ_SECONDS: -3})
    ...
    yield from self._disks.render([(b"vda",), (b"vdb",)], [(b"10", b"7", b"1200"), (b"3", b"0", b"40")])

There is one label set per row and one token per family in each row. Tokens are numbers as bytes, mostly just as the
source wrote them. The template is rebuilt only when label sets or values appear or go: a scrape costs one `%` a block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from perfloop.exposition.text import Label, series
from perfloop.model import Alias, Family

Aliases = Mapping[Family, Alias]
# Label sets, places of the tokens that are empty, and the template for these.
Layout = tuple[list[Sequence[Label]], tuple[int, ...], bytes]

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
        self._layout: Layout = ([], (), self._build([], ()))

    def render(
        self, label_sets: Sequence[Sequence[Label]], rows: Iterable[Sequence[bytes]]
    ) -> Iterator[tuple[Family, bytes]]:
        """Return the lines of each family; `rows` holds one row per label set, with one token per family."""
        return self.render_tokens(label_sets, tuple(chain.from_iterable(zip(*rows, strict=True))))

    def render_row(self, row: Sequence[bytes]) -> Iterator[tuple[Family, bytes]]:
        """Return the lines of families that have the fixed labels only."""
        return self.render_tokens([()], tuple(row))

    def render_tokens(
        self, label_sets: Sequence[Sequence[Label]], tokens: tuple[bytes, ...]
    ) -> Iterator[tuple[Family, bytes]]:
        """Do the same with tokens that are in order already: family after family, row after row in each."""
        if self._copied:
            size = len(label_sets)
            tokens += tuple(chain.from_iterable(tokens[i * size : (i + 1) * size] for i in self._copied))
        absent = tuple(i for i, token in enumerate(tokens) if not token) if b"" in tokens else ()
        layout = self._layout
        if absent != layout[1] or label_sets != layout[0]:
            layout = self._layout = (list(label_sets), absent, self._build(label_sets, absent))
        lines = layout[2] % (tuple(filter(None, tokens)) if absent else tokens)
        return zip(self._families, lines.split(_END_OF_FAMILY), strict=True)

    def _build(self, label_sets: Sequence[Sequence[Label]], absent: Sequence[int]) -> bytes:
        lines = [
            [self._line(alias, source, labels) for labels in label_sets]
            for alias, source in zip(self._names, self._sources, strict=True)
        ]
        for i in absent:
            lines[i // len(label_sets)][i % len(label_sets)] = b""
        return _END_OF_FAMILY.join(map(b"".join, lines))

    def _line(self, alias: Alias, source: Family, labels: Sequence[Label]) -> bytes:
        exponent = self._exponents.get(source, 0)
        ours: dict[str, Label] = {**dict(zip(source.labels, (*self._fixed, *labels), strict=True)), **alias.fixed}
        family, renamed = alias.family, alias.renamed
        values = [ours[renamed.get(label, label)] for label in family.labels]
        value = f" %be{exponent}\n" if exponent else " %b\n"
        return series(family.name, family.labels, values).replace(b"%", b"%%") + value.encode()
