"""What an alert would have done: `for`, keep_firing_for and cooldown, played through on when its condition held.

Times are counted in evaluations from the first one on, so that nothing depends on how fractions are rounded. The model
is Prometheus' own: a condition that held at one evaluation and not at the next has ended; the alert fires at the first
evaluation at which the condition has held for `for`; with keep_firing_for it ends at the first evaluation at which the
condition has been away for that long, and one that comes back before is the same firing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from msgspec import Struct, field


class Span(Struct, frozen=True):
    """From evaluation `first` up to but not including `end`."""

    first: int
    end: int


class Timing(Struct, frozen=True, kw_only=True):
    """What the rule and its route say, in seconds. Without anybody to tell, there are no notifications.

    `repeat_seconds` is how often people are told of what still fires.
    """

    step_seconds: float
    for_seconds: float = 0.0
    keep_firing_for_seconds: float = 0.0
    cooldown_seconds: float = 0.0
    repeat_seconds: float = 3600.0
    tells_people: bool = False


class Outcome(Struct, frozen=True, kw_only=True):
    """What an alert would have done, over all of its series."""

    series: int
    firings: int
    total_seconds: float
    longest_seconds: float
    flaps: int
    notifications: int
    firing_at_the_end: bool


class Condition(Struct, kw_only=True):
    """When the condition held, for each series by its labels; grows as evaluations are added in their order."""

    held: dict[frozenset[tuple[str, str]], list[Span]] = field(default_factory=dict)

    def add(self, labels: Mapping[str, str], evaluations: Iterable[int]) -> None:
        """Note at which evaluations it held: ascending, after all that were noted before."""
        spans = self.held.setdefault(frozenset(labels.items()), [])
        for moment in evaluations:
            if spans and spans[-1].end == moment:
                spans[-1] = Span(spans[-1].first, moment + 1)
            else:
                spans.append(Span(moment, moment + 1))


def outcome(condition: Condition, timing: Timing, *, evaluations: int, group_by: Sequence[str] = ()) -> Outcome:
    """Return what the alert would have done in so many evaluations; `group_by` is by what people are told together."""
    fired = {labels: firings(spans, timing, evaluations=evaluations) for labels, spans in condition.held.items()}
    lengths = [timing.step_seconds * (span.end - span.first) for spans in fired.values() for span in spans]
    return Outcome(
        series=sum(1 for spans in fired.values() if spans),
        firings=len(lengths),
        total_seconds=sum(lengths),
        longest_seconds=max(lengths, default=0.0),
        flaps=sum(flaps(spans, timing, evaluations=evaluations) for spans in condition.held.values()),
        notifications=_notifications(fired, timing, group_by) if timing.tells_people else 0,
        firing_at_the_end=any(spans[-1].end == evaluations for spans in fired.values() if spans),
    )


def firings(held: Sequence[Span], timing: Timing, *, evaluations: int) -> list[Span]:
    """Return when one series would have fired; what fires at the last evaluation ends there."""
    waits = _evaluations(timing.for_seconds, timing)
    stays = _evaluations(timing.keep_firing_for_seconds, timing)
    fired: list[Span] = []
    for span in held:
        end = span.end + stays
        if fired and span.first <= fired[-1].end:
            # The evaluation at which it would have ended finds the condition there again.
            fired[-1] = Span(fired[-1].first, end)
        elif span.first + waits < span.end:
            fired.append(Span(span.first + waits, end))
    return [Span(span.first, min(span.end, evaluations)) for span in fired]


def flaps(held: Sequence[Span], timing: Timing, *, evaluations: int) -> int:
    """Count how often one series would have fired again within the cooldown, were it not kept firing."""
    bare = Timing(step_seconds=timing.step_seconds, for_seconds=timing.for_seconds)
    fired = firings(held, bare, evaluations=evaluations)
    cooldown = _evaluations(timing.cooldown_seconds, timing)
    return sum(1 for before, after in pairwise(fired) if after.first - before.end < cooldown)


def _notifications(
    fired: Mapping[frozenset[tuple[str, str]], Sequence[Span]], timing: Timing, group_by: Sequence[str]
) -> int:
    """Count notifications that something fires, one at the start of each time that a group fires, and then repetitions.

    A new alert in a group that fires already is told with the group; so this is the least that people would get.
    """
    groups: dict[tuple[str, ...], list[Span]] = {}
    for labels, spans in fired.items():
        known = dict(labels)
        groups.setdefault(tuple(known.get(name, "") for name in group_by), []).extend(spans)
    repeat = max(1, _evaluations(timing.repeat_seconds, timing))
    return sum(math.ceil((span.end - span.first) / repeat) for spans in groups.values() for span in _joined(spans))


def _joined(spans: Iterable[Span]) -> list[Span]:
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: span.first):
        if joined and span.first <= joined[-1].end:
            joined[-1] = Span(joined[-1].first, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined


def _evaluations(seconds: float, timing: Timing) -> int:
    """Return after how many evaluations so much time has passed."""
    return math.ceil(round(seconds / timing.step_seconds, 9))
