"""Service levels: the share of errors over several windows, and alerts when the budget is used up too fast."""

from __future__ import annotations

from msgspec import Struct

from perfloop.rules.groups import Notice, Rule
from perfloop.rules.links import Links


class ServiceLevel(Struct, frozen=True, kw_only=True):
    """`objective_ratio` of all must go well; `errors` and `total` are rates with `$window` for the range."""

    name: str
    objective_ratio: float
    window_seconds: int
    errors: str
    total: str
    description: str
    notice: Notice


def recordings(entry: ServiceLevel, *, path: str) -> tuple[Rule, ...]:
    """Return the shares of errors."""
    return ()


def alerts(entry: ServiceLevel, *, links: Links, path: str) -> tuple[Rule, ...]:
    """Return the alerts of several windows and burn rates."""
    return ()
