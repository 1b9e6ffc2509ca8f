"""A question to PostgreSQL as data: which expression is which family, and where this version of the server has it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from msgspec import Struct

from perfloop.exposition.block import Block
from perfloop.exposition.text import Label
from perfloop.model import Family, MetricType
from perfloop.protocols import Piece

# The columns of the statistics views that the server has, by view.
Columns = Mapping[bytes, frozenset[bytes]]
Row = Sequence[bytes]

# What versions differ in. pg_ls_waldir is a function, and here if we may call it: a statement that only might call it
# is refused as a whole.
COLUMNS_SQL = """
SELECT relname::text, attname::text
  FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
 WHERE relname ~ '^pg_(stat|replication)' AND attnum > 0 AND NOT attisdropped
   AND (pg_table_is_visible(pg_class.oid) OR relname = 'pg_stat_statements')
 UNION ALL
SELECT 'pg_ls_waldir', 'size' WHERE has_function_privilege('pg_ls_waldir()', 'EXECUTE')"""

_COLUMN = re.compile(r"\b(pg_stat\w*|pg_replication\w*|pg_ls_waldir)\.(\w+)\b")


class Value(Struct, frozen=True, kw_only=True):
    """One family and where its value stands: the first expression whose columns exist here, else it is absent."""

    family: Family
    sql: tuple[str, ...]


class Spread(Struct, frozen=True, kw_only=True):
    """One family whose last label is in the columns: the label's values, and the expression for each of them."""

    family: Family
    sql: Mapping[str, str]


class Question(Struct, frozen=True, kw_only=True):
    """One statement: expressions, of which `keys` label its rows, and `source`, all that follows the expressions.

    `notes` are for the collector, and not shown. `before` is a WITH. `{optional}` in the source becomes the joins of
    those views that not every server has.
    """

    keys: tuple[str, ...]
    values: tuple[Value, ...]
    source: str
    spreads: tuple[Spread, ...] = ()
    notes: tuple[str, ...] = ()
    before: str = ""
    optional: Mapping[str, str] = {}

    @property
    def families(self) -> tuple[Family, ...]:
        """What it fills."""
        return (*(value.family for value in self.values), *(spread.family for spread in self.spreads))

    def statement(self, columns: Columns) -> str:
        """Return the SQL for a server that has these columns; every result is text, and empty instead of NULL."""
        values = [next((sql for sql in value.sql if _exists(sql, columns)), "NULL") for value in self.values]
        spread = [sql if _exists(sql, columns) else "NULL" for spread in self.spreads for sql in spread.sql.values()]
        shown = ",\n  ".join(f"coalesce(({sql})::text, '')" for sql in (*self.notes, *self.keys, *values, *spread))
        joins = "\n".join(join for view, join in self.optional.items() if view.encode() in columns)
        return f"{self.before}\nSELECT {shown}\n{self.source.replace('{optional}', joins)}"


class Answer:
    """The rows of one question as sample lines."""

    def __init__(self, question: Question, *, fixed: Sequence[str]) -> None:
        self._start = len(question.notes)
        self._keys = self._start + len(question.keys)
        self._end = self._keys + len(question.values)
        self._block = Block([value.family for value in question.values], fixed=fixed)
        self._spreads = [(spread, Block([spread.family], fixed=fixed)) for spread in question.spreads]

    def render(self, rows: Sequence[Row]) -> Iterator[Piece]:
        """Return the lines of each family."""
        keys, end = self._keys, self._end
        names = [row[self._start : keys] for row in rows]
        if keys < end:
            yield from self._block.render(names, [row[keys:end] for row in rows])
        for spread, block in self._spreads:
            start, end = end, end + len(spread.sql)
            label_sets: list[tuple[Label, ...]] = [(*name, label) for name in names for label in spread.sql]
            yield from block.render_tokens(label_sets, tuple(chain.from_iterable(row[start:end] for row in rows)))


def family(name: str, text: str, *labels: str) -> Family:
    """Declare a family of a PostgreSQL component; what ends in `_total` is a counter."""
    kind = MetricType.COUNTER if name.endswith("_total") else MetricType.GAUGE
    return Family(name=f"perfloop_postgresql_{name}", type=kind, help=text, labels=("component", *labels))


def value(name: str, text: str, *sql: str, labels: Sequence[str] = ()) -> Value:
    """Declare a family and the expressions of its value, the first choice first."""
    return Value(family=family(name, text, *labels), sql=sql)


def columns_of(rows: Sequence[Row]) -> Columns:
    """Return which columns each view has, from the rows of COLUMNS_SQL."""
    found: dict[bytes, set[bytes]] = {}
    for view, column in rows:
        found.setdefault(view, set()).add(column)
    return {view: frozenset(names) for view, names in found.items()}


def _exists(sql: str, columns: Columns) -> bool:
    used = _COLUMN.findall(sql)
    return all(column.encode() in columns.get(view.encode(), frozenset()) for view, column in used)
