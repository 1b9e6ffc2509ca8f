"""Service levels: the share of errors over several windows, and alerts when the budget is used up too fast.

A burn rate of 1 uses the whole budget up in exactly its window. Each alert asks two windows: the long one says that it
matters, the short one that it still goes on. The pairs and their rates are those of the SRE Workbook, chapter 5.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from perfloop.rules.groups import Group, Notice, Rule
from perfloop.rules.links import Links
from perfloop.rules.promql import duration, number

#: Where all of these alerts are explained, and how the name of each ends.
PAGE = "ErrorBudgetBurn"

_HOUR, _DAY = 3600, 86400
_SHORTEST_SECONDS = 300
# Evaluated more rarely: a day of raw samples is much to read at each collection, and changes little between two.
_SLOW_FROM_SECONDS = 2 * _HOUR
_SLOW_INTERVAL_SECONDS = 120


class ServiceLevel(Struct, frozen=True, kw_only=True):
    """`objective_ratio` of all must go well; `errors` and `total` are rates with `$window` for the range."""

    name: str
    objective_ratio: float
    window_seconds: int
    errors: str
    total: str
    description: str
    notice: Notice

    @property
    def budget_ratio(self) -> float:
        """The share that may go wrong, without the noise of 1 - 0.999."""
        return round(1 - self.objective_ratio, 12)

    @property
    def alert(self) -> str:
        """The alert's name: `checkout` is `CheckoutErrorBudgetBurn`."""
        words = self.name.replace("-", "_").split("_")
        return "".join(word[:1].upper() + word[1:] for word in words) + PAGE


class Burn(Struct, frozen=True, kw_only=True):
    """Two windows, and the burn rate that both must be above."""

    short_seconds: int
    long_seconds: int
    rate: float


_BURNS = {
    "critical": (
        Burn(short_seconds=300, long_seconds=_HOUR, rate=14.4),
        Burn(short_seconds=1800, long_seconds=6 * _HOUR, rate=6),
    ),
    "warning": (
        Burn(short_seconds=2 * _HOUR, long_seconds=_DAY, rate=3),
        Burn(short_seconds=6 * _HOUR, long_seconds=3 * _DAY, rate=1),
    ),
}


def recording_groups(levels: Sequence[ServiceLevel], *, interval_seconds: int) -> tuple[Group, ...]:
    """Return the shares of errors over each window, those over hours and days in a slower group."""
    quick = tuple(rule for level in levels for rule in _ratios(level) if not _is_slow(rule[0]))
    slow = tuple(rule for level in levels for rule in _ratios(level) if _is_slow(rule[0]))
    return (
        Group(name="perfloop-error-ratios", interval_seconds=interval_seconds, rules=tuple(rule for _, rule in quick)),
        Group(
            name="perfloop-error-budgets",
            interval_seconds=max(interval_seconds, _SLOW_INTERVAL_SECONDS),
            rules=(*(rule for _, rule in slow), *(rule for level in levels for rule in _budget(level))),
        ),
    )


def alerts(entry: ServiceLevel, *, links: Links) -> tuple[Rule, ...]:
    """Return the critical and the warning rule, under one name; what cannot ever hold is left out."""
    found = {severity: _condition(entry, burns) for severity, burns in _BURNS.items()}
    return tuple(_alert(entry, severity, expr, links) for severity, expr in found.items() if expr)


def series(window_seconds: int) -> str:
    """Return the name of the recorded share of errors over a window."""
    return f"slo:error_ratio:rate{duration(window_seconds)}"


def _windows(entry: ServiceLevel) -> list[int]:
    burns = [burn for group in _BURNS.values() for burn in group if burn.long_seconds <= entry.window_seconds]
    return sorted({_SHORTEST_SECONDS, *(w for burn in burns for w in (burn.short_seconds, burn.long_seconds))})


def _is_slow(window_seconds: int) -> bool:
    return window_seconds >= _SLOW_FROM_SECONDS


def _ratios(entry: ServiceLevel) -> list[tuple[int, Rule]]:
    return [
        (
            window,
            Rule(
                record=series(window),
                expr=_ratio(entry, window),
                labels={"slo": entry.name},
                source=f"slos.{entry.name}",
            ),
        )
        for window in _windows(entry)
    ]


def _ratio(entry: ServiceLevel, window_seconds: int) -> str:
    # What never failed has no series of errors, and is no gap in the record; what is not used at all is.
    errors, total = (_over(text, window_seconds) for text in (entry.errors, entry.total))
    return f"(({errors}) or 0 * ({total})) / (({total}) > 0)"


def _over(text: str, window_seconds: int) -> str:
    return text.strip().replace("$window", duration(window_seconds))


def _budget(entry: ServiceLevel) -> tuple[Rule, ...]:
    """Return the share of errors over the whole window, as the mean of the shortest ones, and what it leaves."""
    selector = f'{{slo="{entry.name}"}}'
    samples = f"{series(_SHORTEST_SECONDS)}{selector}[{duration(entry.window_seconds)}]"
    labels, source = {"slo": entry.name}, f"slos.{entry.name}"
    return (
        Rule(
            record="slo:error_ratio:window",
            expr=f"sum_over_time({samples}) / count_over_time({samples})",
            labels=labels,
            source=source,
        ),
        Rule(
            record="slo:error_budget_remaining:ratio",
            expr=f"1 - slo:error_ratio:window{selector} / {number(entry.budget_ratio)}",
            labels=labels,
            source=source,
        ),
    )


def _condition(entry: ServiceLevel, burns: Sequence[Burn]) -> str:
    """Return what holds when one of the pairs does; a share of errors above one does not exist."""
    budget, selector = number(entry.budget_ratio), f'{{slo="{entry.name}"}}'
    pairs = [
        f"({series(burn.short_seconds)}{selector} > {number(burn.rate)} * {budget}"
        f" and {series(burn.long_seconds)}{selector} > {number(burn.rate)} * {budget})"
        for burn in burns
        if burn.long_seconds <= entry.window_seconds and burn.rate * entry.budget_ratio < 1
    ]
    return " or ".join(pairs)


def _alert(entry: ServiceLevel, severity: str, expr: str, links: Links) -> Rule:
    words = f"{entry.description.rstrip('.')}. " if entry.description else ""
    remaining = f"min(slo:error_budget_remaining:ratio{{slo='{entry.name}'}})"
    return Rule(
        alert=entry.alert,
        expr=expr,
        keep_firing_for_seconds=entry.notice.keep_firing_for_seconds,
        labels={"severity": severity, "rule": entry.name, "slo": entry.name},
        annotations={
            "summary": f"The service level {entry.name} uses its error budget up too fast.",
            "description": f"{words}{{{{ $value | humanizePercentage }}}} failed of late, where"
            f" {number(round(100 * entry.budget_ratio, 10))}% may over {duration(entry.window_seconds)};"
            f' of the budget {{{{ with query "{remaining}" }}}}{{{{ . | first | value | humanizePercentage }}}}'
            "{{ else }}an unknown share{{ end }} is left.",
            **links.annotations(entry.alert, page=PAGE),
        },
        source=f"slos.{entry.name}",
        notice=entry.notice,
    )
