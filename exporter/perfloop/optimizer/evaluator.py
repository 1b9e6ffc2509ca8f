"""Asks Prometheus for the samples before and after an action, and a judge for the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from perfloop.errors import ActionRefused, PerfloopError, Rejected
from perfloop.model import Baseline, CatalogueMetric, Evaluation, Guard, Objective, Policy, Sample, Timing, Verdict
from perfloop.model.matchers import Matcher, parse_matcher
from perfloop.optimizer.control import control_key
from perfloop.optimizer.judge import EffectJudge
from perfloop.protocols import Judge, SeriesSource

COVERAGE_RATIO = 0.8
FRESH_STEPS = 2
PATIENCE_RATIO = 1.5  # of the time that the last look needs
PATIENCE_SECONDS = 60.0


class PrometheusEvaluator:
    """Samples the objective and the guards of one component. Keeps nothing, waits for nothing, has no clock."""

    def __init__(
        self, source: SeriesSource, *, catalogue: Mapping[str, CatalogueMetric], judge: Judge | None = None
    ) -> None:
        self._source, self._catalogue = source, catalogue
        self._judge = judge or EffectJudge(units={name: metric.unit for name, metric in catalogue.items()})

    def baseline(self, policy: Policy, component: str, *, now: float) -> Baseline:
        """Fetch the samples from before, of the objective and of every guard.

        Raises ActionRefused if any of them is missing, stale or has too few samples: nothing acts on missing data.
        Raises Unavailable if Prometheus does not answer.
        """
        timing = policy.timing
        start = now - (timing.baseline_samples - 1) * timing.sample_seconds
        samples = {}
        for key, (metric, selector) in _selectors(policy, component).items():
            try:
                samples[key] = self._samples(metric, selector, start=start, end=now, timing=timing)
            except Rejected as error:
                raise ActionRefused(f"{key} of {component} cannot be measured: {error}") from error
            _require_fit(key, component, samples[key], timing, now=now)
        return Baseline(samples=samples)

    def evaluate(
        self, policy: Policy, component: str, baseline: Baseline, *, executed_at: float, now: float
    ) -> Evaluation:
        """Judge the samples since the change settled. Never raises for want of data.

        Not final while samples are awaited, or Prometheus is; at the deadline what is still unknown is unverifiable.
        """
        timing = policy.timing
        settled_at = executed_at + timing.settle_seconds
        if now < settled_at:
            return _waiting(f"the change settles for another {settled_at - now:.0f} s")
        span_seconds = PATIENCE_RATIO * timing.looks[-1] * timing.sample_seconds
        overdue = now > settled_at + span_seconds + PATIENCE_SECONDS
        end = min(now, settled_at + span_seconds)
        try:
            after = self._after(policy, component, settled_at=settled_at, end=end)
        except PerfloopError as error:
            return _unverifiable(str(error)) if overdue else _waiting(str(error))
        evaluation = self._judge(policy.objective, policy.guards, baseline, after, looks=timing.looks)
        return _closed(evaluation) if overdue and not evaluation.final else evaluation

    def _after(self, policy: Policy, component: str, *, settled_at: float, end: float) -> Baseline:
        """Fetch what was recorded after the change had settled; the lookback offers older samples too."""
        timing = policy.timing
        found = {
            key: self._samples(metric, selector, start=settled_at, end=end, timing=timing)
            for key, (metric, selector) in _selectors(policy, component).items()
        }
        return Baseline(samples={m: tuple(s for s in samples if s.at > settled_at) for m, samples in found.items()})

    def _samples(self, metric: str, selector: str, *, start: float, end: float, timing: Timing) -> tuple[Sample, ...]:
        """Return the distinct samples behind a range query, each at the time when it was recorded.

        A range query repeats a series that has stopped for five more minutes; only `timestamp()` tells. It is asked
        first, so that a sample that arrives in between cannot make an older value look newer.
        """
        entry = self._catalogue.get(metric)
        if entry is None:
            raise ActionRefused(f"{metric} is not in the catalogue of metrics")
        series = f"{entry.series}{{{selector}}}"
        grid = {"start": start, "end": end, "step_seconds": timing.sample_seconds}
        recorded_at = {s.at: s.value for s in self._source.query_range(f"min(timestamp({series}))", **grid)}
        values = self._source.query_range(f"{entry.across}({series})", **grid)
        distinct = {recorded_at[s.at]: s.value for s in reversed(values) if s.at in recorded_at}
        return tuple(Sample(at=at, value=value) for at, value in sorted(distinct.items()))


def _selectors(policy: Policy, component: str) -> dict[str, tuple[str, str]]:
    """Return what is sampled: (metric, label matchers in PromQL) of the objective, its control and the guards."""
    own = Matcher(label="component", operator="=", value=component).promql()
    goals: tuple[Objective | Guard, ...] = (policy.objective, *policy.guards)
    selectors = {goal.metric: (goal.metric, _promql(goal.matchers) or own) for goal in goals}
    if policy.objective.control:
        metric = policy.objective.metric
        selectors[control_key(metric)] = (metric, _promql(policy.objective.control))
    return selectors


def _promql(matchers: Sequence[str]) -> str:
    return ", ".join(parse_matcher(matcher).promql() for matcher in matchers)


def _require_fit(metric: str, component: str, samples: tuple[Sample, ...], timing: Timing, *, now: float) -> None:
    """Raise ActionRefused unless the samples are fresh, enough, and without large holes in the newest stretch."""
    if not samples:
        raise ActionRefused(
            f"perfloop:{metric} has no samples for component {component}: "
            "is it scraped, and are the compiled rules loaded into Prometheus?"
        )
    age_seconds = now - samples[-1].at
    if age_seconds > FRESH_STEPS * timing.sample_seconds:
        limit = FRESH_STEPS * timing.sample_seconds
        raise ActionRefused(f"{metric} of {component}: newest sample is {age_seconds:.0f} s old, at most {limit:g} s")
    if len(samples) < timing.minimum_samples:
        raise ActionRefused(
            f"{metric} of {component} has {len(samples)} distinct samples in "
            f"{timing.baseline_samples * timing.sample_seconds:g} s, at least {timing.minimum_samples} are needed"
        )
    recent = sum(s.at > now - timing.minimum_samples * timing.sample_seconds for s in samples)
    if recent < COVERAGE_RATIO * timing.minimum_samples:
        raise ActionRefused(
            f"{metric} of {component} has holes: {recent} of the last {timing.minimum_samples} samples are there"
        )


def _waiting(reason: str) -> Evaluation:
    return Evaluation(verdict=Verdict.INCONCLUSIVE, reason=reason, final=False)


def _unverifiable(reason: str) -> Evaluation:
    return Evaluation(verdict=Verdict.UNVERIFIABLE, reason=f"not verified by the deadline: {reason}")


def _closed(evaluation: Evaluation) -> Evaluation:
    """End a wait: what no look or guard could see is unverifiable; a verdict of the looks that were had stands."""
    if evaluation.effect is None or evaluation.verdict is Verdict.EFFECTIVE:
        reason = f"not verified by the deadline: {evaluation.reason}"
        return replace(evaluation, verdict=Verdict.UNVERIFIABLE, reason=reason, final=True)
    return replace(evaluation, final=True)
