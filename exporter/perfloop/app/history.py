"""Recorded series by the names that users know: those of the catalogue, and of what the configuration records."""

from __future__ import annotations

from collections.abc import Mapping

from perfloop.config import Config
from perfloop.errors import NotFound, Rejected
from perfloop.model import Measurement
from perfloop.prometheus.history import PrometheusHistory
from perfloop.protocols import Clock
from perfloop.rules.catalogue import catalogue
from perfloop.rules.entries import suggestion

DEFAULT_SECONDS = 3600.0


def recorded(config: Config) -> Mapping[str, str]:
    """Return the series behind each name that may be asked for: `cpu_usage`, `perfloop:cpu_usage`, an output_metric."""
    metrics = catalogue(config.metrics).values()
    return {
        **{metric.name: metric.series for metric in metrics},
        **{metric.series: metric.series for metric in metrics},
        **{rule.output_metric: rule.output_metric for rule in config.aggregation_rules},
    }


class RecordedHistory:
    """Answers what was recorded under a name. Any number of threads may use it."""

    def __init__(self, config: Config, *, client: PrometheusHistory, clock: Clock) -> None:
        self._series, self._client, self._clock = recorded(config), client, clock

    def measurements(
        self, name: str, *, start: float | None = None, end: float | None = None, limit: int
    ) -> list[Measurement]:
        """Return the newest samples, newest first; by default those of the hour before `end`, which is now.

        Raises NotFound with the nearest name, Rejected for a time that ends before it begins, and what the client
        raises.
        """
        series = self._series.get(name)
        if series is None:
            known = sorted(known for known in self._series if ":" not in known)
            raise NotFound(f"nothing is recorded as {name!r}; {suggestion(name, known, see='perfloop rules list')}")
        until = self._clock() if end is None else end
        since = until - DEFAULT_SECONDS if start is None else start
        if since > until:
            raise Rejected(f"the time asked for begins at {since:.0f} and ends before, at {until:.0f}")
        return self._client.measurements(series, start=since, end=until, limit=limit)
