"""Metrics that jobs push, and how each job stands."""

from __future__ import annotations

from itertools import chain
from typing import ClassVar

from perfloop.collectors.others.pushes import PushStore
from perfloop.exposition.block import Block
from perfloop.exposition.text import Samples, number
from perfloop.model import Family, MetricType


def _family(name: str, text: str, *labels: str) -> Family:
    kind = MetricType.COUNTER if name.endswith("_total") else MetricType.GAUGE
    return Family(name=f"perfloop_push_{name}", type=kind, help=text, labels=labels)


OF_JOBS = (
    _family("last_success_timestamp_seconds", "When the job's last push was accepted.", "job"),
    _family("accepted_total", "Pushes of the job that were accepted.", "job"),
    _family("expired_total", "Times at which metrics of the job disappeared, as their time was up.", "job"),
    _family("series", "Pushed series of the job that are shown.", "job"),
    _family("hidden_series", "Pushed series of the job that are not, as a file exports the same names.", "job"),
)
REFUSED = _family("refused_total", "Pushes that were refused, whatever the reason; their sender was told.")


class PushCollector:
    """Shows what is stored; a push that has expired is gone, and its job says since when there was none."""

    name: ClassVar[str] = "push"
    may_hang: ClassVar[bool] = False
    families: ClassVar[tuple[Family, ...]] = (*OF_JOBS, REFUSED)
    component: str = ""

    def __init__(self, store: PushStore) -> None:
        self._store = store
        self._jobs, self._refused = Block(OF_JOBS), Block([REFUSED])

    def collect(self) -> Samples:
        """Show what has not expired."""
        samples, states = self._store.samples(), list(self._store.states())
        rows = [
            tuple(number(each) for each in (job.pushed_at, job.pushes, job.expired, job.series, job.hidden_series))
            for job in states
        ]
        return chain(
            samples,
            self._jobs.render([(job.job,) for job in states], rows),
            self._refused.render_row([number(self._store.refused)]),
        )

    def down(self) -> Samples:
        """Return nothing."""
        return ()

    def close(self) -> None:
        """Do nothing: what is stored outlives a reload of the configuration."""
