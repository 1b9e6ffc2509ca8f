"""What one value cannot say alone: names that must exist, orders that must hold, secrets with one source."""

from __future__ import annotations

from perfloop.collectors import COLLECTORS
from perfloop.config.access_log import check_access_log
from perfloop.config.aggregations import check_aggregations
from perfloop.config.alert_rules import check_alert_rules
from perfloop.config.alerting import alerting_secrets, check_alerting
from perfloop.config.components import check_components
from perfloop.config.expressions import check_expressions
from perfloop.config.foreign import check_foreign, foreign_secrets
from perfloop.config.names import check_known
from perfloop.config.policies import check_policies
from perfloop.config.probes import check_probes, probe_secrets
from perfloop.config.process import check_process
from perfloop.config.queries import check_queries
from perfloop.config.reader import Document
from perfloop.config.schema import Config, Secret
from perfloop.config.thresholds import check_thresholds
from perfloop.rules.catalogue import catalogue

# Prometheus forgets a sample after five minutes: with longer intervals recorded series would have holes.
_MAX_INTERVAL_SECONDS = 240


def check(document: Document, config: Config) -> None:
    """Report every mistake between the parts of the configuration to the document."""
    metrics = catalogue(config.metrics)
    check_thresholds(document, config, metrics)
    _check_times(document, config)
    for name in config.collectors.timeouts:
        check_known(document, f"collectors.timeouts.{name}", name, COLLECTORS, "collector")
    check_aggregations(document, config, metrics)
    _check_addresses(document, config)
    check_access_log(document, config.collectors)
    _check_secret(document, "web.token", config.web.token)
    for name, component in config.components.items():
        if component.password is not None:
            _check_secret(document, f"components.{name}.password", component.password)
    check_components(document, config)
    check_probes(document, config)
    for path, secret in probe_secrets(config).items():
        _check_secret(document, path, secret)
    check_process(document, config)
    check_queries(document, config)
    check_foreign(document, config)
    for path, secret in foreign_secrets(config):
        _check_secret(document, path, secret)
    check_alert_rules(document, config, metrics)
    check_alerting(document, config)
    for path, secret in alerting_secrets(config):
        _check_secret(document, path, secret)
    check_policies(document, config, metrics)
    check_expressions(document, config, metrics)


def _check_times(document: Document, config: Config) -> None:
    collection = config.performance_collection
    interval, retention = collection.collection_interval, collection.retention_period
    if interval > _MAX_INTERVAL_SECONDS:
        expected = f"expected at most {_MAX_INTERVAL_SECONDS}, as Prometheus forgets a sample after 300"
        document.report("performance_collection.collection_interval", f"{expected}, got {interval}")
    range_seconds = config.prometheus.rate_range_seconds
    if range_seconds is None:
        return
    if range_seconds < 2 * interval:
        expected = f"expected at least {2 * interval}, two collection intervals"
        document.report("prometheus.rate_range_seconds", f"{expected}, got {range_seconds}")
    if range_seconds > retention:
        document.report("prometheus.rate_range_seconds", f"{range_seconds} is longer than the retention of {retention}")


def _check_addresses(document: Document, config: Config) -> None:
    places = {
        "web.exporter_address": config.web.exporter_address,
        "web.optimizer_address": config.web.optimizer_address,
        **{f"prometheus.exporters[{i}]": address for i, address in enumerate(config.prometheus.exporters)},
    }
    for path, address in places.items():
        if address.startswith("/"):
            document.report(path, f"expected HOST:PORT, as Prometheus reads no UNIX sockets, got {address!r}")


def _check_secret(document: Document, path: str, secret: Secret) -> None:
    if (secret.file is None) == (secret.env is None):
        document.report(path, "expected exactly one of file and env")
