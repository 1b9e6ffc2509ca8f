"""Alerts of the user's own: beyond a value, changed against its past, unlike its past."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from msgspec import Struct

from perfloop.model import CatalogueMetric, Operator
from perfloop.rules.groups import Notice, Rule
from perfloop.rules.links import Links


class Direction(StrEnum):
    """Which change is bad."""

    INCREASE = "Increase"
    DECREASE = "Decrease"
    ANY = "Any"


class Beyond(Struct, frozen=True, kw_only=True):
    """The metric stands beyond a value, in its unit."""

    operator: Operator
    value: float


class Changed(Struct, frozen=True, kw_only=True):
    """The metric changed by so many percent against its past: the mean of those hours, or the same time before."""

    baseline_seconds: int
    change_percent: float
    direction: Direction
    baseline: Literal["mean", "same_time"] = "mean"


class Unlike(Struct, frozen=True, kw_only=True):
    """The metric is so many standard deviations away from the mean of that window."""

    deviations: float
    window_seconds: int


class AlertRule(Struct, frozen=True, kw_only=True):
    """One alert on one catalogue metric."""

    name: str
    metric: str
    condition: Beyond | Changed | Unlike
    for_seconds: int
    severity: str
    description: str
    notice: Notice


def recordings(entry: AlertRule, metric: CatalogueMetric) -> tuple[Rule, ...]:
    """Return what is recorded for the alert, so that a day's samples are not read at each evaluation."""
    return ()


def alerts(
    entry: AlertRule, metric: CatalogueMetric, *, interval_seconds: int, links: Links, path: str
) -> tuple[Rule, ...]:
    """Return the alerting rules."""
    return ()
