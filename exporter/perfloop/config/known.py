"""The series that perfloop's services show, by name: what expressions of the user's own may ask for."""

from __future__ import annotations

from collections.abc import Iterator

from perfloop.collectors import all_families
from perfloop.collectors.postgres.settings import PREFIX as SETTING
from perfloop.collectors.queries_result import metric_name
from perfloop.config.schema import Config
from perfloop.model import MetricType

# Shown by what stands above this package or is a service of its own; tests compare with what they show.
_OPTIMIZERS = {
    MetricType.COUNTER: (
        "alerts_received",
        "alerts_truncated",
        "decisions",
        "deliveries_refused",
        "notifications",
        "notifications_failed",
        "rollbacks",
        "verdicts",
    ),
    MetricType.GAUGE: (
        "config_last_reload_success_timestamp_seconds",
        "config_last_reload_successful",
        "effect_ratio",
        "execution_changed_timestamp_seconds",
        "execution_duration_seconds",
        "executions",
        "last_success_timestamp_seconds",
        "locked_executions",
        "paused",
        "queue_length",
    ),
    MetricType.HISTOGRAM: ("delivery_duration_seconds",),
    MetricType.INFO: ("build",),
}
_APPLICATIONS = {
    MetricType.COUNTER: ("requests", "disconnects", "capped_requests"),
    MetricType.GAUGE: ("requests_in_progress",),
    MetricType.HISTOGRAM: ("request_duration_seconds",),
}
_PROBES = {
    MetricType.GAUGE: (
        "success",
        "duration_seconds",
        "failure",
        "phase_seconds",
        "http_status_code",
        "certificate_expiry_timestamp_seconds",
    ),
}
OPEN_PREFIXES = (SETTING,)
_BY_CLIENT = {MetricType.COUNTER: "_total", MetricType.INFO: "_info"}


def known_types(config: Config) -> dict[str, MetricType]:
    """Return the type of every series that the services can show, with the metrics of the user's own queries."""
    types = dict(_elsewhere())
    for family in all_families():
        types |= dict(_series(family.name, family.type))
    for component in config.components.values():
        for query in component.queries:
            for column, value in query.values.items():
                kind = MetricType(value.type)
                types[metric_name(query.name, column, kind)] = kind
    return types


def _elsewhere() -> Iterator[tuple[str, MetricType]]:
    for prefix, table in (("optimizer", _OPTIMIZERS), ("http", _APPLICATIONS), ("probe", _PROBES)):
        for kind, names in table.items():
            for name in names:
                yield from _series(f"perfloop_{prefix}_{name}{_BY_CLIENT.get(kind, '')}", kind)


def _series(name: str, kind: MetricType) -> Iterator[tuple[str, MetricType]]:
    if kind is MetricType.HISTOGRAM:
        yield from ((f"{name}{ending}", kind) for ending in ("_bucket", "_sum", "_count"))
    else:
        yield name, kind
