"""Sample lines as one prebuilt template: how a collector says what it measured.

    DISKS = (READS, WRITES, READ_SECONDS)              # families, declared once in the module
    self._disks = Block(DISKS, exponents={READ_SECONDS: -3})
    ...
    yield from self._disks.render([(b"vda",), (b"vdb",)], [(b"10", b"7", b"1200"), (b"3", b"0", b"40")])

There is one label set per row and one token per family in each row. Tokens are numbers as bytes, mostly just as the
source wrote them. The template is rebuilt only when the label sets change, so that a scrape costs one `%` per block.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from perfloop.exposition.text import Label, series
from perfloop.model import Family

# Stands between the families of a template. UTF-8 never holds this byte, so no label value can.
_END_OF_FAMILY = b"\xff"
_LINE_WITHOUT_VALUE = re.compile(rb"[^\n\xff]* (?:e-\d+)?\n")


class Block:
    """Families whose samples have the same label sets.

    `fixed` are the values of the first labels, the same in every row: a target's component. `exponents` turns the
    source's unit into the base unit without arithmetic: -3 shows the token `1200` of milliseconds as `1200e-3`.
    An empty token means that there is no value; it has no line.
    """

    def __init__(
        self, families: Sequence[Family], *, fixed: Sequence[str] = (), exponents: Mapping[Family, int] | None = None
    ) -> None:
        self._families, self._fixed, self._exponents = tuple(families), tuple(fixed), exponents or {}
        self._label_sets: list[Sequence[Label]] = []
        self._template = self._build()

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
        if label_sets != self._label_sets:
            self._label_sets = list(label_sets)
            self._template = self._build()
        lines = self._template % tokens
        if b"" in tokens:
            lines = _LINE_WITHOUT_VALUE.sub(b"", lines)
        return zip(self._families, lines.split(_END_OF_FAMILY), strict=True)

    def _build(self) -> bytes:
        return _END_OF_FAMILY.join(map(self._build_family, self._families))

    def _build_family(self, family: Family) -> bytes:
        exponent = self._exponents.get(family, 0)
        value = f" %be{exponent}\n".encode() if exponent else b" %b\n"
        return b"".join(
            series(family.name, family.labels, (*self._fixed, *labels)).replace(b"%", b"%%") + value
            for labels in self._label_sets
        )
