"""Recorded series that explain: anomaly score, trend, prediction, time until full, saturation, change."""

from __future__ import annotations

from collections.abc import Mapping

from perfloop.model import CatalogueMetric
from perfloop.rules.groups import Group


def analysis_groups(
    catalogue: Mapping[str, CatalogueMetric], *, interval_seconds: int, retention_seconds: int
) -> tuple[Group, ...]:
    """Return the groups of recording rules over every catalogue metric."""
    return ()
