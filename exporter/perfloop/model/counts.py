"""What stands in the store, in numbers."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class LatestEffect(Struct, frozen=True, kw_only=True):
    """The newest execution of one policy on one component that got as far as a change."""

    policy: str
    component: str
    executed_at: float
    duration_seconds: float | None = None
    ratio: float | None = None


class StoreCounts(Struct, frozen=True, kw_only=True):
    """What stands in the store, in numbers.

    `decisions` by (outcome, policy), `verdicts` by (policy, executor, verdict, grade), `rollbacks` by policy,
    `locked` (executions that keep their component from further actions) by component.
    """

    decisions: Mapping[tuple[str, ...], int]
    states: Mapping[str, int]
    verdicts: Mapping[tuple[str, ...], int]
    rollbacks: Mapping[str, int]
    latest: tuple[LatestEffect, ...]
    queue: int
    locked: Mapping[str, int]
    last_verdict_at: float | None = None
