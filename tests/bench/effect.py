"""bench-effect: how often the judge is wrong, beside comparing means and beside Mann-Whitney."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

import perfloop
from perfloop.model import Verdict
from tests.bench.report import Measure, Result, compared
from tests.optimizer.error_rates import BEFORE, GAP, LOOKS, OBJECTIVE, episode, judged

RUNS = 2000
SEED = 20
DEVIATION = 0.25
ALPHA = 0.05
# The more memory a series has, the more the others take its waves for an effect. Without any they are right.
REACHES: Mapping[float, float | None] = {0.0: None, 0.5: 0.5, 0.8: 0.25}
Values = NDArray[np.float64]
Test = Callable[[Values, Values], bool]


def means_differ(before: Values, after: Values) -> bool:
    """Say whether the mean is better by the threshold: what a person does who looks at a chart twice."""
    return float(after.mean()) <= float(before.mean()) * (1 - OBJECTIVE.impact_threshold_ratio)


def ranks_differ(before: Values, after: Values) -> bool:
    """Say whether the mean is better by the threshold, and Mann-Whitney's test that it is no chance."""
    return means_differ(before, after) and bool(mannwhitneyu(before, after, alternative="greater").pvalue < ALPHA)


PEERS: Mapping[str, Test] = {"comparing means": means_differ, "Mann-Whitney": ranks_differ}


def run() -> Result:
    """Simulate everything."""
    return Result(
        measures=list(_measures()),
        versions={"perfloop": perfloop.__version__, "scipy": version("scipy"), "numpy": version("numpy")},
        notes=[
            f"Simulated AR(1) series, {RUNS} episodes a row, seed {SEED}, logarithmic sd {DEVIATION:g}, {BEFORE} "
            f"samples before, {GAP} to settle, threshold {OBJECTIVE.impact_threshold_ratio:.0%}. All judge the "
            f"same episodes. The standard error of a rate of 0.04 is {(0.04 * 0.96 / RUNS) ** 0.5:.3f}.",
            f"Ours looks at {', '.join(map(str, LOOKS))} samples and stops when it is sure. The others look once, at "
            f"{LOOKS[-1]}: their best case, as looking earlier or oftener makes them wrong more often.",
            "The price is in the rows `missed`: in a series that remembers much, 60 samples say little, and ours then "
            "says `inconclusive`. The others find more, because they nearly always say yes: see the rows above.",
        ],
    )


def _measures() -> Iterator[Measure]:
    for rho, reach in REACHES.items():
        ours, theirs, _ = rates(rho=rho, improvement=0.0)
        for peer, rate in theirs.items():
            told = f"no effect, called effective, rho {rho:g}: {peer}"
            yield compared(told, "share", ours=ours, theirs=rate, reach=reach)
    for rho in REACHES:
        ours, theirs, took = rates(rho=rho, improvement=0.3)
        for peer, rate in theirs.items():
            yield compared(f"30 % better, missed, rho {rho:g}: {peer}", "share", ours=1 - ours, theirs=1 - rate)
        yield compared(f"30 % better, samples taken, rho {rho:g}", "samples", ours=took, theirs=LOOKS[-1])


def rates(*, rho: float, improvement: float, runs: int = RUNS) -> tuple[float, dict[str, float], float]:
    """Return how often ours and each of the others says "effective" in such a world, and how many samples ours took."""
    rng = np.random.default_rng(SEED)
    ours = took = 0
    theirs = dict.fromkeys(PEERS, 0)
    for _ in range(runs):
        before, after = episode(rng, improvement=improvement, rho=rho, deviation=DEVIATION)
        evaluation, look = judged(before, after)
        ours += evaluation.verdict is Verdict.EFFECTIVE
        took += look
        old, new = (np.array([sample.value for sample in side]) for side in (before, after))
        for peer, says_effective in PEERS.items():
            theirs[peer] += says_effective(old, new)
    return ours / runs, {peer: count / runs for peer, count in theirs.items()}, took / runs
