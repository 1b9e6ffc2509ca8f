"""From a configuration to compiled files: gives the rule compiler what it needs of perfloop.yml."""

from __future__ import annotations

import os
from pathlib import Path

from perfloop.config import Config, place
from perfloop.config.rules import aggregations, thresholds
from perfloop.errors import ConfigInvalid
from perfloop.rules.catalogue import catalogue
from perfloop.rules.compile import RuleInputs, compile_rules
from perfloop.rules.prometheus import retention_flag as flag_for
from perfloop.rules.write import Written, write_all

__all__ = ["Written", "compile_all", "retention_flag", "rule_inputs", "write_all"]


def compile_all(config: Config, *, config_path: Path, out: Path | None = None) -> dict[str, str]:
    """Return every compiled file's text by its name relative to the output folder; writes nothing.

    With `out` given, and below the configuration's folder, paths to other files are relative, so that both can move
    together; else they are absolute. Raises ConfigInvalid for what Prometheus or Alertmanager cannot be told.
    """
    return compile_rules(rule_inputs(config, config_path=config_path, out=out))


def retention_flag(config: Config) -> str:
    """Return Prometheus' flag for the configured retention."""
    return flag_for(config.performance_collection.retention_period)


def rule_inputs(config: Config, *, config_path: Path, out: Path | None = None) -> RuleInputs:
    """Return what the rule compiler needs. Raises ConfigInvalid if the token is not in a file."""
    return RuleInputs(
        source=config_path.name,
        catalogue=catalogue(config.metrics),
        own_metrics=frozenset(config.metrics),
        thresholds=thresholds(config),
        aggregations=aggregations(config),
        interval_seconds=config.performance_collection.collection_interval,
        rate_range_seconds=config.rate_range_seconds,
        retention_seconds=config.performance_collection.retention_period,
        exporters=config.prometheus.exporters,
        optimizer=config.web.optimizer_address,
        prometheus_url=config.prometheus.url,
        alertmanager_url=config.prometheus.alertmanager_url,
        credentials_file=_credentials_file(config, config_path=config_path, out=out),
    )


def _credentials_file(config: Config, *, config_path: Path, out: Path | None) -> str:
    if config.web.token.file is None:
        problem = "Alertmanager cannot read environment variables; expected `file` instead of `env`"
        raise ConfigInvalid([f"{place(config_path, 'web.token')}: {problem}"])
    folder = config_path.absolute().parent
    token = os.path.normpath(folder / config.web.token.file)
    if out is None or not out.absolute().is_relative_to(folder) or config.web.token.file.is_absolute():
        return token
    return os.path.relpath(token, out.absolute())
