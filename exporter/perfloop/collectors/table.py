"""The numbers of a kernel's text whose layout seldom changes: found once by name, then picked by position.

    def survey(rows: Rows) -> Iterator[Part]:          # slow and careful; called when a name, or their number, changed
        yield Part(DISKS, [(row.fields[2],) for row in rows], [row.start + c for c in COLUMNS for row in rows])

    table = Table([survey], name_column=2)
    samples = table.render(Path("/proc/diskstats").read_bytes())

So a reading costs one split(), one comparison of the names, one itemgetter and the block's `%`. What is plugged in or
goes away changes the names, and is right at the same reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import NamedTuple, Protocol

from perfloop.collectors.kernel import KernelFile
from perfloop.errors import PerfloopError
from perfloop.exposition.block import Aliases, Block, Filled, Layout
from perfloop.exposition.text import Label, Samples
from perfloop.model import Family
from perfloop.protocols import Piece


class Garbled(PerfloopError):
    """A text of the kernel does not look as it should."""


class Row(NamedTuple):
    """One line: its fields, and where the first of them stands among all tokens of the text."""

    start: int
    fields: Sequence[bytes]


Rows = Sequence[Row]


class Part(NamedTuple):
    """Families with the same labels and unit, and where their values stand: family after family, row after row in each.

    Values are multiplied by `factor`, a whole number; `exponents` are the block's. Without places every value is 1: the
    labels say all there is to say.
    """

    families: Sequence[Family]
    label_sets: Sequence[Sequence[Label]]
    places: Sequence[int]
    factor: int = 1
    exponents: Mapping[Family, int] = {}


Survey = Callable[[Rows], Iterable[Part]]
Tokens = Sequence[bytes]
# It stands behind all tokens of the text, for what has no place in it.
_ONE, _PLACE_OF_ONE = b"1", -1
_MAX_MULTIPLES = 512


class Table:
    """Renders texts of one layout. `separators` are bytes that part fields besides blanks.

    The first token of each line, or the one in `name_column`, is its name. Each of `surveys` must find something,
    unless the text `may_be_empty`; those of `more` need not.
    """

    def __init__(
        self,
        surveys: Sequence[Survey],
        *,
        more: Sequence[Survey] = (),
        name_column: int = 0,
        separators: bytes = b"",
        may_be_empty: bool = False,
        aliases: Aliases | None = None,
    ) -> None:
        self._surveys, self._more, self._may_be_empty = surveys, more, may_be_empty
        self._name_column, self._aliases = name_column, aliases
        self._blanks = bytes.maketrans(separators, b" " * len(separators)) if separators else None
        self._count = -1
        self._names: tuple[bytes, ...] = ()
        self._pick_names = self._pick = picker(())
        # From where to where, and what of what.
        self._multiplied: list[tuple[int, int, Multiples]] = []
        self._layout = Layout((), ())
        # Of each value, the family that it belongs to.
        self._owners: list[Family] = []

    def render(self, text: bytes) -> tuple[Piece, ...]:
        """Return the lines of each family. Raises Garbled where a number should stand and does not."""
        if self._blanks:
            text = text.translate(self._blanks)
        tokens = text.split()
        if len(tokens) != self._count or self._pick_names(tokens) != self._names:
            self._survey(text, tokens)
        tokens.append(_ONE)
        values = self._pick(tokens)
        if values and not b"".join(values).isdigit():
            found = next(i for i, value in enumerate(values) if not value.isdigit())
            raise Garbled(f"{self._owners[found].name}: {values[found]!r} is not a number")
        for start, end, multiples in self._multiplied:
            values = (*values[:start], *map(multiples.__getitem__, values[start:end]), *values[end:])
        return (Filled(self._layout, values),) if values else ()

    def _survey(self, text: bytes, tokens: Tokens) -> None:
        self._count = -1
        rows = list(rows_of(text))
        own = [[part for part in survey(rows) if part.families] for survey in self._surveys]
        if not self._may_be_empty and not all(any(part.places for part in found) for found in own):
            raise Garbled("what should be in it is not")
        parts = [*chain.from_iterable(own), *(part for survey in self._more for part in survey(rows) if part.families)]
        families: list[Family] = []
        lines: list[list[bytes]] = []
        places: list[int] = []
        self._multiplied = []
        for part in parts:
            block = Block(part.families, exponents=part.exponents, aliases=self._aliases)
            families += block.families
            lines += block.lines(part.label_sets)
            start, size = len(places), len(part.label_sets)
            needed = size * len(part.families)
            found = tuple(part.places) or (_PLACE_OF_ONE,) * needed
            if len(found) != needed or max(found, default=0) >= len(tokens):
                raise Garbled(f"{part.families[0].name}: its values do not stand where they should")
            places += block.with_copies(found, size)
            if part.factor != 1:
                self._multiplied.append((start, len(places), Multiples(part.factor)))
        self._layout, self._pick = Layout(families, lines), picker(places)
        self._owners = [family for family, each in zip(families, lines, strict=True) for _ in each]
        column = self._name_column
        self._pick_names = picker([row.start + column for row in rows if len(row.fields) > column])
        self._count, self._names = len(tokens), self._pick_names(tokens)


class Source(Protocol):
    """One subject: a file of the kernel, or a call."""

    def read(self) -> Samples:
        """Return the lines of each family. Raises OSError and Garbled."""

    def close(self) -> None:
        """Let go of files."""


class TableFile:
    """A file that is one table, or of which the lines with some `keys` are."""

    def __init__(self, file: KernelFile, table: Table, *, keys: Sequence[bytes] = ()) -> None:
        self._file, self._table, self._keys = file, table, keys

    def read(self) -> Samples:
        """Read the file. Raises OSError and Garbled."""
        text = self._file.read()
        return self._table.render(excerpt(text, self._keys) if self._keys else text)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def rows_of(text: bytes) -> Iterator[Row]:
    """Return the lines that are not empty."""
    start = 0
    for line in text.split(b"\n"):
        if fields := line.split():
            yield Row(start, fields)
            start += len(fields)


def picker(places: Sequence[int]) -> Callable[[Tokens], tuple[bytes, ...]]:
    """Return itemgetter, which always gives a tuple."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda tokens: tuple([tokens[place] for place in places])


class Multiples(dict[bytes, bytes]):
    """Whole numbers in the base unit, remembered: most of what the kernel counts in KiB is what it was."""

    def __init__(self, factor: int) -> None:
        self._factor = factor

    def __missing__(self, value: bytes) -> bytes:
        if len(self) >= _MAX_MULTIPLES:
            self.clear()
        multiple = self[value] = b"%d" % (int(value) * self._factor)
        return multiple


def excerpt(text: bytes, keys: Iterable[bytes]) -> bytes:
    """Return the lines with these keys, best in the text's order: of a long file, that is cheaper than splitting it.

    The first line is not looked at.
    """
    lines, end = [], 0
    for key in keys:
        beginning = b"\n%b " % key
        start = text.find(beginning, end)
        if start < 0:
            start = text.find(beginning)
        if start >= 0:
            end = text.find(b"\n", start + 1)
            lines.append(text[start:end] if end >= 0 else text[start:])
    return b"".join(lines)


def keyed(families: Mapping[bytes, Family], *, exponents: Mapping[Family, int] | None = None) -> Survey:
    """Return the survey of a text with a key and its value in each line; what this kernel does not say is left out."""

    def survey(rows: Rows) -> Iterator[Part]:
        places = {row.fields[0]: row.start + 1 for row in rows if len(row.fields) > 1}
        said = {key: family for key, family in families.items() if key in places}
        if said:
            yield Part(list(said.values()), [()], [places[key] for key in said], exponents=exponents or {})

    return survey


def unique(rows: Iterable[Row], column: int) -> list[Row]:
    """Return the first row of each name: a series must not be written twice."""
    first: dict[bytes, Row] = {}
    for row in rows:
        first.setdefault(row.fields[column], row)
    return list(first.values())
