"""What happens to the control too is not the action's doing: difference in differences, and its error rates."""

from __future__ import annotations

import numpy as np
import pytest

from perfloop.model import Baseline, Direction, Grade, Objective, Sample, Scale, Verdict
from perfloop.optimizer.control import control_key, without_control
from perfloop.optimizer.judge import EffectJudge

STEP_SECONDS = 3.0
LOOKS = (20, 40, 60)
OBJECTIVE = Objective(metric="pool_wait", direction=Direction.LOWER, control=('component="sibling"',))


def series(values: object, *, begins_at: float = 0.0) -> tuple[Sample, ...]:
    return tuple(
        Sample(at=begins_at + i * STEP_SECONDS, value=float(v)) for i, v in enumerate(np.asarray(values, dtype=float))
    )


def judged(before: object, after: object, control_before: object, control_after: object) -> object:
    key = control_key("pool_wait")
    old = Baseline(samples={"pool_wait": series(before), key: series(control_before)})
    new = Baseline(
        samples={
            "pool_wait": series(after, begins_at=1000.0),
            key: series(control_after, begins_at=1000.4),
        }
    )
    return EffectJudge()(OBJECTIVE, (), old, new, looks=LOOKS)


def noise(rng: np.random.Generator, size: int) -> np.ndarray:
    return np.exp(rng.normal(0, 0.03, size))


def test_an_incident_that_ends_by_itself_for_both_is_no_effect_of_the_action():
    rng = np.random.default_rng(1)

    verdict = judged(100 * noise(rng, 40), 50 * noise(rng, 60), 10 * noise(rng, 40), 5 * noise(rng, 60))

    assert (verdict.verdict, verdict.grade) == (Verdict.INEFFECTIVE, Grade.CONTROL)
    assert 'beside the control component="sibling"' in verdict.reason


def test_an_improvement_beyond_the_controls_is_the_actions():
    rng = np.random.default_rng(2)

    verdict = judged(100 * noise(rng, 40), 25 * noise(rng, 20), 10 * noise(rng, 40), 5 * noise(rng, 20))

    assert verdict.verdict is Verdict.EFFECTIVE
    assert verdict.effect.ratio == pytest.approx(0.5, abs=0.05)
    assert verdict.effect.before_mean == pytest.approx(100, rel=0.05), "the level from before is kept"


def test_noise_that_both_share_does_not_hide_a_small_effect():
    rng = np.random.default_rng(3)
    shared_before, shared_after = np.exp(rng.normal(0, 0.5, 40)), np.exp(rng.normal(0, 0.5, 20))

    verdict = judged(
        100 * shared_before * noise(rng, 40),
        80 * shared_after * noise(rng, 20),
        10 * shared_before * noise(rng, 40),
        10 * shared_after * noise(rng, 20),
    )

    assert verdict.verdict is Verdict.EFFECTIVE


def test_samples_without_a_control_at_their_time_do_not_count():
    old, new = without_control(
        series([1, 2, 3, 4]), series([5, 6], begins_at=100), series([1, 1, 1]), (), scale=Scale.RATIO
    )

    assert [sample.value for sample in old] == [1, 2, 3]
    assert new == []


def test_on_the_raw_scale_the_controls_excess_is_subtracted():
    old, new = without_control(
        series([10, 12]),
        series([20, 21], begins_at=100),
        series([0, 2]),
        series([5, 5], begins_at=100),
        scale=Scale.RAW,
    )

    assert [sample.value for sample in old] == [11, 11]
    assert [sample.value for sample in new] == [16, 17]


def test_incidents_that_end_by_themselves_are_rarely_called_effective():
    rng = np.random.default_rng(4)
    effective = 0
    runs = 300
    for _ in range(runs):
        ends_after = rng.exponential(20)
        common = np.exp(rng.normal(0, 0.2, 100)) * np.where(np.arange(100) - 40 < ends_after, 1.82, 1.0)
        target, control = 100 * common * np.exp(rng.normal(0, 0.1, 100)), 10 * common * np.exp(rng.normal(0, 0.1, 100))
        verdict = judged(target[:40], target[40:], control[:40], control[40:])
        effective += verdict.verdict is Verdict.EFFECTIVE

    assert effective / runs <= 0.08
