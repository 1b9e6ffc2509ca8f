"""A query's declaration, and what its rows become: label sets, numbers, and counts of what could not be shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from perfloop.errors import Rejected
from perfloop.exposition.block import Block
from perfloop.exposition.text import number
from perfloop.model import Family, MetricType
from perfloop.protocols import Piece

_LABELS = ("component", "query")
TRUNCATED = Family(
    name="perfloop_query_truncated_total",
    type=MetricType.COUNTER,
    help="Results of the query that had more rows than max_rows, and were cut.",
    labels=_LABELS,
)
REPEATED = Family(
    name="perfloop_query_repeated_rows_total",
    type=MetricType.COUNTER,
    help="Rows of the query that were left out, as one before them had the same labels.",
    labels=_LABELS,
)
IGNORED = Family(
    name="perfloop_query_ignored_values_total",
    type=MetricType.COUNTER,
    help="Values of the query that were left out, as they are no numbers; NULL is not counted.",
    labels=_LABELS,
)


class Column(Struct, frozen=True, kw_only=True):
    """A column of numbers."""

    name: str
    type: MetricType
    help: str = ""


class Query(Struct, frozen=True, kw_only=True):
    """One statement as it is configured: which columns are labels, and which are values."""

    name: str
    sql: str
    labels: tuple[str, ...]
    values: tuple[Column, ...]
    min_interval_seconds: float = 0.0
    max_rows: int = 100
    timeout_seconds: float = 5.0

    @property
    def families(self) -> tuple[Family, ...]:
        """What its rows become, in the order of `values`."""
        kept = f" Asked at most every {self.min_interval_seconds:g} s." if self.min_interval_seconds else ""
        return tuple(
            Family(
                name=metric_name(self.name, column.name, column.type),
                type=column.type,
                help=f"{column.help or column.name}, query {self.name} of perfloop.yml.{kept}",
                labels=("component", *self.labels),
            )
            for column in self.values
        )


class Result(Struct, frozen=True):
    """Names of the columns, and rows of whatever types the driver has."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


class Statements(Protocol):
    """Runs statements over a connection of its own, which it makes when it is needed."""

    def run(self, sql: str, *, max_rows: int, timeout_seconds: float) -> Result:
        """Return at most `max_rows` rows, from a read-only transaction.

        Raises Unavailable without a connection, Rejected when the statement fails; neither repeats the statement's
        words, nor those of the server about it.
        """

    def close(self) -> None:
        """Close the connection. Twice is harmless."""


class Shown(Struct, frozen=True, kw_only=True):
    """What is on the page of a query."""

    samples: tuple[Piece, ...] = ()
    truncated: int = 0
    repeated: int = 0
    ignored: int = 0

    def without_samples(self) -> Shown:
        """Return the counts alone."""
        return replace(self, samples=())


def show(query: Query, result: Result, *, block: Block, before: Shown) -> Shown:
    """Return what a result shows. Raises Rejected when it lacks a column."""
    missing = {*query.labels, *(column.name for column in query.values)} - set(result.columns)
    if missing:
        raise Rejected(f"the result has no column {', '.join(sorted(missing))}")
    places = {name: i for i, name in enumerate(result.columns)}
    labels = [places[name] for name in query.labels]
    values = [places[column.name] for column in query.values]
    found: dict[tuple[str, ...], tuple[bytes, ...]] = {}
    repeated = ignored = 0
    for row in result.rows[: query.max_rows]:
        label_set = tuple(label_of(row[i]) for i in labels)
        if label_set in found:
            repeated += 1
            continue
        tokens = [token_of(row[i]) for i in values]
        ignored += tokens.count(None)
        found[label_set] = tuple(token or b"" for token in tokens)
    return Shown(
        samples=tuple(block.render(list(found), list(found.values()))),
        truncated=before.truncated + (len(result.rows) > query.max_rows),
        repeated=before.repeated + repeated,
        ignored=before.ignored + ignored,
    )


def token_of(value: object) -> bytes | None:
    """Return a number as the page shows it, nothing for NULL, NaN and infinity, and None for what is no number."""
    if value is None:
        return b""
    if isinstance(value, Decimal):
        return str(value).encode() if value.is_finite() else b""
    if isinstance(value, bool | int | float):
        return number(int(value) if isinstance(value, bool) else value) if math.isfinite(value) else b""
    return None


def label_of(value: object) -> str:
    """Return a value as a label; NULL is the empty one, which Prometheus takes for none."""
    if value is None:
        return ""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "replace")
    return str(value)


def metric_name(query: str, column: str, kind: MetricType) -> str:
    """Return the name of a column's metric; a counter's ends in `_total`, whatever the column's does."""
    name = f"perfloop_query_{query}_{column}"
    return f"{name}_total" if kind is MetricType.COUNTER and not name.endswith("_total") else name
