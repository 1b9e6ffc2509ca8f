"""The demo's scenarios: real patients, what ails them, the policy that answers, and what must come of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perfloop.errors import StackFailed
from perfloop.model import State, Verdict
from perfloop.stack import servers
from perfloop.stack.process import Child, find_binary, free_port

CLIENTS = 20
ROWS = 100_000
# Long enough for a baseline of thirty samples when the alert fires.
FOR_SECONDS = 90
CACHE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Patient:
    """Servers and the load on them; `components` is the section of perfloop.yml that names them."""

    servers: list[Child]
    load: list[Child]
    components: dict[str, Any]
    prepare: Callable[[], None] = field(default=lambda: None)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One story: what is wrong, what the policy does, and the end that is promised."""

    name: str
    story: str
    component: str
    metric: str
    threshold: Mapping[str, float | str]
    policy: dict[str, Any]
    key: str
    make: Callable[[Path], Patient]
    verdict: Verdict
    state: State


def _small_pool(folder: Path) -> Patient:
    # The client works for 50 ms inside its transaction, as applications do; the server connection waits with it.
    script = (
        "\\set id random(1, 10000)\nBEGIN;\nUPDATE accounts SET balance = balance + 1 WHERE id = :id;\n"
        "\\sleep 50 ms\nSELECT balance FROM accounts WHERE id = :id;\nEND;\n"
    )
    database = _database(folder)
    pool = _pool(folder, database, name="orders-pool", pool_size=4)
    prepare = [
        "CREATE TABLE accounts AS SELECT id, 0 AS balance FROM generate_series(1, 10000) AS id",
        "ALTER TABLE accounts ADD PRIMARY KEY (id)",
        "VACUUM ANALYZE accounts",
    ]
    return Patient(
        servers=[database, pool],
        load=[_pgbench(folder, pool, script, clients=CLIENTS)],
        prepare=lambda: _sql(folder, database, *prepare),
        components={"orders-db": _component("postgresql", database), "orders-pool": _component("pgbouncer", pool)},
    )


def _missing_index(folder: Path) -> Patient:
    script = "\\set customer random(1, 3000)\nSELECT count(*) FROM orders WHERE customer = :customer;\n\\sleep 50 ms\n"
    database = _database(folder)
    pool = _pool(folder, database, name="orders-pool", pool_size=20)
    # Has the same work and is not acted upon: what befalls both is the machine's doing.
    sibling = _pool(folder, database, name="reports-pool", pool_size=20)
    # Vacuumed now, so that autovacuum does not make the queries faster half-way and pass for the action's effect.
    prepare = [
        f"CREATE TABLE orders AS SELECT id, id % 3000 AS customer, repeat('x', 40) AS note "
        f"FROM generate_series(1, {ROWS}) AS id",
        "ALTER TABLE orders SET (parallel_workers = 0, autovacuum_enabled = false)",
        "VACUUM ANALYZE orders",
    ]
    return Patient(
        servers=[database, pool, sibling],
        load=[_pgbench(folder, each, script, clients=2) for each in (pool, sibling)],
        prepare=lambda: _sql(folder, database, *prepare),
        components={
            "orders-db": _component("postgresql", database),
            "orders-pool": _component("pgbouncer", pool),
            "reports-pool": _component("pgbouncer", sibling),
        },
    )


def _small_cache(folder: Path) -> Patient:
    settings = {"maxmemory": str(CACHE_BYTES), "maxmemory-policy": "allkeys-lru"}
    cache = servers.redis(folder, port=free_port(), settings=settings)
    argv = [sys.executable, "-P", "-m", "perfloop.stack.cache_load", _port(cache)]
    return Patient(
        servers=[cache],
        load=[_load("cache load", argv, folder)],
        components={"sessions": {"driver": "redis", "address": cache.address}},
    )


def _database(folder: Path) -> Child:
    settings = {"shared_preload_libraries": "pg_stat_statements", "max_connections": "120", "fsync": "off"}
    return servers.postgresql(folder, port=free_port(), settings=settings)


def _pool(folder: Path, database: Child, *, name: str, pool_size: int) -> Child:
    return servers.pgbouncer(
        folder, port=free_port(), database_port=int(_port(database)), pool_size=pool_size, name=name
    )


def _component(driver: str, server: Child) -> dict[str, str]:
    return {"driver": driver, "address": server.address, "user": "postgres"}


def _port(server: Child) -> str:
    return server.address.rpartition(":")[2]


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            name="pool",
            story=f"{CLIENTS} clients share 4 server connections of PgBouncer and wait for them.",
            component="orders-pool",
            metric="pool_wait",
            threshold={"warning_threshold": 20, "operator": "GreaterThan", "duration": FOR_SECONDS},
            policy={
                "executor": "database",
                "parameters": {"connection_pool_size": {"increase_ratio": 3.0, "max": "16"}},
                "guards": [{"metric": "pool_query_time", "margin_ratio": 1.0}],
            },
            key="default_pool_size",
            make=_small_pool,
            verdict=Verdict.EFFECTIVE,
            state=State.COMPLETED,
        ),
        Scenario(
            name="index",
            story="Queries are slow because an index is missing, but the policy takes the pool for the culprit.",
            component="orders-pool",
            metric="pool_query_time",
            threshold={"warning_threshold": 2, "operator": "GreaterThan", "duration": FOR_SECONDS},
            policy={
                "executor": "database",
                "parameters": {"connection_pool_size": {"increase_ratio": 1.0, "max": "40"}},
                # Twice the connections have to be worth it.
                "objective": {
                    "metric": "pool_query_time",
                    "control": ['component="reports-pool"'],
                    "impact_threshold": 0.25,
                },
            },
            key="default_pool_size",
            make=_missing_index,
            verdict=Verdict.INEFFECTIVE,
            state=State.ROLLED_BACK,
        ),
        Scenario(
            name="cache",
            story="Redis has 4 MB for about 20 MB of keys that are asked for, and keeps throwing them away.",
            component="sessions",
            metric="cache_hit_rate",
            threshold={"warning_threshold": 80, "operator": "LessThan", "duration": FOR_SECONDS},
            policy={
                "executor": "cache",
                "parameters": {"cache_size": {"increase_ratio": 15.0, "max": "64MB"}},
                # The host must not run out of memory for it.
                "guards": [
                    {"metric": "memory_usage", "match": ['job="perfloop"'], "margin_ratio": 0.5, "hard_limit": 95}
                ],
                "settle_seconds": 30,
            },
            key="maxmemory",
            make=_small_cache,
            verdict=Verdict.EFFECTIVE,
            state=State.COMPLETED,
        ),
    )
}


def _sql(folder: Path, database: Child, *statements: str) -> None:
    argv = [find_binary("psql"), "-q", "-v", "ON_ERROR_STOP=1", "-h", servers.HOST, "-p", _port(database)]
    each = [part for statement in ("CREATE EXTENSION pg_stat_statements", *statements) for part in ("-c", statement)]
    done = subprocess.run(
        [*argv, "-U", "postgres", *each, "postgres"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=120,
    )
    if done.returncode != 0:
        raise StackFailed(f"the demo's tables could not be made: {done.stderr.strip()}")


def _pgbench(folder: Path, pool: Child, script: str, *, clients: int) -> Child:
    path = folder / f"{pool.name}.sql"
    path.write_text(script, encoding="utf-8")
    argv = [find_binary("pgbench"), "-n", "-h", servers.HOST, "-p", _port(pool), "-U", "postgres", "-T", "3600"]
    return _load(f"{pool.name} load", [*argv, "-c", str(clients), "-j", "1", "-f", str(path), "postgres"], folder)


def _load(name: str, argv: list[str], folder: Path) -> Child:
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return Child(name, argv, log=folder / f"{name.replace(' ', '-')}.log", ready=lambda: True, env=env)


def remove(folder: Path) -> None:
    """Delete a scenario's folder with all of its data."""
    shutil.rmtree(folder, ignore_errors=True)
