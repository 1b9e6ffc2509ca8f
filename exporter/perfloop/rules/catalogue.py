"""The catalogue of metrics: the shipped entries, and the user's own on top."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

from perfloop.model import CatalogueMetric
from perfloop.rules.promql import duration


@cache
def shipped() -> Mapping[str, CatalogueMetric]:
    """Return the shipped entries by name."""
    # importlib.resources would bring 2 MB of libraries into every exporter.
    text = (Path(__file__).parent / "catalogue.yml").read_text(encoding="utf-8")
    return {name: _entry(name, entry) for name, entry in yaml.safe_load(text).items()}


def catalogue(own: Mapping[str, Any]) -> dict[str, CatalogueMetric]:
    """Return the shipped entries and the user's own ones (structs with the same fields); an own name wins."""
    return {**shipped(), **{name: _entry(name, msgspec.structs.asdict(entry)) for name, entry in own.items()}}


def recorded_expression(metric: CatalogueMetric, *, range_seconds: int) -> str:
    """Return the PromQL that records the metric, with the range of rates put in."""
    return metric.expr.replace("$range", duration(range_seconds))


def without_nan(expr: str) -> str:
    """Return PromQL of the same series without NaN: a single one would make every mean over a window NaN.

    The shipped metrics have none. Infinity stays: work that waits for nobody is worth an alert.
    """
    end = "\n" if "#" in expr else ""  # the last line may be a comment
    return f"({expr.strip()}{end}) >= -Inf"


def _entry(name: str, fields: Mapping[str, Any]) -> CatalogueMetric:
    return msgspec.convert({"name": name, **fields}, CatalogueMetric)
