"""What alerts would have done, asked of the history that a live Prometheus has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct

from perfloop.errors import Rejected
from perfloop.prometheus.history import PrometheusHistory
from perfloop.rules.entries import Entry
from perfloop.rules.promql import duration, seconds_of
from perfloop.rules.reading import Recorded, series_read, unrecorded
from perfloop.rules.simulation import Condition, Outcome, Timing, outcome


class Simulated(Struct, frozen=True, kw_only=True):
    """What one alert would have done between two times; `note` says what to make of it, if anything."""

    alert: str
    severity: str
    began_at: float
    ended_at: float
    step_seconds: float
    outcome: Outcome
    note: str = ""


class Simulation:
    """Plays alerts through on one Prometheus. `said` is told how many evaluations of how many are done."""

    def __init__(
        self,
        client: PrometheusHistory,
        *,
        recorded: Mapping[str, Recorded],
        group_by: Sequence[str],
        repeat_seconds: int,
        start: float,
        end: float,
    ) -> None:
        self._client, self._recorded, self._group_by = client, recorded, tuple(group_by)
        self._start, self._end, self._repeat_seconds = start, end, repeat_seconds

    def check_retention(self, *, now: float) -> None:
        """Raise Rejected if Prometheus does not remember as far back as is asked for."""
        try:
            kept = self._client.retention()
        except Rejected:
            return  # others that speak this API keep what they keep
        seconds = _retention_seconds(kept)
        if seconds and self._start < now - seconds - 60:
            asked = duration(60 * round((now - self._start) / 60))
            raise Rejected(f"this Prometheus keeps samples for {kept}, and --from is {asked} ago")

    def run(
        self, alerts: Sequence[Entry], *, step_seconds: float | None, said: Callable[[int, int], None]
    ) -> Iterator[Simulated]:
        """Yield what each alert would have done, evaluated as often as its group is, or every `step_seconds`."""
        names = self._client.names(start=self._start, end=self._end)
        steps = [step_seconds or float(entry.interval_seconds) for entry in alerts]
        counts = [int((self._end - self._start) / step) + 1 for step in steps]
        done, total = 0, sum(counts)
        for entry, step, count in zip(alerts, steps, counts, strict=True):
            expr, note = self._prepared(entry.rule.expr, names)
            condition = Condition()
            try:
                for chunk in self._client.chunks(expr, start=self._start, points=count, step_seconds=step):
                    for series in chunk.series:
                        moments = (round((at - self._start) / step) for at, _ in series.values)
                        condition.add(series.labels, moments)
                    said(done + chunk.first + chunk.points, total)
            except Rejected as error:
                note = str(error)  # the others can be tried all the same
            done += count
            yield Simulated(
                alert=entry.name,
                severity=entry.severity,
                began_at=self._start,
                ended_at=self._start + (count - 1) * step,
                step_seconds=step,
                outcome=outcome(condition, self._timing(entry, step), evaluations=count, group_by=self._group_by),
                note=note,
            )

    def _timing(self, entry: Entry, step_seconds: float) -> Timing:
        rule = entry.rule
        return Timing(
            step_seconds=step_seconds,
            for_seconds=rule.for_seconds,
            keep_firing_for_seconds=rule.keep_firing_for_seconds,
            cooldown_seconds=rule.notice.cooldown_seconds,
            repeat_seconds=rule.notice.cooldown_seconds or self._repeat_seconds,
            tells_people=bool(rule.notice.channels),
        )

    def _prepared(self, expr: str, names: frozenset[str]) -> tuple[str, str]:
        """Return what to ask, and what is to be said of it: series that were not recorded are computed."""
        missing = series_read(expr) - names
        if not missing:
            return expr, ""
        computed = unrecorded(expr, self._recorded, missing=(*missing, *(self._recorded.keys() - names)))
        if computed is None or computed == expr:
            return expr, f"no samples of {_some(missing)} in that time"
        lacking = series_read(computed) - names
        if lacking:
            return computed, f"no samples of {_some(lacking)} in that time"
        return computed, f"{_some(missing)} was not recorded then; computed from what it is made of"


def _some(names: frozenset[str]) -> str:
    first, *others = sorted(names)
    return f"{first} and {len(others)} more" if others else first


def _retention_seconds(text: str) -> float:
    """Return how long `15d`, `1h30m` or `15d or 1GB` is; 0 where only a size is said."""
    try:
        return seconds_of(text.partition(" ")[0])
    except ValueError:
        return 0.0
