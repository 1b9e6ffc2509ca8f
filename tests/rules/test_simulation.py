"""What an alert would have done: Prometheus' rules for pending, firing and keep_firing_for, worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from perfloop.rules.simulation import Condition, Outcome, Timing, outcome

EVALUATIONS = 40


def played(*held: range, series: dict[str, str] | None = None, **timing: Any) -> Outcome:
    condition = Condition()
    for moments in held:
        condition.add(series or {}, moments)
    timing = {"step_seconds": 15, "tells_people": True, **timing}
    return outcome(condition, Timing(**timing), evaluations=EVALUATIONS)


@pytest.mark.parametrize(
    ("held", "timing", "firings", "total"),
    [
        pytest.param([range(5, 9)], {}, 1, 60, id="without for it fires at once, and ends when it is first absent"),
        pytest.param([range(5, 9)], {"for_seconds": 45}, 1, 15, id="it fires at the evaluation that completes for"),
        pytest.param([range(5, 9)], {"for_seconds": 46}, 0, 0, id="for is off the grid: the next evaluation counts"),
        pytest.param([range(5, 8), range(9, 12)], {"for_seconds": 45}, 0, 0, id="a gap begins for anew"),
        pytest.param([range(5, 9)], {"keep_firing_for_seconds": 30}, 1, 90, id="it is kept"),
        pytest.param([range(5, 9)], {"keep_firing_for_seconds": 31}, 1, 105, id="kept off the grid: one more"),
        pytest.param(
            [range(5, 9), range(11, 12)], {"keep_firing_for_seconds": 30}, 1, 135, id="back just in time: one firing"
        ),
        pytest.param(
            [range(5, 9), range(12, 13)], {"keep_firing_for_seconds": 30}, 2, 135, id="back too late: two firings"
        ),
        pytest.param(
            [range(5, 9), range(10, 11)],
            {"for_seconds": 45, "keep_firing_for_seconds": 30},
            1,
            75,
            id="what fires still need not wait for its time again",
        ),
        pytest.param([range(5)], {"for_seconds": 75}, 0, 0, id="never long enough"),
        pytest.param([range(36, 40)], {"keep_firing_for_seconds": 600}, 1, 60, id="what fires at the end ends there"),
        pytest.param([range(3), range(3, 6)], {}, 1, 90, id="pieces of an answer are joined"),
    ],
)
def test_firing_is_as_prometheus_does_it(held: list[range], timing: dict[str, Any], firings: int, total: float) -> None:
    found = played(*held, **timing)

    assert (found.firings, found.total_seconds) == (firings, total)


def test_what_comes_back_within_the_cooldown_flaps_though_it_is_one_firing() -> None:
    found = played(range(2, 4), range(8, 10), range(30, 32), keep_firing_for_seconds=150, cooldown_seconds=150)

    assert (found.firings, found.flaps) == (2, 1)


@pytest.mark.parametrize(
    ("timing", "notifications"),
    [
        pytest.param({"repeat_seconds": 150}, 2, id="once at the start, once after the repeat interval"),
        pytest.param({"repeat_seconds": 300}, 1, id="it ends when it would be repeated"),
        pytest.param({"repeat_seconds": 3600}, 1, id="once"),
        pytest.param({"repeat_seconds": 150, "tells_people": False}, 0, id="nobody is told"),
    ],
)
def test_notifications_come_at_the_start_and_again_after_the_repeat_interval(
    timing: dict[str, Any], notifications: int
) -> None:
    assert played(range(10, 30), **timing).notifications == notifications


def test_series_that_share_the_labels_of_a_group_are_told_together() -> None:
    condition = Condition()
    for device in ("sda", "sdb"):
        condition.add({"instance": "a", "device": device}, range(5, 10))
    condition.add({"instance": "b", "device": "sda"}, range(5, 10))
    timing = Timing(step_seconds=15, tells_people=True)

    alone = outcome(condition, timing, evaluations=EVALUATIONS, group_by=("instance", "device")).notifications
    together = outcome(condition, timing, evaluations=EVALUATIONS, group_by=("instance",)).notifications

    assert (alone, together) == (3, 2)
