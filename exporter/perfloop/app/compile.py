"""From a configuration to compiled files: gives the rule compiler what it needs of perfloop.yml."""

from __future__ import annotations

import os
from pathlib import Path

from perfloop.config import Config, place
from perfloop.config.rules import aggregations, alert_rules, changes, notice, service_levels, thresholds
from perfloop.config.schema import Channel as ChannelSection
from perfloop.errors import ConfigInvalid
from perfloop.rules.catalogue import catalogue
from perfloop.rules.channels import Channel, Email, GitHub, Slack, Webhook
from perfloop.rules.compile import RuleInputs, alert_groups, compile_rules
from perfloop.rules.links import Links
from perfloop.rules.operator import Place as Namespace
from perfloop.rules.operator import compile_operator
from perfloop.rules.prometheus import retention_flag as flag_for
from perfloop.rules.targets import Targets, written
from perfloop.rules.write import Written, write_all

__all__ = [
    "Namespace",
    "Targets",
    "Written",
    "compile_all",
    "compile_manifests",
    "own_rules",
    "retention_flag",
    "rule_inputs",
    "write_all",
]

_DEFAULT_TARGETS = Targets()


def compile_all(
    config: Config, *, config_path: Path, out: Path | None = None, targets: Targets = _DEFAULT_TARGETS
) -> dict[str, str]:
    """Return every compiled file's text by its name relative to the output folder; writes nothing.

    With `out` given, and below the configuration's folder, paths to other files are relative, so that both can move
    together; else they are absolute. Raises ConfigInvalid for what Prometheus or Alertmanager cannot be told.
    """
    return compile_rules(rule_inputs(config, config_path=config_path, out=out, targets=targets))


def compile_manifests(
    config: Config, *, config_path: Path, namespace: Namespace, targets: Targets = _DEFAULT_TARGETS
) -> dict[str, str]:
    """Return the same as objects of the Prometheus Operator. Raises ConfigInvalid also for what those cannot say."""
    return compile_operator(rule_inputs(config, config_path=config_path, targets=targets), namespace)


def retention_flag(config: Config) -> str:
    """Return Prometheus' flag for the configured retention."""
    return flag_for(config.performance_collection.retention_period)


def own_rules(config: Config) -> frozenset[str]:
    """Return the values of the label `rule` of every alert that is compiled."""
    groups = alert_groups(_inputs(config, config_path=Path(), out=None, targets=Targets(), credentials_file=""))
    return frozenset(rule.labels["rule"] for group in groups for rule in group.rules)


def rule_inputs(
    config: Config, *, config_path: Path, out: Path | None = None, targets: Targets = _DEFAULT_TARGETS
) -> RuleInputs:
    """Return what the rule compiler needs.

    Raises ConfigInvalid if the token is not in a file, or if the target knows less than the channels ask for.
    """
    if not targets.webhook_headers:
        _check_no_headers(config, config_path=config_path, targets=targets)
    file = _credentials_file(config, config_path=config_path, out=out)
    return _inputs(config, config_path=config_path, out=out, targets=targets, credentials_file=file)


def _inputs(
    config: Config, *, config_path: Path, out: Path | None, targets: Targets, credentials_file: str
) -> RuleInputs:
    return RuleInputs(
        source=config_path.name,
        catalogue=catalogue(config.metrics),
        own_metrics=frozenset(config.metrics),
        thresholds=thresholds(config),
        aggregations=aggregations(config),
        alert_rules=alert_rules(config),
        service_levels=service_levels(config),
        channels={
            name: _channel(section, config_path=config_path, out=out) for name, section in config.channels.items()
        },
        disabled=frozenset(config.alerts.disable),
        changes=changes(config),
        notice=notice(config),
        links=Links(runbook_base_url=config.alerts.runbook_base_url, grafana_url=config.alerts.grafana_url or ""),
        interval_seconds=config.performance_collection.collection_interval,
        rate_range_seconds=config.rate_range_seconds,
        retention_seconds=config.performance_collection.retention_period,
        exporters=config.prometheus.exporters,
        optimizer=config.web.optimizer_address,
        prometheus_url=config.prometheus.url,
        alertmanager_url=config.prometheus.alertmanager_url,
        credentials_file=credentials_file,
        group_by=config.alerts.group_by,
        targets=targets,
    )


def _check_no_headers(config: Config, *, config_path: Path, targets: Targets) -> None:
    problem = (
        f"Alertmanager {written(targets.alertmanager)} cannot send headers; leave them out, or compile with"
        " --target alertmanager=0.28 if yours is as new"
    )
    with_headers = [name for name, section in config.channels.items() if section.webhook and section.webhook.headers]
    if with_headers:
        raise ConfigInvalid(
            [f"{place(config_path, f'channels.{name}.webhook.headers')}: {problem}" for name in with_headers]
        )


def _channel(section: ChannelSection, *, config_path: Path, out: Path | None) -> Channel:
    # Only files of http_config are looked for beside alertmanager.yml, others where Alertmanager was started.
    def anywhere(path: Path | None) -> str:
        return "" if path is None else _as_found(path, config_path=config_path, out=None)

    def beside(path: Path | None) -> str:
        return "" if path is None else _as_found(path, config_path=config_path, out=out)

    if (email := section.email) is not None:
        return Email(
            recipients=email.recipients,
            sender=email.sender,
            smarthost=email.smarthost,
            user=email.user or "",
            password_file=anywhere(email.password_file),
            require_tls=email.require_tls,
        )
    if (slack := section.slack) is not None:
        return Slack(webhook_url_file=anywhere(slack.webhook_url_file), channel=slack.channel)
    if (webhook := section.webhook) is not None:
        return Webhook(url=webhook.url, token_file=beside(webhook.token_file), headers=webhook.headers)
    if (github := section.github) is not None:
        return GitHub(repository=github.repository)
    raise ConfigInvalid(["a channel of no kind"])


def _credentials_file(config: Config, *, config_path: Path, out: Path | None) -> str:
    if config.web.token.file is None:
        problem = "Alertmanager cannot read environment variables; expected `file` instead of `env`"
        raise ConfigInvalid([f"{place(config_path, 'web.token')}: {problem}"])
    return _as_found(config.web.token.file, config_path=config_path, out=out)


def _as_found(file: Path, *, config_path: Path, out: Path | None) -> str:
    """Return a file's path as Alertmanager will find it: relative to alertmanager.yml, if both can move together."""
    folder = config_path.absolute().parent
    path = os.path.normpath(folder / file)
    if out is None or not out.absolute().is_relative_to(folder) or file.is_absolute():
        return path
    return os.path.relpath(path, out.absolute())
