"""What a running Prometheus and a running Alertmanager say of themselves: rules, targets, clock, versions."""

from __future__ import annotations

from msgspec import Struct, field

from perfloop.prometheus.alertmanager import AlertmanagerClient
from perfloop.prometheus.history import PrometheusHistory


class LoadedRule(Struct, frozen=True, kw_only=True, rename="camel"):
    """One rule as Prometheus has it; `duration` is its `for`, `query` its expression as Prometheus writes it."""

    name: str
    query: str
    type: str
    health: str
    last_error: str = ""
    duration: float = 0
    keep_firing_for: float = 0
    evaluation_time: float = 0
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


class LoadedGroup(Struct, frozen=True, kw_only=True, rename="camel"):
    """One group as Prometheus has it; times in seconds."""

    name: str
    interval: float
    rules: list[LoadedRule]
    evaluation_time: float = 0


class Target(Struct, frozen=True, kw_only=True, rename="camel"):
    """One target that is scraped; `health` is up, down or unknown."""

    labels: dict[str, str]
    health: str
    scrape_url: str
    last_error: str = ""
    scrape_interval: str = ""


class _Groups(Struct):
    groups: list[LoadedGroup]


class _Targets(Struct, rename="camel"):
    active_targets: list[Target]


class _Alertmanager(Struct):
    url: str


class _Alertmanagers(Struct, rename="camel"):
    active_alertmanagers: list[_Alertmanager]


class _Build(Struct):
    version: str


class PrometheusStatus(PrometheusHistory):
    """Asks one Prometheus what it is and what it has loaded."""

    def version(self) -> str:
        """Return its version."""
        return self._ask("GET", "status/buildinfo", _Build).version

    def clock(self) -> float:
        """Return what time it is there."""
        return self.query("vector(time())")[0].sample.value

    def groups(self) -> list[LoadedGroup]:
        """Return all rule groups."""
        return self._ask("GET", "rules", _Groups).groups

    def formatted(self, promql: str) -> str:
        """Return an expression as Prometheus writes it: two that mean the same text are the same then."""
        return self._ask("POST", "format_query", str, {"query": promql})

    def targets(self) -> list[Target]:
        """Return what it scrapes."""
        return self._ask("GET", "targets?state=active", _Targets).active_targets

    def alertmanagers(self) -> list[str]:
        """Return where it sends alerts."""
        return [found.url for found in self._ask("GET", "alertmanagers", _Alertmanagers).active_alertmanagers]


class _About(Struct):
    version: str


class _Status(Struct, rename="camel"):
    version_info: _About


class AlertmanagerStatus(AlertmanagerClient):
    """Asks one Alertmanager what it is."""

    def version(self) -> str:
        """Return its version."""
        return self._read(self._ask("GET", "api/v2/status"), _Status).version_info.version
