"""The judge: one row for each surprise, properties that any data must keep, and error rates by simulation."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json
from msgspec.structs import replace
from numpy.typing import NDArray

from perfloop.model import Baseline, Direction, Evaluation, Grade, Guard, Objective, Sample, Scale, Verdict
from perfloop.optimizer.judge import EffectJudge, decide, measure
from tests.optimizer.error_rates import autoregressive, false_alarms, judged, samples, verdicts

Series = tuple[Sample, ...]
Values = NDArray[np.float64]
LOOKS = (20, 40, 60)
POOL_WAIT = Objective(metric="pool_wait", direction=Direction.LOWER)
JUDGE = EffectJudge(units={"pool_wait": "milliseconds"})


def noisy(centre: float, size: int, *, rho: float = 0.0, deviation: float = 0.1, seed: int = 0) -> Series:
    rng = np.random.default_rng(seed)
    return samples(centre * np.exp(autoregressive(rng, size, rho=rho, deviation=deviation)))


def constant(value: float, size: int) -> Series:
    return samples(np.full(size, value))


def judge(
    before: Series,
    after: Series,
    *,
    objective: Objective = POOL_WAIT,
    guards: tuple[tuple[Guard, Series, Series], ...] = (),
    looks: tuple[int, ...] = LOOKS,
) -> Evaluation:
    old = {objective.metric: before} | {guard.metric: side for guard, side, _ in guards}
    new = {objective.metric: after} | {guard.metric: side for guard, _, side in guards}
    return JUDGE(objective, [g for g, _, _ in guards], Baseline(samples=old), Baseline(samples=new), looks=looks)


# -- the objective -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "direction", "verdict"),
    [
        pytest.param(48, 3.2, "lower", "effective", id="waiting falls"),
        pytest.param(48, 100, "lower", "harmful", id="waiting rises"),
        pytest.param(48, 48, "lower", "ineffective", id="waiting stays"),
        pytest.param(100, 150, "higher", "effective", id="throughput rises"),
        pytest.param(100, 60, "higher", "harmful", id="throughput falls"),
        pytest.param(48, 45, "lower", "ineffective", id="6 % better is less than 10 %"),
        pytest.param(48e-9, 3.2e-9, "lower", "effective", id="small units"),
    ],
)
def test_the_verdict_follows_the_direction_that_is_better(
    before: float, after: float, direction: str, verdict: str
) -> None:
    objective = replace(POOL_WAIT, direction=Direction(direction))

    evaluation = judge(noisy(before, 40, seed=1), noisy(after, 60, seed=2), objective=objective)

    assert (evaluation.verdict, evaluation.final) == (verdict, True)
    assert evaluation.grade is Grade.BEFORE_AFTER


@pytest.mark.parametrize(
    ("before", "after", "scale", "verdict"),
    [
        pytest.param(0, 0, "raw", "ineffective", id="nothing stays nothing"),
        pytest.param(0, 0, "ratio", "ineffective", id="zeros have no logarithm"),
        pytest.param(5, 5, "ratio", "ineffective", id="the same value"),
        pytest.param(10, 9, "ratio", "effective", id="10 -> 9 is 10 %"),
        pytest.param(10, 9.1, "ratio", "ineffective", id="10 -> 9.1 is 9 %"),
        pytest.param(10, 11, "ratio", "harmful", id="10 -> 11 is 10 % worse"),
        pytest.param(10, 0, "ratio", "effective", id="down to zero"),
        pytest.param(0, 3, "raw", "harmful", id="up from zero"),
        pytest.param(-4, -6, "raw", "effective", id="below zero, lower is still better"),
    ],
)
def test_constant_series_are_judged_by_their_difference(before: float, after: float, scale: str, verdict: str) -> None:
    objective = replace(POOL_WAIT, scale=Scale(scale))

    evaluation = judge(constant(before, 40), constant(after, 20), objective=objective)

    assert (evaluation.verdict, evaluation.final) == (verdict, True)


def test_the_reason_says_what_was_measured_and_never_that_it_was_fixed() -> None:
    evaluation = judge(noisy(48, 40, rho=0.5), noisy(3.2, 20, rho=0.5, seed=1))

    assert evaluation.reason == (
        "pool_wait improved after the change: 47.4 -> 3.23 milliseconds, 93 % better "
        "(92 % .. 94 % at alpha 0.017), effective samples 7 of 40 before, 4 of 20 after"
    )


def test_a_change_for_the_worse_is_worded_as_such() -> None:
    evaluation = judge(constant(10, 40), constant(12, 20))

    assert "pool_wait got worse after the change: 10 -> 12 milliseconds, 20 % worse (20 % .. 20 %" in evaluation.reason


def test_before_the_first_look_it_waits() -> None:
    evaluation = judge(noisy(48, 40), noisy(3, 19))

    assert not evaluation.final
    assert evaluation.reason == "19 of 20 samples of pool_wait since the change settled"


def test_between_looks_the_newer_samples_do_not_count() -> None:
    after = noisy(45, 39, deviation=0.4)

    assert judge(noisy(48, 40, deviation=0.4), after) == judge(noisy(48, 40, deviation=0.4), after[:20])


@pytest.mark.parametrize(("size", "final"), [(20, False), (40, False), (60, True)])
def test_an_undecided_look_waits_for_the_next_and_the_last_one_is_final(*, size: int, final: bool) -> None:
    evaluation = judge(noisy(48, 40, deviation=0.5), noisy(45, size, deviation=0.5, seed=3))

    assert (evaluation.verdict, evaluation.final) == (Verdict.INCONCLUSIVE, final)


def test_each_look_spends_its_share_of_the_error_rate() -> None:
    one, three = (judge(noisy(48, 40), noisy(30, 20), looks=looks).effect for looks in ((20,), LOOKS))

    assert one
    assert three
    assert [one.alpha, three.alpha] == pytest.approx([0.05, 0.05 / 3])
    assert three.lower < one.lower < one.ratio < one.upper < three.upper


def test_a_series_that_only_drifts_is_inconclusive() -> None:
    drifting = samples(np.linspace(60, 40, 60))

    evaluation = judge(drifting[:40], drifting[40:])

    assert evaluation.verdict is Verdict.INCONCLUSIVE
    assert "moves too slowly for so few samples (autocorrelation 0.90)" in evaluation.reason


def test_one_slow_scrape_does_not_decide() -> None:
    calm, jolted = noisy(48, 40, seed=1), noisy(48, 20, seed=2)
    jolted = (*jolted[:7], replace(jolted[7], value=1e9), *jolted[8:])

    assert judge(calm, jolted).verdict is not Verdict.HARMFUL


def test_without_a_baseline_nothing_is_claimed() -> None:
    evaluation = judge((), noisy(48, 60))

    assert evaluation.verdict is Verdict.INCONCLUSIVE
    assert "0 samples from before the change" in evaluation.reason


def test_samples_across_a_gap_are_no_neighbours() -> None:
    values = np.tile([1.0, 1.0, 2.0, 2.0], 10)
    gapped = tuple(Sample(at=15.0 * i + 1000 * (i // 2), value=v) for i, v in enumerate(values))

    whole, holed = (measure("m", Direction.LOWER, Scale.RATIO, s, s, alpha=0.05) for s in (samples(values), gapped))

    assert whole
    assert holed
    assert [whole.autocorrelation, holed.autocorrelation] == pytest.approx([0.0, 0.9], abs=0.1)


# -- guards ------------------------------------------------------------------------------------------------------------

ERRORS = Guard(metric="error_rate", direction=Direction.LOWER, scale=Scale.RAW)
BETTER = (noisy(48, 40), noisy(20, 20, seed=1))


@pytest.mark.parametrize(
    ("before", "after", "result"),
    [
        pytest.param(constant(0, 40), constant(0, 20), "cleared", id="no errors before and after"),
        pytest.param(constant(0, 40), constant(3, 20), "harmed", id="errors from nothing"),
        pytest.param(noisy(5, 40), noisy(8, 20, seed=1), "harmed", id="60 % more errors"),
        pytest.param(noisy(5, 40), noisy(2, 20, seed=1), "cleared", id="fewer errors"),
        pytest.param(noisy(5, 40, deviation=1), noisy(5, 20, deviation=1, seed=1), "unknown", id="too noisy to say"),
    ],
)
def test_a_guard_is_harmed_cleared_or_unknown(before: Series, after: Series, result: str) -> None:
    evaluation = judge(*BETTER, guards=((ERRORS, before, after),))

    assert [guard.result for guard in evaluation.guards] == [result]
    assert evaluation.verdict is (Verdict.HARMFUL if result == "harmed" else Verdict.EFFECTIVE)
    assert evaluation.final


def test_harm_to_a_guard_stands_before_what_was_achieved() -> None:
    evaluation = judge(*BETTER, guards=((ERRORS, constant(0, 40), constant(3, 20)),))

    assert re.search(
        "^error_rate was harmed by 10 % or more: .*; pool_wait improved after the change", evaluation.reason
    )


def test_more_guards_share_the_error_rate() -> None:
    names = ("a", "b", "c", "d")
    guards = tuple((Guard(metric=n, direction=Direction.LOWER), noisy(5, 40), noisy(5, 20, seed=1)) for n in names)

    evaluation = judge(*BETTER, guards=guards)

    assert {guard.effect.alpha for guard in evaluation.guards if guard.effect} == {0.05 / 3 / 4}


@pytest.mark.parametrize(
    ("values", "harmed"),
    [
        pytest.param([1, 9, 1, 9], False, id="single samples above the limit"),
        pytest.param([1, 9, 9], True, id="twice in a row"),
        pytest.param([1, 8, 8], False, id="the limit itself is allowed"),
    ],
)
def test_a_hard_limit_is_harm_when_it_is_passed_twice_in_a_row_before_any_look(
    *, values: list[float], harmed: bool
) -> None:
    guard = replace(ERRORS, hard_limit=8.0)

    evaluation = judge(BETTER[0], (), guards=((guard, constant(1, 40), samples(np.array(values, float))),))

    assert (evaluation.guards[0].result == "harmed", evaluation.final) == (harmed, harmed)
    assert ("error_rate was 9 and 9, beyond its hard limit 8" in evaluation.guards[0].reason) == harmed


def test_a_floor_is_passed_downwards() -> None:
    guard = Guard(metric="query_throughput", direction=Direction.HIGHER, hard_limit=100)

    evaluation = judge(BETTER[0], (), guards=((guard, constant(150, 40), constant(90, 2)),))

    assert evaluation.guards[0].result == "harmed"


def test_what_was_beyond_its_limit_before_is_no_harm_of_the_action() -> None:
    guard = replace(ERRORS, hard_limit=8.0)

    evaluation = judge(*BETTER, guards=((guard, constant(10, 40), constant(10, 20)),))

    assert evaluation.guards[0].result == "cleared"


def test_nothing_is_called_effective_for_good_while_a_guard_is_not_seen() -> None:
    evaluation = judge(*BETTER, guards=((ERRORS, constant(1, 40), constant(1, 5)),))

    assert (evaluation.verdict, evaluation.final) == (Verdict.EFFECTIVE, False)
    assert evaluation.reason.endswith("but too few samples of error_rate to see harm")


# -- properties --------------------------------------------------------------------------------------------------------

numbers = st.lists(st.integers(0, 10**6).map(lambda n: n / 1000), min_size=20, max_size=60)
series = numbers.map(lambda v: samples(np.array(v)))
moves = st.tuples(st.floats(1e-6, 1e9), st.integers(-(10**6), 10**6))
directions, scales = st.sampled_from(Direction), st.sampled_from(Scale)


@settings(max_examples=150, deadline=None)
@given(series, series, directions, scales)
def test_bounds_enclose_the_estimate_and_survive_json(
    before: Series, after: Series, direction: Direction, scale: Scale
) -> None:
    effect = measure("m", direction, scale, before, after, alpha=0.05)

    assert effect
    assert effect.lower <= effect.ratio <= effect.upper
    assert json.decode(json.encode(effect), type=type(effect)) == effect


@settings(max_examples=150, deadline=None)
@given(series, series, directions, scales, moves)
def test_neither_the_unit_nor_the_time_of_day_changes_the_effect(
    before: Series, after: Series, direction: Direction, scale: Scale, move: tuple[float, int]
) -> None:
    factor, shift_seconds = move
    moved = [tuple(Sample(at=s.at + shift_seconds, value=s.value * factor) for s in side) for side in (before, after)]

    here = measure("m", direction, scale, before, after, alpha=0.05)
    there = measure("m", direction, scale, *moved, alpha=0.05)

    assert here
    assert there
    for name in ("ratio", "lower", "upper", "autocorrelation", "after_effective_samples"):
        assert getattr(there, name) == pytest.approx(getattr(here, name), rel=1e-6, abs=1e-6)


@settings(max_examples=150, deadline=None)
@given(series, series, scales)
def test_what_is_an_improvement_downwards_is_harm_upwards(before: Series, after: Series, scale: Scale) -> None:
    down, up = (measure("m", d, scale, before, after, alpha=0.05) for d in Direction)

    assert down
    assert up
    assert (down.ratio, down.lower, down.upper) == pytest.approx((-up.ratio, -up.upper, -up.lower))
    assert {decide(down, 0.1), decide(up, 0.1)} != {Verdict.EFFECTIVE}


@settings(max_examples=100, deadline=None)
@given(series, directions, scales)
def test_a_series_compared_with_itself_is_neither_effective_nor_harmful(
    same: Series, direction: Direction, scale: Scale
) -> None:
    effect = measure("m", direction, scale, same, same, alpha=0.05)

    assert effect
    assert effect.ratio == pytest.approx(0, abs=1e-9)
    assert decide(effect, 0.1) in {Verdict.INEFFECTIVE, Verdict.INCONCLUSIVE}


@settings(max_examples=100, deadline=None)
@given(series, st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), max_size=70).map(np.array))
def test_any_finite_numbers_get_a_verdict_with_finite_numbers(before: Series, odd: Values) -> None:
    evaluation = judge(before, samples(odd))

    assert evaluation.effect is None or math.isfinite(evaluation.effect.lower + evaluation.effect.upper)


# -- error rates; docs/evaluation.md holds the full tables -------------------------------------------------------------


@pytest.mark.parametrize(("rho", "deviation"), [(0.0, 0.25), (0.5, 0.15), (0.5, 0.25), (0.8, 0.15), (0.8, 0.25)])
def test_an_action_without_effect_is_seldom_called_effective_or_harmful(rho: float, deviation: float) -> None:
    share, _ = verdicts(500, improvement=0.0, rho=rho, deviation=deviation)

    assert share[Verdict.EFFECTIVE] <= 0.08
    assert share[Verdict.HARMFUL] <= 0.08


@pytest.mark.parametrize(
    ("improvement", "rho", "deviation", "power"),
    [
        (0.3, 0.0, 0.25, 0.98),
        (0.3, 0.5, 0.15, 0.95),
        (0.3, 0.5, 0.25, 0.88),
        (0.3, 0.8, 0.15, 0.6),
        (0.5, 0.8, 0.25, 0.7),
    ],
)
def test_a_real_improvement_is_found(improvement: float, rho: float, deviation: float, power: float) -> None:
    share, _ = verdicts(200, improvement=improvement, rho=rho, deviation=deviation)

    assert share[Verdict.EFFECTIVE] >= power


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_an_improvement_by_the_threshold_is_seldom_called_ineffective_at_an_early_look(rho: float) -> None:
    share, _ = verdicts(300, improvement=0.10, rho=rho, deviation=0.25)

    assert share[Verdict.INEFFECTIVE] <= 0.08


def test_a_worse_metric_is_almost_never_called_effective() -> None:
    share, _ = verdicts(300, improvement=-0.2, rho=0.8, deviation=0.25)

    assert share[Verdict.EFFECTIVE] <= 0.01


def test_three_guards_together_seldom_raise_a_false_alarm() -> None:
    assert false_alarms(200, guards=3) <= 0.1


def test_a_change_many_times_the_noise_is_seen_in_a_series_that_hardly_moves():
    rng = np.random.default_rng(7)
    slow = np.exp(autoregressive(rng, 91, rho=0.98, deviation=0.08))
    slow[31:] *= 0.07

    evaluation, _ = judged(samples(200 * slow[:31]), samples(200 * slow[31:], start=1000.0))

    assert evaluation.verdict is Verdict.EFFECTIVE
    assert min(evaluation.effect.before_effective_samples, evaluation.effect.after_effective_samples) < 3


@pytest.mark.parametrize("rho", [0.9, 0.95, 0.98])
def test_a_series_that_wanders_slowly_is_rarely_called_effective_when_nothing_was_done(rho: float):
    found, _ = verdicts(300, seed=11, improvement=0.0, rho=rho, deviation=0.5)

    assert found[Verdict.EFFECTIVE] <= 0.08
