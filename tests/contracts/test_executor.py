"""The executor contract, for every executor on every system it works on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from perfloop.executors import EXECUTORS
from perfloop.model import Setting, Step
from perfloop.stack import servers as stack
from perfloop.stack.process import Child, free_port
from tests.contracts.executor import Case, ExecutorContract

CASES = (
    Case(
        executor="database",
        driver="pgbouncer",
        parameter="connection_pool_size",
        step=Step(increase_ratio=0.5, max="40"),
        too_far=Step(increase_ratio=0.5, max="20"),
        key="default_pool_size",
        start=Setting(value="20"),
        someone_elses="7",
    ),
    Case(
        executor="database",
        driver="pgbouncer",
        parameter="query_timeout",
        step=Step(set="1min"),
        too_far=Step(set="2min", max="90s"),
        key="query_timeout",
        start=Setting(value="0"),
        someone_elses="7",
    ),
    Case(
        executor="database",
        driver="postgresql",
        parameter="work_mem",
        step=Step(increase_ratio=1.0, max="64MB"),
        too_far=Step(increase_ratio=1.0, max="4096kB"),
        key="work_mem",
        start=Setting(value="4MB", explicit=False),
        someone_elses="16MB",
    ),
    Case(
        executor="database",
        driver="postgresql",
        parameter="query_timeout",
        step=Step(increase_ratio=0.5, max="1min"),
        too_far=Step(set="2min", max="90s"),
        key="statement_timeout",
        start=Setting(value="30s"),
        someone_elses="7s",
    ),
    Case(
        executor="cache",
        driver="redis",
        parameter="cache_size",
        step=Step(increase_ratio=0.25, max="128MB"),
        too_far=Step(increase_ratio=0.25, max="64MB"),
        key="maxmemory",
        start=Setting(value=str(64 * 1024**2)),
        someone_elses=str(70 * 1024**2),
    ),
    Case(
        executor="cache",
        driver="redis",
        parameter="eviction_policy",
        step=Step(set="allkeys-lfu"),
        too_far=Step(set="everything"),
        key="maxmemory-policy",
        start=Setting(value="noeviction"),
        someone_elses="volatile-ttl",
    ),
)


@pytest.fixture(scope="module")
def servers(server_folder: Path) -> Iterator[Mapping[str, Child]]:
    """Servers of our own, since some are stopped in the middle."""
    folder = server_folder / "executor-contract"
    folder.mkdir()
    postgresql = stack.postgresql(folder, port=free_port(), settings={"fsync": "off"})
    database_port = int(postgresql.address.rpartition(":")[2])
    running = {
        "postgresql": postgresql,
        "pgbouncer": stack.pgbouncer(folder, port=free_port(), database_port=database_port),
        "redis": stack.redis(folder, port=free_port()),
    }
    try:
        for child in running.values():
            child.start()
        for child in running.values():
            child.wait_ready()
        yield running
    finally:
        for child in reversed(running.values()):
            child.stop()


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


class TestExecutors(ExecutorContract):
    """Every promise, for every case."""


def test_every_executor_has_a_case_on_every_system_it_works_on():
    promised = {(name, driver) for name, executor in EXECUTORS.items() for driver in executor.parameters}

    assert {(case.executor, case.driver) for case in CASES} == promised
