"""Mistakes about alerts: names that do not exist, conditions and channels of no kind or of two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from perfloop.config.names import check_known
from perfloop.config.reader import Document
from perfloop.config.schema import Config, Secret, Section
from perfloop.model import CatalogueMetric
from perfloop.rules import shipped


def check_alerting(document: Document, config: Config, metrics: Mapping[str, CatalogueMetric]) -> None:
    """Report mistakes in alert_rules, alerts, channels and the channels that others name."""
    for name, channel in config.channels.items():
        _check_one(document, f"channels.{name}", channel, ("email", "slack", "webhook", "github"))
    names: set[str] = set()
    for i, rule in enumerate(config.alert_rules):
        path = f"alert_rules[{i}]"
        if rule.name in names:
            document.report(f"{path}.name", f"there is another alert rule {rule.name!r}")
        names.add(rule.name)
        _check_one(document, f"{path}.condition", rule.condition, ("Threshold", "PercentChange", "Statistical"))
        for kind in ("threshold", "percent_change", "statistical"):
            condition = getattr(rule.condition, kind)
            if condition is not None:
                place = f"{path}.condition.{_TAGS[kind]}.metric"
                check_known(document, place, condition.metric, metrics, "metric")
    for path, channels in _named_channels(config):
        for i, name in enumerate(channels):
            check_known(document, f"{path}[{i}]", name, config.channels, "channel")
    for i, name in enumerate(config.alerts.disable):
        check_known(document, f"alerts.disable[{i}]", name, shipped.names(), "shipped alert")
    for name in config.alerts.override:
        check_known(document, f"alerts.override.{name}", name, shipped.names(), "shipped alert")


def alerting_secrets(config: Config) -> Iterator[tuple[str, Secret]]:
    """Return the secrets of channels, by their paths."""
    for name, channel in config.channels.items():
        if channel.github is not None:
            yield f"channels.{name}.github.token", channel.github.token


_TAGS = {"threshold": "Threshold", "percent_change": "PercentChange", "statistical": "Statistical"}


def _check_one(document: Document, path: str, section: Section, kinds: tuple[str, ...]) -> None:
    given = [field for field in section.__struct_fields__ if getattr(section, field) is not None]
    if len(given) != 1:
        document.report(path, f"expected exactly one of {', '.join(kinds)}, got {len(given) or 'none'}")


def _named_channels(config: Config) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "alerts.channels", config.alerts.channels
    for i, rule in enumerate(config.alert_rules):
        yield f"alert_rules[{i}].channels", rule.channels or ()
    for name, threshold in config.performance_collection.alert_thresholds.items():
        yield f"performance_collection.alert_thresholds.{name}.channels", threshold.channels or ()
    for name, override in config.alerts.override.items():
        yield f"alerts.override.{name}.channels", override.channels or ()
    for name, level in config.slos.items():
        yield f"slos.{name}.channels", level.channels or ()
