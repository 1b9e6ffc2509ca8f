"""All catalogue metrics under one name, and how each changed against yesterday and last week."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from perfloop.model import CatalogueMetric
from perfloop.rules.groups import Rule
from perfloop.rules.promql import duration

STEP, HOUR, DAY = 300, 3600, 86400
STEPS_A_DAY = DAY // STEP
VALUE = "analysis:value:avg5m"
HOUR_MEAN = "analysis:value:avg1h"

# Half of the values of an hour, below which its mean is not one of an hour.
_HALF_AN_HOUR = HOUR // STEP // 2


class History(Struct, frozen=True, kw_only=True):
    """How many days rules look back, and how many Prometheus surely keeps."""

    days: int
    kept_days: int

    @property
    def window(self) -> str:
        """The days as PromQL writes them."""
        return duration(self.days * DAY)


def steps(catalogue: Mapping[str, CatalogueMetric], *, interval_seconds: int, history: History) -> tuple[Rule, ...]:
    """Return what is recorded of each metric, each five minutes."""
    window = duration(max(STEP, 2 * interval_seconds))
    # NaN is neither above nor below anything, so that the comparisons leave it out as they do the infinities.
    copies = tuple(
        Rule(
            record=VALUE, expr=f"-Inf < avg_over_time({metric.series}[{window}]) < Inf", labels={"metric": metric.name}
        )
        for metric in catalogue.values()
    )
    mean = f"avg_over_time({VALUE}[1h]) and count_over_time({VALUE}[1h]) >= {_HALF_AN_HOUR}"
    changes = tuple(
        Rule(record=f"analysis:change:percent_{name}", expr=_change(days))
        for name, days in (("1d", 1), ("1w", 7))
        if days <= history.kept_days
    )
    return (*copies, Rule(record=HOUR_MEAN, expr=mean), *changes)


def _change(days: int) -> str:
    # Of a zero there is no percentage; of a negative value the sign of the change is kept.
    return f"100 * ({HOUR_MEAN} - {HOUR_MEAN} offset {days}d) / (abs({HOUR_MEAN} offset {days}d) > 0)"
