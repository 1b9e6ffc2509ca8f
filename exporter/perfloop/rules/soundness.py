"""PromQL of the user's own that would be evaluated, but mean nothing: mistakes that are found before Prometheus runs.

The grammar is that of the package promql-parser (Prometheus 3); what Prometheus 2.42 lacks of it is refused here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from perfloop.model import MetricType
from perfloop.rules.promql import duration

# What Prometheus 2.42 and 3.x both have, without the experimental ones.
_FUNCTIONS = """
abs absent absent_over_time acos acosh asin asinh atan atanh avg_over_time ceil changes clamp clamp_max clamp_min
cos cosh count_over_time day_of_month day_of_week day_of_year days_in_month deg delta deriv exp floor
histogram_count histogram_fraction histogram_quantile histogram_sum hour idelta increase irate label_join
label_replace last_over_time ln log10 log2 max_over_time min_over_time minute month pi predict_linear
present_over_time quantile_over_time rad rate resets round scalar sgn sin sinh sort sort_desc sqrt
stddev_over_time stdvar_over_time sum_over_time tan tanh time timestamp vector year
"""
_AGGREGATORS = "avg bottomk count count_values group max min quantile stddev stdvar sum topk"
FUNCTIONS, AGGREGATORS = frozenset(_FUNCTIONS.split()), frozenset(_AGGREGATORS.split())

_OF_COUNTERS = frozenset(("rate", "irate", "increase", "resets"))
_OF_GAUGES = frozenset(
    (
        *("delta", "deriv", "idelta", "predict_linear"),
        *(f"{name}_over_time" for name in ("avg", "sum", "quantile", "stddev", "stdvar")),
    )
)
_KEEPING_NAMES = frozenset(("last_over_time", "absent_over_time", "absent"))
_TEXT = re.compile(r"""\\.|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`|#[^\n]*""")
_BARE_DURATION = re.compile(r"\[\s*[0-9.]+\s*[:\]]|:\s*[0-9.]+\s*\]|\boffset\s+-?\s*[0-9.]+(?![0-9.]*(?:ms|[smhdwy]))")
_QUOTED_NAME = re.compile(r"""\{(?:[^{}]*,)?\s*""\s*[,}]""")
_JOINTS = re.compile(r"[(*/%^<>=+-]|\b(?:and|or|unless)\b")
# The parser's time grows with their third power: these take it about a second.
_MOST_JOINTS = 250
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_OURS = re.compile(r"perfloop[_:]")


class Known(Struct, frozen=True, kw_only=True):
    """What there is to ask for. `types` are of every series of perfloop's own, by name; `recorded` are gauges.

    What begins with one of `open_prefixes` is a gauge as well: its names come from a server.
    """

    types: Mapping[str, MetricType]
    recorded: frozenset[str]
    open_prefixes: tuple[str, ...] = ()
    retention_seconds: int


def parser_is_installed() -> bool:
    """Say whether expressions can be judged; the package comes with the extra `rules`."""
    try:
        import promql_parser  # noqa: F401, PLC0415 - 5 MB, and no exporter needs it
    except ImportError:
        return False
    return True


def problems(text: str, known: Known) -> list[str]:
    """Return what is wrong with an expression, each thing once; nothing where the parser is not installed."""
    if not parser_is_installed():
        return []
    import promql_parser  # noqa: PLC0415 - see above

    code = _TEXT.sub('""', text)
    if len(_JOINTS.findall(code)) > _MOST_JOINTS:
        return [f"has more than {_MOST_JOINTS} operators and parentheses; make parts of it metrics of their own"]
    if _BARE_DURATION.search(code):
        return ["has a duration without a unit, which Prometheus 2 does not read"]
    if _QUOTED_NAME.search(code):
        return ["has a name in quotes, which Prometheus 2 does not read"]
    try:
        root = promql_parser.parse(text)
    except ValueError as error:
        return [_refusal(str(error))]
    return list(dict.fromkeys(_judge(root, known)))


def grouping(text: str) -> tuple[str, tuple[str, ...]] | None:
    """Return how the outermost aggregation of an expression groups: `by` or `without`, and labels; None without one."""
    import promql_parser  # noqa: PLC0415 - see above

    try:
        node = _bare(promql_parser.parse(text))
    except ValueError:
        return None
    if type(node).__name__ != "AggregateExpr":
        return None
    modifier = node.modifier
    if modifier is None:
        return "by", ()
    word = "without" if "Without" in str(modifier.type) else "by"
    return word, tuple(sorted(modifier.labels))


def unknown_name(name: str, known: Known) -> str | None:
    """Return what is wrong with the name of a series of perfloop's own, if it is one."""
    # What alerts compare with is recorded beside the metric: perfloop:cpu_usage:avg_1d.
    if not _OURS.match(name) or name in known.types or ":".join(name.split(":")[:2]) in known.recorded:
        return None
    if name.startswith(known.open_prefixes):
        return None
    if known.types.get(f"{name}_bucket") is MetricType.HISTOGRAM:
        return f"{name} is a histogram; its series are {name}_bucket, {name}_sum and {name}_count"
    names = known.recorded if name.startswith("perfloop:") else known.types
    close = difflib.get_close_matches(name, names, n=1)
    where = "is not recorded" if name.startswith("perfloop:") else "is not a metric of the exporter or the optimizer"
    return f"{name} {where}{f'; did you mean {close[0]}?' if close else ''}"


def type_of(name: str | None, known: Known) -> MetricType | None:
    """Return whether a series of perfloop's own counts or measures; None for all others."""
    if name is None:
        return None
    if name in known.recorded or name.startswith(known.open_prefixes):
        return MetricType.GAUGE
    found = known.types.get(name)
    if found is MetricType.HISTOGRAM:
        return MetricType.COUNTER
    return MetricType.GAUGE if found is MetricType.INFO else found


def _judge(root: Any, known: Known) -> Iterator[str]:  # noqa: ANN401 - the parser's nodes have no common base
    if type(_bare(root)).__name__ in {"MatrixSelector", "SubqueryExpr", "StringLiteral"}:
        yield "gives no value that could be recorded or compared; a range needs a function around it"
    reach = _reach(root)
    if reach > known.retention_seconds:
        kept = f"performance_collection.retention_period, {duration(known.retention_seconds)}"
        days, rest = divmod(round(reach), 86400)
        asked = duration(days * 86400) + (duration(rest) if rest else "") if days else duration(rest)
        yield f"looks back {asked}, longer than {kept}"
    for node in _walk(root):
        match type(node).__name__:
            case "VectorSelector":
                yield from _selector(node, known)
            case "Call":
                yield from _call(node, known)
            case "AggregateExpr" if str(node.op) not in AGGREGATORS:
                yield f"{node.op}() is not in Prometheus 2.42"
    for node in _walk(root, _valued):
        if type(node).__name__ == "AggregateExpr":
            yield from _aggregation(node, known)


def _selector(node: Any, known: Known) -> Iterator[str]:  # noqa: ANN401 - see above
    name = _name_of(node)
    matchers = node.matchers
    if matchers.or_matchers:
        yield "has `or` between matchers, which Prometheus does not read; join two selectors by `or`"
    strange = [m.name for m in matchers.matchers if not _NAME.fullmatch(m.name)]
    for text in [*strange, *([name] if name and not _NAME.fullmatch(name) else [])]:
        yield f"has the name {text!r}, which Prometheus 2.42 does not read"
    unknown = unknown_name(name, known) if name else None
    if unknown:
        yield unknown


def _call(node: Any, known: Known) -> Iterator[str]:  # noqa: ANN401 - see above
    function = node.func.name
    if function not in FUNCTIONS:
        yield _no_function(function)
    for argument in map(_bare, node.args):
        kind = type(argument).__name__
        if kind not in {"MatrixSelector", "SubqueryExpr"}:
            continue
        inner = argument.vector_selector if kind == "MatrixSelector" else _bare(argument.expr)
        if type(inner).__name__ == "VectorSelector":
            yield from _over_series(function, inner, known)
        elif function in _OF_COUNTERS:
            yield _over_computed(function, inner)


def _over_series(function: str, selector: Any, known: Known) -> Iterator[str]:  # noqa: ANN401 - see above
    name = _name_of(selector)
    if name is None and function not in _KEEPING_NAMES:
        yield f"{function}() drops names, so that several metrics become the same series; ask for one metric at a time"
    kind = type_of(name, known)
    if function in _OF_COUNTERS and kind is MetricType.GAUGE:
        instead = (
            "it is recorded as a value already" if name in known.recorded else "delta() and deriv() are for gauges"
        )
        yield f"{function}() of {name}, which is a gauge; {instead}"
    if function in _OF_GAUGES and kind is MetricType.COUNTER:
        yield f"{function}() of {name}, which only counts up; rate() and increase() are for counters"


def _over_computed(function: str, inner: Any) -> str:  # noqa: ANN401 - see above
    rates = [
        node.func.name for node in _walk(inner) if type(node).__name__ == "Call" and node.func.name in _OF_COUNTERS
    ]
    if rates:
        return f"{function}() of {rates[0]}(), which is a value and does not count; avg_over_time() is for values"
    return (
        f"{function}() of what is computed: when one series starts anew, the result falls, and that is taken for a"
        f" restart of all; put {function}() around each series, inside"
    )


def _aggregation(node: Any, known: Known) -> Iterator[str]:  # noqa: ANN401 - see above
    operator, inner = str(node.op), _bare(node.expr)
    if operator not in {"sum", "avg"} or type(inner).__name__ != "VectorSelector":
        return
    name = _name_of(inner)
    if type_of(name, known) is MetricType.COUNTER:
        yield f"{operator}() of {name}, which counts from each restart; take its rate() before"


def _reach(node: Any) -> float:  # noqa: ANN401 - see above
    """Return how many seconds back the oldest sample is that the expression asks for."""
    below = max((_reach(child) for child in _children(node)), default=0.0)
    match type(node).__name__:
        case "VectorSelector":
            return _seconds(node.offset)
        case "MatrixSelector":
            return below + _seconds(node.range)
        case "SubqueryExpr":
            return below + _seconds(node.range) + _seconds(node.offset)
        case _:
            return below


def _refusal(words: str) -> str:
    function = re.search(r"unknown function with name '(\w+)'", words)
    return _no_function(function[1]) if function else f"is not PromQL: {words}"


def _no_function(name: str) -> str:
    close = difflib.get_close_matches(name, FUNCTIONS | AGGREGATORS, n=1, cutoff=0.8)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{name}() is not a function of both Prometheus 2.42 and 3{hint}"


def _bare(node: Any) -> Any:  # noqa: ANN401 - the parser's nodes have no common base
    while type(node).__name__ == "ParenExpr":
        node = node.expr
    return node


def _children(node: Any) -> list[Any]:  # noqa: ANN401 - see above
    match type(node).__name__:
        case "AggregateExpr":
            return [node.expr, *([node.param] if node.param is not None else [])]
        case "BinaryExpr":
            return [node.lhs, node.rhs]
        case "UnaryExpr" | "ParenExpr" | "SubqueryExpr":
            return [node.expr]
        case "Call":
            return list(node.args)
        case "MatrixSelector":
            return [node.vector_selector]
        case _:
            return []


def _valued(node: Any) -> list[Any]:  # noqa: ANN401 - see above
    """Return the parts whose values count: on the right of `and` and `unless` only their being there does."""
    if type(node).__name__ == "BinaryExpr" and str(node.op) in {"and", "unless"}:
        return [node.lhs]
    return _children(node)


def _walk(node: Any, parts: Callable[[Any], list[Any]] = _children) -> Iterator[Any]:  # noqa: ANN401 - see above
    yield node
    for child in parts(node):
        yield from _walk(child, parts)


def _seconds(delta: Any) -> float:  # noqa: ANN401 - a timedelta, or None
    return delta.total_seconds() if delta is not None else 0.0


def _name_of(selector: Any) -> str | None:  # noqa: ANN401 - see above
    """Return the one metric name that a selector asks for, if it asks for one."""
    if selector.name:
        return str(selector.name)
    exact = [m.value for m in selector.matchers.matchers if m.name == "__name__" and "NotEqual" not in str(m.op)]
    regex = [m for m in selector.matchers.matchers if m.name == "__name__" and not str(m.op).endswith(".Equal")]
    return str(exact[0]) if exact and not regex else None
