"""From a section of `components` to the collectors that measure it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from perfloop.app.recipe import Recipe
from perfloop.collectors import collector
from perfloop.collectors.queries import QueriesCollector
from perfloop.collectors.queries_result import Column, Query, Statements
from perfloop.config.schema import ComponentSection
from perfloop.config.schema.components import QuerySection
from perfloop.model import Component, MetricType


def measure(section: ComponentSection, component: Component, *, compat: frozenset[str]) -> Iterator[Recipe]:
    """Say which collectors measure a component, and how to make each."""
    yield Recipe(collector(section.driver), component, **_options(section, compat=compat))
    if section.queries:
        queries = tuple(query_of(query) for query in section.queries)
        yield Recipe(QueriesCollector, component, queries, connect=_statements(section.driver))


def query_of(section: QuerySection) -> Query:
    """Return a query as its collector takes it."""
    return Query(
        name=section.name,
        sql=section.sql,
        labels=section.labels,
        values=tuple(
            Column(name=name, type=MetricType(value.type), help=value.help) for name, value in section.values.items()
        ),
        min_interval_seconds=section.min_interval_seconds,
        max_rows=section.max_rows,
        timeout_seconds=section.timeout_seconds,
    )


def _statements(driver: str) -> Callable[[Component], Statements]:
    """Return who runs the statements of `queries`."""
    if driver == "mysql":
        from perfloop.collectors.mariadb.statements import MysqlStatements  # noqa: PLC0415 - only what is measured

        return MysqlStatements
    from perfloop.collectors.postgres.statements import PostgresqlStatements  # noqa: PLC0415 - as above

    return PostgresqlStatements


def _options(section: ComponentSection, *, compat: frozenset[str]) -> dict[str, Any]:
    """Return what a driver's collector takes besides the component."""
    if section.driver == "postgresql":
        return {
            "timeout_seconds": section.timeout_seconds,
            "settings": section.settings,
            "table_databases": section.tables.databases,
            "max_tables": section.tables.max_tables,
            "compat": "postgres" in compat,
        }
    if section.driver == "redis":
        return {"timeout_seconds": section.timeout_seconds, "compat": "redis" in compat}
    if section.driver in {"mysql", "memcached"}:
        return {"timeout_seconds": section.timeout_seconds}
    return {}
