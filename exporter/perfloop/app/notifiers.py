"""From the configuration to the channels that the optimizer itself serves, with the cooldown of every rule."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from perfloop.app.compile import rule_inputs
from perfloop.config import Config, read_secret
from perfloop.config.schema import Secret
from perfloop.notifiers.github_issue import GitHubIssue
from perfloop.protocols import Notifier
from perfloop.rules.compile import alert_groups
from perfloop.rules.groups import Rule


def build_notifiers(config: Config, *, config_path: Path, environ: Mapping[str, str]) -> dict[str, Notifier]:
    """Return a notifier for each GitHub channel. Raises ConfigInvalid for a missing token and for broken rules."""
    found = {name: channel.github for name, channel in config.channels.items() if channel.github is not None}
    cooldowns = cooldowns_of(config, config_path=config_path) if found else {}
    return {
        name: GitHubIssue(
            github.repository,
            token=read_secret(github.token, base=config_path.resolve().parent, environ=environ),
            api_url=github.api_url,
            labels=github.labels,
            cooldown_seconds=60.0 * config.alerts.cooldown_minutes,
            cooldowns=cooldowns,
        )
        for name, github in found.items()
    }


def cooldowns_of(config: Config, *, config_path: Path) -> dict[str, float]:
    """Return the cooldown of every compiled alert in seconds, by its label `rule`."""
    rules = compiled_alerts(config, config_path=config_path)
    return {rule.labels["rule"]: float(rule.notice.cooldown_seconds) for rule in rules if "rule" in rule.labels}


def compiled_alerts(config: Config, *, config_path: Path) -> list[Rule]:
    """Return the alerts that the configuration compiles to. Raises ConfigInvalid."""
    # Where Alertmanager finds the token of the optimizer's API changes no alert, and may be unknown here.
    anywhere = replace(config, web=replace(config.web, token=Secret(file=Path("token"))))
    groups = alert_groups(rule_inputs(anywhere, config_path=config_path))
    return [rule for group in groups for rule in group.rules]
