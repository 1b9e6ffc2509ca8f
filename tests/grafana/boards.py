"""The committed boards as tests see them: panels, queries, and the series that a query reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
from msgspec import Struct

FOLDER = Path(__file__).parents[2] / "grafana" / "dashboards"
BOARDS = sorted(FOLDER.glob("*.json"))
# What Grafana puts in place of its variables when everything is chosen.
VARIABLES = {"$job": ".+", "$instance": ".+", "$__rate_interval": "1m", "$__range": "1h"}


class Query(Struct, frozen=True, kw_only=True):
    """One query of a board; `title` is that of its panel or annotation."""

    title: str
    expr: str
    datasource: str
    annotation: bool = False

    @property
    def promql(self) -> str:
        """The expression with its variables filled in."""
        expr = self.expr
        for name, value in VARIABLES.items():
            expr = expr.replace(name, value)
        return expr


class Selector(Struct, frozen=True, kw_only=True):
    """One series selector of a query, and the function that its range goes into, if it has one."""

    metric: str
    matchers: dict[str, str]
    function: str = ""


def load(path: Path) -> dict[str, Any]:
    """Read a board."""
    board: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return board


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels that draw something: all but the rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries(board: dict[str, Any]) -> list[Query]:
    """Return the queries of all panels and annotations."""
    drawn = [
        Query(title=panel["title"], expr=target["expr"], datasource=target["datasource"]["uid"])
        for panel in panels(board)
        for target in panel["targets"]
    ]
    marks = [
        Query(title=mark["name"], expr=mark["expr"], datasource=mark["datasource"]["uid"], annotation=True)
        for mark in board["annotations"]["list"]
    ]
    return drawn + marks


def selectors(query: Query) -> list[Selector]:
    """Parse the query and return what it reads."""
    return list(_selectors(promql_parser.parse(query.promql), ""))


def _selectors(node: Any, function: str) -> Iterator[Selector]:
    match node:
        case promql_parser.VectorSelector():
            matchers = {matcher.name: matcher.value for matcher in node.matchers.matchers}
            yield Selector(metric=node.name, matchers=matchers, function=function)
        case promql_parser.MatrixSelector():
            yield from _selectors(node.vector_selector, function)
        case promql_parser.Call():
            for argument in node.args:
                yield from _selectors(argument, node.func.name)
        case promql_parser.BinaryExpr():
            yield from _selectors(node.lhs, function)
            yield from _selectors(node.rhs, function)
        case promql_parser.AggregateExpr() | promql_parser.ParenExpr() | promql_parser.UnaryExpr():
            yield from _selectors(node.expr, function)
        case promql_parser.NumberLiteral() | promql_parser.StringLiteral():
            return
        case _:
            raise AssertionError(f"the tests cannot read {node}")
