"""How often the judge is wrong, by simulation: `python -m tests.optimizer.error_rates [RUNS]` prints the tables.

One continuous AR(1) series on the logarithmic scale: a baseline, a gap for settling, then samples that are judged at
each look until a verdict is final, as the evaluator does.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from perfloop.model import Baseline, Direction, Evaluation, Guard, GuardResult, Objective, Sample, Verdict
from perfloop.optimizer.judge import EffectJudge

LOOKS = (20, 40, 60)
BEFORE, GAP = 40, 10
OBJECTIVE = Objective(metric="pool_wait", direction=Direction.LOWER)
JUDGE = EffectJudge()
VERDICTS = (Verdict.EFFECTIVE, Verdict.INEFFECTIVE, Verdict.HARMFUL, Verdict.INCONCLUSIVE)


def autoregressive(
    rng: np.random.Generator, size: int, *, rho: float, deviation: float, tail: float | None = None
) -> NDArray[np.float64]:
    """Return a stationary AR(1) series around 0; `tail` is the degrees of freedom of Student noise."""
    noise = rng.standard_normal(size) if tail is None else rng.standard_t(tail, size) / math.sqrt(tail / (tail - 2))
    series = np.empty(size)
    series[0] = noise[0]
    for i in range(1, size):
        series[i] = rho * series[i - 1] + math.sqrt(1 - rho**2) * noise[i]
    return deviation * series


def samples(values: NDArray[np.float64], *, start: float = 0.0) -> tuple[Sample, ...]:
    """Give values the times start, start + 15 …"""
    return tuple(Sample(at=start + 15 * i, value=float(value)) for i, value in enumerate(values))


def episode(
    rng: np.random.Generator,
    *,
    improvement: float,
    rho: float,
    deviation: float,
    tail: float | None = None,
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Return one simulated baseline and the samples after a change that improved the metric by a share."""
    series = 50 * np.exp(autoregressive(rng, BEFORE + GAP + LOOKS[-1], rho=rho, deviation=deviation, tail=tail))
    series[BEFORE:] *= 1 - improvement
    return samples(series[:BEFORE]), samples(series[BEFORE + GAP :], start=15.0 * (BEFORE + GAP))


def judged(
    before: Sequence[Sample], after: Sequence[Sample], *, looks: Sequence[int] = LOOKS
) -> tuple[Evaluation, int]:
    """Judge at each look in turn until the verdict is final; return it and the look that it took."""
    for look in looks:
        old, new = ({OBJECTIVE.metric: tuple(side)} for side in (before, after[:look]))
        evaluation = JUDGE(OBJECTIVE, (), Baseline(samples=old), Baseline(samples=new), looks=looks)
        if evaluation.final:
            return evaluation, look
    raise AssertionError("the last look is always final")


def verdicts(
    runs: int, *, seed: int = 0, looks: Sequence[int] = LOOKS, **world: float
) -> tuple[dict[Verdict, float], float]:
    """Return how often each verdict ends an episode in such a world, and the mean number of samples it took."""
    rng = np.random.default_rng(seed)
    counts: Counter[Verdict] = Counter()
    took = 0
    for _ in range(runs):
        evaluation, look = judged(*episode(rng, **world), looks=looks)
        counts[evaluation.verdict] += 1
        took += look
    return {verdict: counts[verdict] / runs for verdict in Verdict}, took / runs


def credited_for_luck(runs: int, *, mean_left: float, rho: float = 0.5, deviation: float = 0.2) -> float:
    """Return how often doing nothing is called effective when an incident (82 % worse) is about to end by itself.

    It ends so many samples after the action, on average (exponentially distributed).
    """
    rng = np.random.default_rng(0)
    credited = 0
    for _ in range(runs):
        before, after = episode(rng, improvement=0.0, rho=rho, deviation=deviation)
        ended = max(0, int(rng.exponential(mean_left)) - GAP)
        after = tuple(replace(s, value=s.value / 1.82) if i >= ended else s for i, s in enumerate(after))
        credited += judged(before, after)[0].verdict is Verdict.EFFECTIVE
    return credited / runs


def false_alarms(runs: int, *, guards: int, worse: float = 0.0, rho: float = 0.5, deviation: float = 0.25) -> float:
    """Return how often any guard is harmed at any look, the first of them being worse by a share, or none by 0."""
    rng = np.random.default_rng(0)
    watched = [Guard(metric=f"guard_{i}", direction=Direction.LOWER) for i in range(guards)]
    alarms = 0
    for _ in range(runs):
        pairs = {
            g.metric: episode(rng, improvement=-worse * (i == 0), rho=rho, deviation=deviation)
            for i, g in enumerate(watched)
        }
        old = Baseline(samples={name: before for name, (before, _) in pairs.items()})
        alarms += any(
            result.result == "harmed"
            for look in LOOKS
            for result in _guards(watched, old, Baseline(samples={n: after[:look] for n, (_, after) in pairs.items()}))
        )
    return alarms / runs


def _guards(watched: Sequence[Guard], before: Baseline, after: Baseline) -> tuple[GuardResult, ...]:
    objective = Objective(metric=watched[0].metric, direction=Direction.LOWER)
    return JUDGE(objective, watched, before, after, looks=LOOKS).guards


def main(runs: int) -> None:
    """Print the tables of docs/evaluation.md."""
    write = sys.stdout.write
    write(f"{runs} runs a row; baseline {BEFORE} samples, looks at {LOOKS}, threshold 10 %\n\n")
    write(
        "| rho | sd | true effect | effective | ineffective | harmful | inconclusive | samples |\n" + "|---" * 8 + "|\n"
    )
    for rho in (0.0, 0.5, 0.8):
        for deviation in (0.15, 0.25):
            for improvement in (0.0, 0.10, 0.20, 0.30, 0.50, -0.20):
                share, took = verdicts(runs, improvement=improvement, rho=rho, deviation=deviation)
                cells = " | ".join(f"{share[v]:.3f}" for v in VERDICTS)
                write(f"| {rho:g} | {deviation:g} | {improvement:+.0%} | {cells} | {took:.0f} |\n")
    share, _ = verdicts(runs, improvement=0.0, rho=0.6, deviation=0.25, tail=3)
    write(f"\nStudent noise with 3 degrees of freedom, rho 0.6, no effect: effective {share[Verdict.EFFECTIVE]:.3f}\n")
    for mean_left in (10, 20, 60, 200):
        share_credited = credited_for_luck(runs // 2, mean_left=mean_left)
        write(f"incident that ends by itself after {mean_left} samples: called effective {share_credited:.3f}\n")
    for guards in (1, 3, 5):
        rates = [false_alarms(runs // 2, guards=guards, worse=worse) for worse in (0.0, 0.2, 0.5)]
        write(
            f"{guards} guards: false alarm {rates[0]:.3f}, seen when 20 % worse {rates[1]:.3f}, 50 % {rates[2]:.3f}\n"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
