"""Mistakes about alerts: names that do not exist, channels of no kind or of two."""

from __future__ import annotations

from collections.abc import Iterator

from perfloop.config.names import check_known
from perfloop.config.probes import check_headers
from perfloop.config.reader import Document
from perfloop.config.schema import Channel, Config, Secret, Section
from perfloop.rules import shipped
from perfloop.rules.routing import OPTIMIZER

# Those that Alertmanager refuses.
_SET_BY_ALERTMANAGER = (
    *("host", "user-agent", "connection", "keep-alive", "accept-encoding", "content-encoding", "content-length"),
    *("content-type", "proxy-authenticate", "proxy-authorization", "www-authenticate"),
)
_RESERVED_HEADERS = {
    "authorization": "token_file says it",
    **dict.fromkeys(_SET_BY_ALERTMANAGER, "Alertmanager sets it"),
}


def check_alerting(document: Document, config: Config) -> None:
    """Report mistakes in alerts, channels and the channels that others name."""
    for name, channel in config.channels.items():
        _check_one(document, f"channels.{name}", channel, ("email", "slack", "webhook", "github"))
        _check_channel(document, f"channels.{name}", name, channel)
    for path, channels in _named_channels(config):
        for i, name in enumerate(channels):
            check_known(document, f"{path}[{i}]", name, config.channels, "channel")
    for label in sorted({label for label in config.alerts.group_by if config.alerts.group_by.count(label) > 1}):
        document.report("alerts.group_by", f"{label} is there twice")
    for i, name in enumerate(config.alerts.disable):
        check_known(document, f"alerts.disable[{i}]", name, shipped.names(), "shipped alert")
    for name in config.alerts.override:
        check_known(document, f"alerts.override.{name}", name, shipped.names(), "shipped alert")


def alerting_secrets(config: Config) -> Iterator[tuple[str, Secret]]:
    """Return the secrets of channels, by their paths."""
    for name, channel in config.channels.items():
        if channel.github is not None:
            yield f"channels.{name}.github.token", channel.github.token


def _check_one(document: Document, path: str, section: Section, kinds: tuple[str, ...]) -> None:
    given = [field for field in section.__struct_fields__ if getattr(section, field) is not None]
    if len(given) != 1:
        document.report(path, f"expected exactly one of {', '.join(kinds)}, got {len(given) or 'none'}")


def _check_channel(document: Document, path: str, name: str, channel: Channel) -> None:
    if name == OPTIMIZER:
        document.report(path, f"{name} is what Alertmanager calls the optimizer; expected another name")
    if channel.email is not None and bool(channel.email.user) != bool(channel.email.password_file):
        document.report(f"{path}.email", "expected both of user and password_file, or none")
    if channel.webhook is not None:
        check_headers(document, f"{path}.webhook.headers", channel.webhook.headers, _RESERVED_HEADERS)


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
