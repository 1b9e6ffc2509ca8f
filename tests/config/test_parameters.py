"""Parameters of policies as people write them, and as executors get them."""

from __future__ import annotations

import pytest

from perfloop import config
from perfloop.app.optimizer import build_policy
from perfloop.model import Step
from perfloop.rules.catalogue import catalogue


@pytest.mark.parametrize(
    ("written", "got"),
    [
        pytest.param("{increase_ratio: 0.5, max: 40}", Step(increase_ratio=0.5, max="40"), id="numbers need no quotes"),
        pytest.param('{increase_ratio: 0.5, max: "40"}', Step(increase_ratio=0.5, max="40"), id="and may have some"),
        pytest.param("{set: 30s, min: 1s}", Step(set="30s", min="1s"), id="with a unit"),
        pytest.param("40", Step(set="40"), id="a value alone"),
        pytest.param("1.1", Step(set="1.1"), id="a fraction"),
        pytest.param("off", Step(set="off"), id="what YAML reads as a boolean"),
        pytest.param("{set: on}", Step(set="on"), id="that in a mapping"),
    ],
)
def test_a_parameter_may_be_written_in_several_ways(written: str, got: Step) -> None:
    fixed = "name: p, match: ['a=\"b\"'], executor: database, objective: {metric: query_time}"
    loaded = config.parse(f"policies: [{{{fixed}, parameters: {{jit: {written}}}}}]")

    built = build_policy(loaded.policies[0], loaded, catalogue({}))

    assert built.parameters == {"jit": got}
