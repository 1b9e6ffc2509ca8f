"""Mistakes in alert_thresholds: values in the wrong order, and overrides that select nothing or nothing new."""

from __future__ import annotations

from collections.abc import Mapping

from perfloop.config.names import check_known
from perfloop.config.reader import Document
from perfloop.config.schema import AlertThreshold, Config
from perfloop.config.schema.collection import ThresholdOverride
from perfloop.errors import ConfigInvalid
from perfloop.model import CatalogueMetric, Operator
from perfloop.model.matchers import Matcher, parse_selector


def check_thresholds(document: Document, config: Config, metrics: Mapping[str, CatalogueMetric]) -> None:
    """Report every mistake in alert_thresholds to the document."""
    for name, threshold in config.performance_collection.alert_thresholds.items():
        path = f"performance_collection.alert_thresholds.{name}"
        check_known(document, path, name, metrics, "metric")
        if not _has_value(threshold) and not any(_has_value(override) for override in threshold.overrides):
            document.report(path, "expected warning_threshold, critical_threshold or both")
        _check_order(document, path, threshold, threshold.operator)
        _check_overrides(document, path, threshold)


def _check_overrides(document: Document, path: str, threshold: AlertThreshold) -> None:
    seen: dict[frozenset[Matcher], int] = {}
    for i, override in enumerate(threshold.overrides):
        below = f"{path}.overrides[{i}]"
        _check_order(document, below, override, threshold.operator)
        found = [_parsed(document, f"{below}.match[{j}]", text) for j, text in enumerate(override.match)]
        selected = frozenset(matcher for matcher in found if matcher is not None)
        if None not in found and selected in seen:
            document.report(f"{below}.match", f"the same series as overrides[{seen[selected]}], which counts first")
        seen.setdefault(selected, i)


def _check_order(
    document: Document, path: str, section: AlertThreshold | ThresholdOverride, operator: Operator
) -> None:
    warning, critical = section.warning_threshold, section.critical_threshold
    if warning is None or critical is None:
        return
    if warning == critical:
        document.report(path, f"warning_threshold and critical_threshold are both {warning:g}; leave one out")
        return
    if operator is Operator.GREATER_THAN and warning > critical:
        document.report(path, f"warning_threshold {warning:g} must be below critical_threshold {critical:g}")
    if operator is Operator.LESS_THAN and warning < critical:
        document.report(path, f"warning_threshold {warning:g} must be above critical_threshold {critical:g}")


def _has_value(section: AlertThreshold | ThresholdOverride) -> bool:
    return section.warning_threshold is not None or section.critical_threshold is not None


def _parsed(document: Document, path: str, text: str) -> Matcher | None:
    try:
        return parse_selector(text)
    except ConfigInvalid as error:
        document.report(path, str(error))
        return None
