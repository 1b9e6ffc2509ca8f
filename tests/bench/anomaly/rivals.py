"""What others do in PromQL, after their published descriptions: the z-score, and the bands of grafana.

https://github.com/grafana/promql-anomaly-detection at 738e34e: `adaptive` is about the mean, `robust` about the median;
both as they are shipped, for values above 0 only. All get what ours has: an alert counts when it starts, and not again
for 12 hours.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from perfloop.rules.analysis.values import VALUE
from perfloop.rules.groups import Group, Rule

PEERS = {
    "z-score": "rival:z:new",
    "grafana adaptive": "rival:adaptive:start",
    "grafana robust": "rival:robust:start",
}
_POSITIVE = "rival:positive:avg5m"
_Z = f"abs({VALUE} - avg_over_time({VALUE}[7d])) / (stddev_over_time({VALUE}[7d]) > 0)"


def beside(groups: Iterable[Group]) -> tuple[Group, ...]:
    """Return the groups with their rules in the one that records the values: evaluated at the same times."""
    return tuple(
        replace(group, rules=(*group.rules, *_rules())) if any(rule.record == VALUE for rule in group.rules) else group
        for group in groups
    )


def _rules() -> tuple[Rule, ...]:
    z = (
        Rule(record="rival:z:score", expr=_Z),
        Rule(
            record="rival:z:new",
            expr="rival:z:score > 3 unless max_over_time(rival:z:score[12h] offset 4m) >= rival:z:score",
        ),
    )
    return (*z, Rule(record=_POSITIVE, expr=f"{VALUE} > 0"), *_adaptive(), *_robust())


def _adaptive() -> tuple[Rule, ...]:
    x, name = _POSITIVE, "rival:adaptive"
    bounds = {"spread": (f"{name}:avg1h", f"2 * {name}:stddev26h"), "margin": (f"{name}:avg1h", f"0.5 * {name}:avg1h")}
    for label, offset in (("day", "23h30m"), ("week", "167h30m")):
        bounds[label] = (f"avg_over_time({x}[1h] offset {offset})", f"2 * stddev_over_time({x}[1h] offset {offset})")
    return (
        Rule(record=f"{name}:avg1h", expr=f"avg_over_time({x}[1h])"),
        Rule(record=f"{name}:stddev1h", expr=f"stddev_over_time({x}[1h]) > 0.5 * {name}:avg1h"),
        Rule(record=f"{name}:stddev26h", expr=f"avg_over_time({name}:stddev1h[26h])"),
        *_bands(name, bounds),
    )


def _robust() -> tuple[Rule, ...]:
    x, name = _POSITIVE, "rival:robust"
    middle = f"quantile_over_time(0.5, {x}[1h])"
    bounds = {
        "spread": (f"{name}:median24h", f"2 * {name}:mad24h"),
        "margin": (f"{name}:median24h", f"0.5 * {name}:median24h"),
    }
    for label, offset in (("day", "23h45m"), ("week", "167h45m")):
        bounds[label] = (f"quantile_over_time(0.5, {x}[1h] offset {offset})", f"2 * {name}:mad24h")
    return (
        Rule(record=f"{name}:median24h", expr=f"quantile_over_time(0.5, {x}[24h])"),
        Rule(record=f"{name}:distance", expr=f"abs({x} - {name}:median24h)"),
        Rule(record=f"{name}:mad24h", expr=f"quantile_over_time(0.5, {name}:distance[24h])"),
        *_bands(name, bounds, level=middle),
    )


def _bands(name: str, bounds: dict[str, tuple[str, str]], *, level: str = _POSITIVE) -> tuple[Rule, ...]:
    """Return the widest of the bounds, when the level lies outside of it for five minutes, and when that starts."""
    outside = f"({level} > {name}:upper or {level} < {name}:lower)"
    return (
        *(Rule(record=f"{name}:up", expr=f"{a} + {b}", labels={"bound": key}) for key, (a, b) in bounds.items()),
        *(Rule(record=f"{name}:low", expr=f"{a} - {b}", labels={"bound": key}) for key, (a, b) in bounds.items()),
        Rule(record=f"{name}:upper", expr=f"max without (bound) ({name}:up)"),
        Rule(record=f"{name}:lower", expr=f"clamp_min(min without (bound) ({name}:low), 0)"),
        Rule(record=f"{name}:outside", expr=outside),
        Rule(record=f"{name}:alert", expr=f"{name}:outside and {name}:outside offset 4m"),
        Rule(record=f"{name}:start", expr=f"{name}:alert unless count_over_time({name}:alert[12h] offset 4m) > 0"),
    )
