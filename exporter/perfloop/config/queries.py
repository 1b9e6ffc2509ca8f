"""Whether the user's own queries make metrics that can stand on one page."""

from __future__ import annotations

import re
from collections import Counter

from perfloop.collectors.queries import STATUS
from perfloop.collectors.queries_result import metric_name
from perfloop.config.reader import Document
from perfloop.config.schema import Config
from perfloop.config.schema.components import QuerySection, TablesSection
from perfloop.model import MetricType

_SPEAKS_SQL = ("mysql", "postgresql")
_MAX_DATABASES = 20
# Endings that say what a metric is, so that no gauge may have them.
_RESERVED = re.compile(r"_(total|sum|count|bucket|info)$")
_OWN = frozenset(family.name for family in STATUS)


def check_queries(document: Document, config: Config) -> None:
    """Report queries that cannot be asked, and metrics that would be there twice or break a convention."""
    made: dict[str, tuple[object, str]] = {}
    for name, section in config.components.items():
        path = f"components.{name}"
        if section.queries and section.driver not in _SPEAKS_SQL:
            document.report(f"{path}.queries", f"expected none, as {section.driver} speaks no SQL")
        if section.tables != TablesSection() and section.driver != "postgresql":
            document.report(f"{path}.tables", f"is for postgresql, not for {section.driver}")
        databases = len(section.tables.databases)
        if databases > _MAX_DATABASES:
            expected = f"expected at most {_MAX_DATABASES}, as each costs a connection"
            document.report(f"{path}.tables.databases", f"{expected}, got {databases}")
        names = [query.name for query in section.queries]
        for i, query in enumerate(section.queries):
            below = f"{path}.queries[{i}]"
            if query.name in names[:i]:
                document.report(f"{below}.name", f"{query.name!r} stands twice")
                continue
            _check_columns(document, below, query)
            _check_names(document, below, query, made)


def _check_columns(document: Document, path: str, query: QuerySection) -> None:
    for label, times in Counter(query.labels).items():
        if label == "component":
            document.report(f"{path}.labels", "'component' is set by perfloop; name the column otherwise, with AS")
        if label in query.values:
            document.report(f"{path}.labels", f"{label!r} is in values, too")
        if times > 1:
            document.report(f"{path}.labels", f"{label!r} stands twice")
    for column, value in query.values.items():
        reserved = _RESERVED.search(column)
        if value.type == "gauge" and reserved:
            expected = "expected another name, given with AS, or the type counter"
            document.report(f"{path}.values.{column}", f"a gauge's name must not end in {reserved[0]}; {expected}")


def _check_names(document: Document, path: str, query: QuerySection, made: dict[str, tuple[object, str]]) -> None:
    for column, value in query.values.items():
        name, place = metric_name(query.name, column, MetricType(value.type)), f"{path}.values.{column}"
        shape = (query.labels, value.type, value.help, query.min_interval_seconds)
        other_shape, other_place = made.setdefault(name, (shape, place))
        if name in _OWN:
            document.report(place, f"{name} is a metric of perfloop's own; name the query or the column otherwise")
        elif other_place != place and other_place.startswith(path.partition("[")[0]):
            document.report(place, f"{name} is made by {other_place}, too")
        elif other_shape != shape:
            document.report(place, f"{name} is made by {other_place}, too, with other labels, type, help or interval")
