"""The pure test behind every verdict: whether a metric got better by at least a threshold, and what was harmed.

Means of winsorised logarithms are compared by Welch's test, whose sample sizes are cut down to the effective ones of
an autocorrelated series. docs/evaluation.md says why, and what it gets wrong how often.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from scipy.special import stdtrit

from perfloop.model import (
    Baseline,
    Direction,
    Effect,
    Evaluation,
    Grade,
    Guard,
    GuardResult,
    Objective,
    Sample,
    Scale,
    Verdict,
)
from perfloop.optimizer.control import control_key, without_control

Values = NDArray[np.float64]

WINSORISED_RATIO = 0.05  # of each tail: one slow scrape must not decide
HIGHEST_AUTOCORRELATION = 0.9
GAP_RATIO = 1.5  # of the usual spacing of samples
FEWEST_EFFECTIVE_SAMPLES = 3.0
COVERAGE_RATIO = 0.8  # of a look's samples must be there of each guard before anything is called effective
LEAST_DEVIATION_RATIO = 1e-6  # of the mean: a constant series has no noise to divide by
LARGEST_RATIO = 1e6  # JSON has no infinity
ROUNDING = 1e-9  # 10 -> 9 is 10 % better, whatever binary fractions say


class Window(NamedTuple):
    """One side of the comparison on its comparable scale: mean, its variance, degrees of freedom, effective size."""

    mean: float
    variance_of_mean: float
    freedom: float
    effective_samples: float


class EffectJudge:
    """Judges at planned looks, so that looking early costs nothing of the error rate: each gets its share of it.

    `units` (by metric) only serve the wording.
    """

    def __init__(self, *, family_alpha: float = 0.05, units: Mapping[str, str] = MappingProxyType({})) -> None:
        self._family_alpha, self._units = family_alpha, units

    def __call__(
        self, objective: Objective, guards: Sequence[Guard], before: Baseline, after: Baseline, *, looks: Sequence[int]
    ) -> Evaluation:
        """Return the verdict at the last planned look that the samples reach. Pure.

        `looks` are sample counts of the objective, ascending. A harmed guard makes any action harmful, at once. Not
        final: fewer samples than the first look, undecided with a look to come, or effective with a guard unseen.
        """
        old, new = _objective_series(objective, before, after)
        look = max((planned for planned in looks if planned <= len(new)), default=0)
        alpha = self._family_alpha / len(looks)
        evaluation = self._objective(objective, old, new[:look], alpha=alpha, looks=looks)
        if not look:
            reason = f"{len(new)} of {looks[0]} samples of {objective.metric} since the change settled"
            evaluation = replace(evaluation, reason=reason, final=False)
        results = tuple(self._guard(g, before, after, look=look, alpha=alpha / len(guards)) for g in guards)
        if harm := [result.reason for result in results if result.result == "harmed"]:
            reason = "; ".join([*harm, evaluation.reason])
            return replace(evaluation, verdict=Verdict.HARMFUL, reason=reason, guards=results, final=True)
        unseen = [g.metric for g in guards if len(after.samples.get(g.metric, ())) < COVERAGE_RATIO * look]
        if unseen and evaluation.verdict is Verdict.EFFECTIVE:
            reason = f"{evaluation.reason}; but too few samples of {', '.join(unseen)} to see harm"
            return replace(evaluation, reason=reason, guards=results, final=False)
        return replace(evaluation, guards=results)

    def _objective(
        self,
        objective: Objective,
        old: Sequence[Sample],
        new: Sequence[Sample],
        *,
        alpha: float,
        looks: Sequence[int],
    ) -> Evaluation:
        grade = Grade.CONTROL if objective.control else Grade.BEFORE_AFTER
        effect = measure(objective.metric, objective.direction, objective.scale, old, new, alpha=alpha)
        if effect is None:
            reason = f"{objective.metric} has {len(old)} samples from before the change: nothing to compare with"
            return Evaluation(verdict=Verdict.INCONCLUSIVE, reason=reason, grade=grade)
        verdict = decide(effect, objective.impact_threshold_ratio)
        final = verdict is not Verdict.INCONCLUSIVE or len(new) >= looks[-1]
        reason = self._reason(effect, verdict, objective.impact_threshold_ratio)
        if objective.control:
            reason = f"{reason}, beside the control {', '.join(objective.control)}"
        return Evaluation(verdict=verdict, reason=reason, grade=grade, effect=effect, final=final)

    def _guard(self, guard: Guard, before: Baseline, after: Baseline, *, look: int, alpha: float) -> GuardResult:
        old, new = before.samples.get(guard.metric, ()), after.samples.get(guard.metric, ())
        if breach := _hard_limit_breach(guard, old, new):
            return GuardResult(metric=guard.metric, result="harmed", reason=breach)
        effect = measure(guard.metric, guard.direction, guard.scale, old, new[:look], alpha=alpha)
        if effect is None or not _is_measurable(effect):
            reason = f"{guard.metric}: {len(old)} samples before and {len(new)} after are too few to tell"
            return GuardResult(metric=guard.metric, result="unknown", reason=reason, effect=effect)
        margin = _percent(guard.margin_ratio)
        result: Literal["harmed", "cleared", "unknown"]
        if -effect.ratio >= guard.margin_ratio - ROUNDING and effect.upper < 0:
            result, words = "harmed", f"{guard.metric} was harmed by {margin} or more"
        elif -effect.lower < guard.margin_ratio:
            result, words = "cleared", f"{guard.metric} is not worse by {margin}"
        else:
            result, words = "unknown", f"{guard.metric}: harm by {margin} can be neither shown nor excluded"
        return GuardResult(
            metric=guard.metric, result=result, reason=f"{words}: {self._numbers(effect)}", effect=effect
        )

    def _reason(self, effect: Effect, verdict: Verdict, threshold: float) -> str:
        numbers = self._numbers(effect)
        match verdict:
            case Verdict.EFFECTIVE:
                return f"{effect.metric} improved after the change: {numbers}"
            case Verdict.HARMFUL:
                return f"{effect.metric} got worse after the change: {numbers}"
            case Verdict.INEFFECTIVE:
                return f"{effect.metric} did not improve by {_percent(threshold)}: {numbers}"
        if not _is_measurable(effect):
            drift = f"autocorrelation {effect.autocorrelation:.2f}"
            return f"{effect.metric} moves too slowly for so few samples ({drift}): {numbers}"
        return f"{effect.metric}: an improvement by {_percent(threshold)} can be neither shown nor excluded: {numbers}"

    def _numbers(self, effect: Effect) -> str:
        unit = f" {name}" if (name := self._units.get(effect.metric)) else ""
        return (
            f"{effect.before_mean:.4g} -> {effect.after_mean:.4g}{unit}, {_change(effect.ratio)} "
            f"({_bounds(effect)} at alpha {effect.alpha:.2g}), effective samples "
            f"{effect.before_effective_samples:.0f} of {effect.before_samples} before, "
            f"{effect.after_effective_samples:.0f} of {effect.after_samples} after"
        )


def _objective_series(
    objective: Objective, before: Baseline, after: Baseline
) -> tuple[Sequence[Sample], Sequence[Sample]]:
    old, new = before.samples.get(objective.metric, ()), after.samples.get(objective.metric, ())
    if not objective.control:
        return old, new
    key = control_key(objective.metric)
    return without_control(old, new, before.samples.get(key, ()), after.samples.get(key, ()), scale=objective.scale)


def measure(
    metric: str, direction: Direction, scale: Scale, before: Sequence[Sample], after: Sequence[Sample], *, alpha: float
) -> Effect | None:
    """Return the change from before to after with its one-sided bounds, positive for better; None below two samples.

    The means are those of the comparison's scale: geometric for `ratio`, arithmetic for `raw`.
    """
    if min(len(before), len(after)) < 2:
        return None
    old, new = _winsorised(before), _winsorised(after)
    logarithmic = scale is Scale.RATIO and min(old.min(), new.min()) > 0
    unit = 1.0 if logarithmic else abs(float(old.mean())) or abs(float(new.mean())) or 1.0
    old, new = (np.log(old), np.log(new)) if logarithmic else (old / unit, new / unit)
    rho = _autocorrelation(((before, old), (after, new)))
    one, two = _window(old, rho), _window(new, rho)
    difference = two.mean - one.mean
    reach = _student(one, two, alpha) * math.sqrt(one.variance_of_mean + two.variance_of_mean)
    ends = [_improvement(difference + sign * reach, direction, logarithmic=logarithmic) for sign in (-1, 1)]
    return Effect(
        metric=metric,
        ratio=_improvement(difference, direction, logarithmic=logarithmic),
        lower=min(ends),
        upper=max(ends),
        before_mean=math.exp(one.mean) if logarithmic else one.mean * unit,
        after_mean=math.exp(two.mean) if logarithmic else two.mean * unit,
        before_samples=len(before),
        after_samples=len(after),
        before_effective_samples=one.effective_samples,
        after_effective_samples=two.effective_samples,
        autocorrelation=rho,
        alpha=alpha,
    )


def decide(effect: Effect, threshold: float) -> Verdict:
    """Turn an effect into a verdict, whatever look it is.

    Effective and harmful need the estimate beyond the threshold and its bound beyond zero; ineffective needs a bound
    that excludes the threshold. Of too few effective samples only what is beyond the threshold with its bound, too, is
    believed: their Student quantile is so wide that a change has to be many times the noise.
    """
    if not _is_measurable(effect):
        if effect.lower >= threshold - ROUNDING:
            return Verdict.EFFECTIVE
        return Verdict.HARMFUL if effect.upper <= ROUNDING - threshold else Verdict.INCONCLUSIVE
    if effect.ratio >= threshold - ROUNDING and effect.lower > 0:
        return Verdict.EFFECTIVE
    if effect.ratio <= ROUNDING - threshold and effect.upper < 0:
        return Verdict.HARMFUL
    return Verdict.INEFFECTIVE if effect.upper < threshold - ROUNDING else Verdict.INCONCLUSIVE


def _winsorised(samples: Sequence[Sample]) -> Values:
    values = np.array([sample.value for sample in samples], dtype=np.float64)
    cut = int(WINSORISED_RATIO * len(values))
    ordered = np.sort(values)
    return np.clip(values, ordered[cut], ordered[len(values) - 1 - cut])


def _autocorrelation(windows: Sequence[tuple[Sequence[Sample], Values]]) -> float:
    """Return the pooled lag-1 autocorrelation of the centred windows, corrected for its bias, between 0 and 0.9.

    Neighbours across a gap are no pair. The correction is that of Marriott and Pope (1954), (1 + 4 rho) / n.
    """
    products = squares = 0.0
    pairs = adjacent_pairs = size = 0
    for samples, values in windows:
        centred = values - values.mean()
        spacing = np.diff([sample.at for sample in samples])
        adjacent = spacing <= GAP_RATIO * np.median(spacing)
        products += float(np.sum(centred[1:] * centred[:-1] * adjacent))
        squares += float(np.sum(centred**2))
        pairs, adjacent_pairs, size = pairs + len(spacing), adjacent_pairs + int(adjacent.sum()), size + len(values)
    if squares <= size * LEAST_DEVIATION_RATIO**2:
        return 0.0  # constant: what is left is rounding
    rho = products / squares * pairs / adjacent_pairs
    return min(max(rho + (1 + 4 * rho) * len(windows) / size, 0.0), HIGHEST_AUTOCORRELATION)


def _window(values: Values, rho: float) -> Window:
    """Describe one window; the clipped tails are paid back as Dixon and Tukey (1968) do for winsorised means."""
    size = len(values)
    kept = size - 2 * int(WINSORISED_RATIO * size)
    effective = size * (1 - rho) / (1 + rho)
    variance = max(float(values.var(ddof=1)), LEAST_DEVIATION_RATIO**2) * ((size - 1) / (kept - 1)) ** 2
    return Window(
        mean=float(values.mean()),
        variance_of_mean=variance / effective,
        freedom=max(effective * kept / size - 1, 1.0),
        effective_samples=effective,
    )


def _student(one: Window, two: Window, alpha: float) -> float:
    """Return the one-sided Student quantile with Welch's degrees of freedom."""
    total = one.variance_of_mean + two.variance_of_mean
    freedom = total**2 / (one.variance_of_mean**2 / one.freedom + two.variance_of_mean**2 / two.freedom)
    return float(stdtrit(freedom, 1 - alpha))


def _improvement(difference: float, direction: Direction, *, logarithmic: bool) -> float:
    relative = math.expm1(min(difference, 700.0)) if logarithmic else difference
    better = -relative if direction is Direction.LOWER else relative
    return min(max(better, -LARGEST_RATIO), LARGEST_RATIO)


def _is_measurable(effect: Effect) -> bool:
    return min(effect.before_effective_samples, effect.after_effective_samples) >= FEWEST_EFFECTIVE_SAMPLES


def _hard_limit_breach(guard: Guard, before: Sequence[Sample], after: Sequence[Sample]) -> str:
    """Say which two samples in a row were beyond the limit; nothing if it was so before the change already."""
    if guard.hard_limit is None or _breaches(guard, before[-2:]):
        return ""
    for pair in itertools.pairwise(after):
        if _breaches(guard, pair):
            values = " and ".join(f"{sample.value:.4g}" for sample in pair)
            return f"{guard.metric} was {values}, beyond its hard limit {guard.hard_limit:g} twice in a row"
    return ""


def _breaches(guard: Guard, pair: Sequence[Sample]) -> bool:
    limit = guard.hard_limit
    if limit is None or len(pair) < 2:
        return False
    if guard.direction is Direction.LOWER:
        return all(sample.value > limit for sample in pair)
    return all(sample.value < limit for sample in pair)


def _change(ratio: float) -> str:
    return f"{_percent(abs(ratio))} {'better' if ratio >= 0 else 'worse'}"


def _bounds(effect: Effect) -> str:
    """Word both bounds as the estimate is worded: a change for the worse has its bounds turned round."""
    low, high = (effect.lower, effect.upper) if effect.ratio >= 0 else (-effect.upper, -effect.lower)
    return f"{_percent(low)} .. {_percent(high)}"


def _percent(ratio: float) -> str:
    percent = 100 * ratio
    return f"{percent:.2g} %" if abs(percent) < 9.95 else f"{percent:.0f} %"
