"""How near each resource is to its end: utilisation, saturation and errors, each as a share of 0 to 1."""

from __future__ import annotations

from msgspec import Struct

from perfloop.rules.groups import Rule
from perfloop.rules.promql import duration

RATIO = "analysis:resource:ratio"


class Signal(Struct, frozen=True):
    """One sign of a resource."""

    resource: str
    kind: str
    expr: str


def _share(resource: str, *metrics: str) -> Signal:
    return Signal(resource, "utilisation", " or ".join(f"perfloop:{metric} / 100" for metric in metrics))


def _pressure(resource: str, name: str) -> Signal:
    return Signal(
        resource, "saturation", f'rate(perfloop_system_pressure_waiting_seconds_total{{resource="{name}"}}[$range])'
    )


def _of(part: str, whole: str) -> str:
    return f"rate({part}[$range]) / (rate({whole}[$range]) > 0)"


SIGNALS = (
    _share("cpu", "cpu_usage"),
    _pressure("cpu", "cpu"),
    _share("memory", "memory_usage"),
    _pressure("memory", "memory"),
    Signal("memory", "errors", "increase(perfloop_system_oom_kills_total[$range])"),
    Signal("disk", "utilisation", "rate(perfloop_system_disk_io_seconds_total[$range])"),
    _pressure("disk", "io"),
    _share("filesystem", "disk_usage"),
    Signal("filesystem", "errors", "perfloop_system_filesystem_error"),
    _share("network", "bandwidth_usage"),
    Signal(
        "network", "saturation", _of("perfloop_network_receive_drops_total", "perfloop_network_receive_packets_total")
    ),
    Signal("network", "errors", _of("perfloop_network_receive_errors_total", "perfloop_network_receive_packets_total")),
    _share("connections", "db_connection_usage", "mysql_connection_usage", "memcached_connection_usage"),
    Signal(
        "pool",
        "saturation",
        "sum without (database, user) (perfloop_pgbouncer_clients_waiting) / (sum without (database, user)"
        " (perfloop_pgbouncer_clients_waiting) + sum without (database, user) (perfloop_pgbouncer_clients_active) > 0)",
    ),
    _share("cache", "cache_memory_usage", "memcached_memory_usage"),
    Signal("service", "errors", "perfloop:error_rate / 100"),
)


def rules(*, interval_seconds: int) -> tuple[Rule, ...]:
    """Return the rules of each collection interval: each sign, and the worst one of each resource."""
    window = duration(max(4 * interval_seconds, 60))
    signals = tuple(
        Rule(
            record=RATIO,
            expr=f"clamp({signal.expr.replace('$range', window)}, 0, 1)",
            labels={"resource": signal.resource, "kind": signal.kind},
        )
        for signal in SIGNALS
    )
    worst = f"max by (instance, component, resource) ({RATIO})"
    return (*signals, Rule(record="analysis:bottleneck:score", expr=worst))
