"""The evaluator over series in a list: what it refuses to act on, when it waits, and when it gives up."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from msgspec.structs import replace

from perfloop.errors import ActionRefused, PerfloopError, Rejected, Unavailable
from perfloop.model import (
    Baseline,
    CatalogueMetric,
    Direction,
    Evaluation,
    Guard,
    Limits,
    Mode,
    Objective,
    Policy,
    Sample,
    Scale,
    Step,
    Timing,
    Verdict,
)
from perfloop.optimizer.evaluator import PrometheusEvaluator

STEP = 15.0
NOW = 1_700_000_000.0
LOOKBACK_SECONDS = 300.0
CATALOGUE = {
    "pool_wait": CatalogueMetric(
        name="pool_wait", expr="x", unit="milliseconds", direction=Direction.LOWER, help="", across="avg"
    ),
    "error_rate": CatalogueMetric(
        name="error_rate", expr="x", unit="percent", direction=Direction.LOWER, help="", across="max", scale=Scale.RAW
    ),
}
POLICY = Policy(
    name="widen-pool",
    matchers=("rule=pool_wait",),
    executor="database",
    component="pool",
    parameters={"pool_size": Step(increase_ratio=0.5)},
    objective=Objective(metric="pool_wait", direction=Direction.LOWER),
    guards=(Guard(metric="error_rate", direction=Direction.LOWER, scale=Scale.RAW),),
    mode=Mode.AUTO,
    limits=Limits(),
    timing=Timing(settle_seconds=120.0, sample_seconds=STEP),
)
EXECUTED_AT = NOW
SETTLED_AT = NOW + 120.0


@dataclass
class Recorded:
    """A Prometheus in a list: the newest sample of the last five minutes answers for every grid point."""

    series: dict[str, list[Sample]] = field(default_factory=dict)
    failure: PerfloopError | None = None
    asked: list[str] = field(default_factory=list)

    def query_range(self, promql: str, *, start: float, end: float, step_seconds: float) -> list[Sample]:
        self.asked.append(promql)
        if self.failure:
            raise self.failure
        name = re.search(r"perfloop:(\w+)", promql)
        recorded = self.series.get(name.group(1), []) if name else []
        found = []
        for at in np.arange(start, end + 1e-6, step_seconds).tolist():
            visible = [s for s in recorded if at - LOOKBACK_SECONDS < s.at <= at]
            if visible:
                found.append(Sample(at=at, value=visible[-1].at if "timestamp" in promql else visible[-1].value))
        return found

    def record(self, metric: str, value: float, *, start: float, end: float, step: float = STEP) -> None:
        rng = np.random.default_rng(len(self.asked))
        times = np.arange(start, end, step).tolist()
        new = [Sample(at=at, value=value * float(np.exp(0.1 * rng.standard_normal()))) for at in times]
        self.series[metric] = sorted([*self.series.get(metric, []), *new], key=lambda s: s.at)


def evaluator(source: Recorded) -> PrometheusEvaluator:
    return PrometheusEvaluator(source, catalogue=CATALOGUE)


def both(start: float, end: float, *, pool_wait: float = 48.0, source: Recorded | None = None) -> Recorded:
    source = source or Recorded()
    source.record("pool_wait", pool_wait, start=start, end=end)
    source.record("error_rate", 1.0, start=start, end=end)
    return source


def after(count: int, *, pool_wait: float = 3.0) -> Recorded:
    """Return a source with an hour before the change and so many samples after it settled."""
    source = both(NOW - 3600, NOW)
    return both(SETTLED_AT + 1, SETTLED_AT + 1 + count * STEP, pool_wait=pool_wait, source=source)


def evaluate(source: Recorded, *, now: float, policy: Policy = POLICY) -> Evaluation:
    subject = evaluator(source)
    baseline = evaluator(both(NOW - 3600, NOW)).baseline(policy, "pool", now=NOW)
    return subject.evaluate(policy, "pool", baseline, executed_at=EXECUTED_AT, now=now)


# -- before the action -------------------------------------------------------------------------------------------------


def test_the_baseline_holds_the_newest_forty_samples_of_the_objective_and_of_every_guard() -> None:
    baseline = evaluator(both(NOW - 3600 - 5, NOW)).baseline(POLICY, "pool", now=NOW)

    assert set(baseline.samples) == {"pool_wait", "error_rate"}
    assert {len(samples) for samples in baseline.samples.values()} == {40}
    assert baseline.samples["pool_wait"][-1].at == NOW - 5


def test_the_query_joins_the_series_of_the_component_as_the_catalogue_says() -> None:
    source = both(NOW - 3600, NOW)

    evaluator(source).baseline(POLICY, "pool", now=NOW)

    assert source.asked == [
        'min(timestamp(perfloop:pool_wait{component="pool"}))',
        'avg(perfloop:pool_wait{component="pool"})',
        'min(timestamp(perfloop:error_rate{component="pool"}))',
        'max(perfloop:error_rate{component="pool"})',
    ]


def test_the_name_of_a_component_cannot_leave_its_quotes() -> None:
    source = both(NOW - 3600, NOW)

    evaluator(source).baseline(POLICY, 'a"} or up{x="\\\n', now=NOW)

    assert source.asked[1] == 'avg(perfloop:pool_wait{component="a\\"} or up{x=\\"\\\\\\n"})'


def test_a_stack_that_has_just_started_may_act_on_twenty_samples() -> None:
    baseline = evaluator(both(NOW - 22 * STEP, NOW)).baseline(POLICY, "pool", now=NOW)

    assert len(baseline.samples["pool_wait"]) == 22


def test_two_missed_evaluations_are_no_hole() -> None:
    source = both(NOW - 3600 - 5, NOW)
    del source.series["pool_wait"][-9:-7]

    assert len(evaluator(source).baseline(POLICY, "pool", now=NOW).samples["pool_wait"]) == 38


def the_end_of(metric: str, seconds: float) -> Callable[[Recorded], None]:
    def stop(source: Recorded) -> None:
        source.series[metric] = [s for s in source.series[metric] if s.at < NOW - seconds]

    return stop


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        pytest.param(
            the_end_of("pool_wait", 35), "pool_wait of pool: newest sample is 45 s old, at most 30 s", id="stale"
        ),
        pytest.param(
            the_end_of("pool_wait", 3000),
            "perfloop:pool_wait has no samples for component pool: is it scraped, and are the compiled rules loaded",
            id="gone",
        ),
        pytest.param(the_end_of("error_rate", 3000), "perfloop:error_rate has no samples", id="a guard is gone"),
        pytest.param(
            lambda s: s.series.update(pool_wait=s.series["pool_wait"][-19:]),
            r"pool_wait of pool has 19 distinct samples in 600 s, at least 20 are needed",
            id="too young",
        ),
        pytest.param(
            lambda s: s.series["pool_wait"].__delitem__(slice(-15, -3)),
            "pool_wait of pool has holes: 7 of the last 20 samples are there",
            id="holes",
        ),
    ],
)
def test_nothing_acts_on_missing_or_stale_data(damage: Callable[[Recorded], None], reason: str) -> None:
    source = both(NOW - 3600, NOW)
    damage(source)

    with pytest.raises(ActionRefused, match=reason):
        evaluator(source).baseline(POLICY, "pool", now=NOW)


def test_a_rule_that_is_evaluated_less_often_gives_fewer_samples_than_the_grid_shows() -> None:
    source = both(NOW - 3600, NOW)
    source.series["pool_wait"] = source.series["pool_wait"][::4]

    with pytest.raises(ActionRefused, match=r"has 10 distinct samples|newest sample is"):
        evaluator(source).baseline(POLICY, "pool", now=NOW)


def test_a_metric_that_the_catalogue_lacks_is_refused() -> None:
    policy = replace(POLICY, objective=replace(POLICY.objective, metric="mood"))

    with pytest.raises(ActionRefused, match="mood is not in the catalogue of metrics"):
        evaluator(both(NOW - 3600, NOW)).baseline(policy, "pool", now=NOW)


def test_a_prometheus_that_does_not_answer_is_unavailable_and_one_that_refuses_refuses_the_action() -> None:
    with pytest.raises(Unavailable):
        evaluator(Recorded(failure=Unavailable("no answer"))).baseline(POLICY, "pool", now=NOW)
    with pytest.raises(ActionRefused, match="pool_wait of pool cannot be measured: bad query"):
        evaluator(Recorded(failure=Rejected("bad query"))).baseline(POLICY, "pool", now=NOW)


# -- after the action --------------------------------------------------------------------------------------------------


def test_twenty_good_samples_make_it_effective() -> None:
    evaluation = evaluate(after(21), now=SETTLED_AT + 21 * STEP)

    assert (evaluation.verdict, evaluation.final) == (Verdict.EFFECTIVE, True)
    assert evaluation.reason.startswith("pool_wait improved after the change: ")
    assert [guard.result for guard in evaluation.guards] == ["cleared"]


def test_no_change_is_ineffective() -> None:
    evaluation = evaluate(after(61, pool_wait=48.0), now=SETTLED_AT + 61 * STEP)

    assert (evaluation.verdict, evaluation.final) == (Verdict.INEFFECTIVE, True)


def test_it_waits_while_the_change_settles_and_when_the_clock_jumps_back() -> None:
    settling, past = (evaluate(after(0), now=now) for now in (NOW + 20, NOW - 86400))

    assert (settling.final, settling.reason) == (False, "the change settles for another 100 s")
    assert not past.final


def test_it_waits_for_the_first_look() -> None:
    evaluation = evaluate(after(10), now=SETTLED_AT + 10 * STEP)

    assert (evaluation.verdict, evaluation.final) == (Verdict.INCONCLUSIVE, False)
    assert "10 of 20 samples of pool_wait" in evaluation.reason


def test_samples_from_before_the_change_settled_are_not_its_effect() -> None:
    source = both(NOW - 3600, SETTLED_AT, pool_wait=3.0)

    evaluation = evaluate(source, now=SETTLED_AT + 15 * STEP)

    assert "0 of 20 samples" in evaluation.reason


def test_a_prometheus_that_was_away_for_a_while_only_delays_the_verdict() -> None:
    source = after(10)
    both(SETTLED_AT + 1 + 20 * STEP, SETTLED_AT + 1 + 31 * STEP, pool_wait=3.0, source=source)

    evaluation = evaluate(source, now=SETTLED_AT + 32 * STEP)

    assert (evaluation.verdict, evaluation.final) == (Verdict.EFFECTIVE, True)


DEADLINE = SETTLED_AT + 1.5 * 60 * STEP + 60


def test_without_prometheus_it_waits_and_after_the_deadline_it_is_unverifiable() -> None:
    away = Recorded(failure=Unavailable("Prometheus does not answer"))

    waiting, given_up = (evaluate(away, now=now) for now in (DEADLINE - 1, DEADLINE + 1))

    assert (waiting.final, waiting.reason) == (False, "Prometheus does not answer")
    assert (given_up.verdict, given_up.final) == (Verdict.UNVERIFIABLE, True)
    assert given_up.reason == "not verified by the deadline: Prometheus does not answer"


def test_too_few_samples_by_the_deadline_are_unverifiable_never_a_failure() -> None:
    evaluation = evaluate(after(7), now=DEADLINE + 1)

    assert (evaluation.verdict, evaluation.final) == (Verdict.UNVERIFIABLE, True)
    assert "7 of 20 samples of pool_wait" in evaluation.reason


def test_a_guard_that_vanishes_after_the_change_leaves_the_effect_unverifiable() -> None:
    source = after(60)
    the_end_of("error_rate", 0)(source)

    waiting, given_up = (evaluate(source, now=now) for now in (SETTLED_AT + 25 * STEP, DEADLINE + 1))

    assert (waiting.verdict, waiting.final) == (Verdict.EFFECTIVE, False)
    assert (given_up.verdict, given_up.final) == (Verdict.UNVERIFIABLE, True)
    assert "too few samples of error_rate to see harm" in given_up.reason


def test_an_optimizer_that_comes_back_a_day_later_judges_the_samples_of_that_time() -> None:
    evaluation = evaluate(after(5000), now=NOW + 86400)

    assert evaluation.verdict is Verdict.EFFECTIVE
    assert evaluation.effect is not None
    assert evaluation.effect.after_samples == 60


def test_an_undecided_look_at_the_deadline_is_inconclusive_not_unverifiable() -> None:
    source = after(45)
    drifting = zip(source.series["pool_wait"][-45:], np.linspace(80, 20, 45).tolist(), strict=True)
    source.series["pool_wait"] = [replace(sample, value=value) for sample, value in drifting]

    evaluation = evaluate(source, now=DEADLINE + 1)

    assert (evaluation.verdict, evaluation.final) == (Verdict.INCONCLUSIVE, True)


def test_a_baseline_that_was_stored_gives_the_same_verdict_when_retention_has_lost_it() -> None:
    source = after(21)
    baseline = evaluator(source).baseline(POLICY, "pool", now=NOW)
    source.series = {name: [s for s in series if s.at > NOW] for name, series in source.series.items()}

    evaluation = evaluator(source).evaluate(
        POLICY, "pool", Baseline(samples=baseline.samples), executed_at=EXECUTED_AT, now=SETTLED_AT + 21 * STEP
    )

    assert evaluation.verdict is Verdict.EFFECTIVE
