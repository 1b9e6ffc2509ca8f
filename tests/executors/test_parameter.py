"""The arithmetic of steps: one row for each surprise."""

from __future__ import annotations

import pytest

from perfloop.errors import ActionRefused
from perfloop.executors import EXECUTORS
from perfloop.executors.parameter import COUNT, RATIO, Values
from perfloop.model import Step

POSTGRESQL = EXECUTORS["database"].parameters["postgresql"]
PGBOUNCER = EXECUTORS["database"].parameters["pgbouncer"]
REDIS = EXECUTORS["cache"].parameters["redis"]

WORK_MEM = POSTGRESQL["work_mem"].values
CACHE_SIZE = POSTGRESQL["effective_cache_size"].values
TIMEOUT = POSTGRESQL["query_timeout"].values
CHECKPOINT = POSTGRESQL["checkpoint_timeout"].values
JIT = POSTGRESQL["jit"].values
POOL_TIMEOUT = PGBOUNCER["query_timeout"].values
MAXMEMORY = REDIS["cache_size"].values


@pytest.mark.parametrize(
    ("values", "before", "step", "after"),
    [
        pytest.param(COUNT, "20", Step(increase_ratio=0.5, max="40"), "30", id="20 * 1.5"),
        pytest.param(COUNT, "100", Step(increase_ratio=0.1, max="200"), "110", id="100 * 1.1 > 110 in floats"),
        pytest.param(COUNT, "3", Step(increase_ratio=0.1, max="9"), "4", id="at least one"),
        pytest.param(COUNT, "0", Step(increase_ratio=0.5, max="9"), "1", id="at least one, from none"),
        pytest.param(COUNT, "30", Step(increase_ratio=0.5, max="40"), "40", id="up to max"),
        pytest.param(COUNT, "20", Step(set="5"), "5", id="set may lower"),
        pytest.param(RATIO, "4", Step(increase_ratio=0.1, max="9"), "4.4", id="a ratio needs no grain"),
        pytest.param(RATIO, "4", Step(set="1.10"), "1.1", id="as SHOW writes it"),
        pytest.param(WORK_MEM, "4MB", Step(set="65536kB"), "64MB", id="the largest unit that fits"),
        pytest.param(WORK_MEM, "4MB", Step(set="0.5gb"), "512MB", id="any case of a unit"),
        pytest.param(WORK_MEM, "4MB", Step(increase_ratio=0.1, max="8MB"), "4505kB", id="down to whole kB"),
        pytest.param(CACHE_SIZE, "8kB", Step(increase_ratio=0.1, max="1GB"), "16kB", id="at least one page"),
        pytest.param(CACHE_SIZE, "4GB", Step(increase_ratio=1, max="5000001kB"), "5000000kB", id="max in whole pages"),
        pytest.param(TIMEOUT, "0", Step(set="90s"), "90s", id="90s is no whole minute"),
        pytest.param(TIMEOUT, "0", Step(set="120s"), "2min", id="120s is 2min"),
        pytest.param(TIMEOUT, "30s", Step(set="0"), "0", id="off"),
        pytest.param(CHECKPOINT, "5min", Step(increase_ratio=0.5, max="1h"), "450s", id="7.5 minutes"),
        pytest.param(POOL_TIMEOUT, "30", Step(increase_ratio=0.5, max="2min"), "45", id="PgBouncer writes seconds"),
        pytest.param(MAXMEMORY, "67108864", Step(set="128MB"), "134217728", id="Redis writes bytes"),
        pytest.param(JIT, "on", Step(set="false"), "off", id="a word in YAML's spelling"),
    ],
)
def test_a_step_leads_to(values: Values, before: str, step: Step, after: str):
    assert values.next(before, step) == after


@pytest.mark.parametrize(
    ("values", "before", "step", "reason"),
    [
        pytest.param(COUNT, "40", Step(increase_ratio=0.5, max="40"), "is 40, max 40", id="at max"),
        pytest.param(COUNT, "50", Step(increase_ratio=0.5, max="40"), "is 50, max 40", id="beyond max"),
        pytest.param(COUNT, "20", Step(increase_ratio=0.5), "increase_ratio needs max", id="no max"),
        pytest.param(COUNT, "20", Step(increase_ratio=-0.5, max="40"), "must be above 0, got -0.5", id="negative"),
        pytest.param(COUNT, "20", Step(), "exactly one of set and increase_ratio", id="neither"),
        pytest.param(COUNT, "20", Step(set="1", increase_ratio=1), "exactly one of set and", id="both"),
        pytest.param(COUNT, "20", Step(set="50", max="40"), "50 is above max 40", id="set above max"),
        pytest.param(COUNT, "20", Step(set="5", min="10"), "5 is below min 10", id="set below min"),
        pytest.param(COUNT, "20", Step(set="2.5"), "2.5 is not a multiple of 1", id="half a connection"),
        pytest.param(COUNT, "20", Step(set="many"), "'many' is not a number", id="no number"),
        pytest.param(COUNT, "20", Step(set="1; DROP TABLE users"), "is not a number", id="no number, but SQL"),
        pytest.param(WORK_MEM, "4MB", Step(set="64"), "'64' has no unit; units are B, kB, MB", id="no unit"),
        pytest.param(WORK_MEM, "4MB", Step(set="64m"), "'64m' has an unknown unit", id="unknown unit"),
        pytest.param(WORK_MEM, "4MB", Step(set="100B"), "100B is not a multiple of 1kB", id="less than the grain"),
        pytest.param(TIMEOUT, "0", Step(increase_ratio=1, max="1min"), "is 0, which means no limit", id="no limit"),
        pytest.param(
            POSTGRESQL["autovacuum_work_mem"].values,
            "-1",
            Step(increase_ratio=1, max="1GB"),
            "is -1, which means no limit",
            id="-1 is no size",
        ),
        pytest.param(JIT, "on", Step(set="maybe"), "'maybe' is none of on, off", id="no such word"),
        pytest.param(JIT, "on", Step(increase_ratio=1, max="2"), "it needs set", id="a share of a word"),
    ],
)
def test_a_step_is_refused_with_its_reason(values: Values, before: str, step: Step, reason: str):
    with pytest.raises(ActionRefused) as caught:
        values.next(before, step)

    assert reason in str(caught.value)
