"""All catalogue metrics under one name, how each changed, and the last six hours of each in a few numbers."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from perfloop.model import CatalogueMetric
from perfloop.rules.groups import Rule
from perfloop.rules.promql import duration

STEP, HOUR, DAY = 300, 3600, 86400
#: What looks back over days reads one value for each block of six hours: a window of a week is 28 values.
BLOCK = 6 * HOUR
STEPS_A_DAY, BLOCKS_A_DAY = DAY // STEP, DAY // BLOCK
VALUE = "analysis:value:avg5m"
HOUR_MEAN = "analysis:value:avg1h"
BLOCK_MEAN, BLOCK_MAXIMUM = "analysis:value:avg6h", "analysis:value:max6h"
BLOCK_MINIMUM, BLOCK_VARIANCE = "analysis:value:min6h", "analysis:value:stdvar6h"

# Half of the values of an hour, below which its mean is not one of an hour.
_HALF_AN_HOUR = HOUR // STEP // 2
# What has a day of values in a week has a block with so many, so that each metric with a score has a mean.
_LEAST_OF_A_BLOCK = STEPS_A_DAY // (7 * BLOCKS_A_DAY)


class History(Struct, frozen=True, kw_only=True):
    """How many days rules look back, and how many Prometheus surely keeps."""

    days: int
    kept_days: int

    @property
    def window(self) -> str:
        """The days as PromQL writes them."""
        return duration(self.days * DAY)


def steps(
    catalogue: Mapping[str, CatalogueMetric], *, own: frozenset[str], interval_seconds: int, history: History
) -> tuple[Rule, ...]:
    """Return what is recorded of each metric, each five minutes; those in `own` may have any labels."""
    window = duration(max(STEP, 2 * interval_seconds))
    # NaN is neither above nor below anything, so that the comparisons leave it out as they do the infinities.
    copies = tuple(
        Rule(
            record=VALUE,
            expr=f"-Inf < {_with_room(f'avg_over_time({metric.series}[{window}])', own=metric.name in own)} < Inf",
            labels={"metric": metric.name},
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


def blocks() -> tuple[Rule, ...]:
    """Return what is recorded of each metric, each six hours."""
    window = f"{VALUE}[6h]"
    mean = f"avg_over_time({window}) and count_over_time({window}) >= {_LEAST_OF_A_BLOCK}"
    return (
        Rule(record=BLOCK_MEAN, expr=mean),
        Rule(record=BLOCK_MAXIMUM, expr=f"max_over_time({window})"),
        Rule(record=BLOCK_MINIMUM, expr=f"min_over_time({window})"),
        Rule(record=BLOCK_VARIANCE, expr=f"stdvar_over_time({window})"),
    )


def _with_room(expr: str, *, own: bool) -> str:
    """Return the series with their own label `metric`, if they have one, out of the way of ours."""
    return f'label_replace({expr}, "exported_metric", "$1", "metric", "(.+)")' if own else expr


def _change(days: int) -> str:
    # Of a zero there is no percentage; of a negative value the sign of the change is kept.
    return f"100 * ({HOUR_MEAN} - {HOUR_MEAN} offset {days}d) / (abs({HOUR_MEAN} offset {days}d) > 0)"
