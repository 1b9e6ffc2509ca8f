"""The demo's scenarios: real patients, what ails them, the policy that answers, and what must come of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
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
    load: Callable[[], Child]
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


def _pooled_database(folder: Path, *, pool_size: int, script: str, prepare: Sequence[str]) -> Patient:
    database_port, pool_port = free_port(), free_port()
    database = servers.postgresql(
        folder,
        port=database_port,
        settings={"shared_preload_libraries": "pg_stat_statements", "max_connections": "60", "fsync": "off"},
    )
    pool = servers.pgbouncer(folder, port=pool_port, database_port=database_port, pool_size=pool_size)
    (folder / "load.sql").write_text(script, encoding="utf-8")
    return Patient(
        servers=[database, pool],
        prepare=lambda: _sql(folder, database_port, "CREATE EXTENSION pg_stat_statements", *prepare),
        load=lambda: _pgbench(folder, pool_port),
        components={
            "orders-db": {"driver": "postgresql", "address": database.address, "user": "postgres"},
            "orders-pool": {"driver": "pgbouncer", "address": pool.address, "user": "postgres"},
        },
    )


def _small_pool(folder: Path) -> Patient:
    # The client works for 20 ms inside its transaction, as applications do; the server connection waits with it.
    script = (
        "\\set id random(1, 10000)\nBEGIN;\nUPDATE accounts SET balance = balance + 1 WHERE id = :id;\n"
        "\\sleep 20 ms\nSELECT balance FROM accounts WHERE id = :id;\nEND;\n"
    )
    prepare = [
        "CREATE TABLE accounts AS SELECT id, 0 AS balance FROM generate_series(1, 10000) AS id",
        "ALTER TABLE accounts ADD PRIMARY KEY (id)",
        "VACUUM ANALYZE accounts",
    ]
    return _pooled_database(folder, pool_size=4, script=script, prepare=prepare)


def _missing_index(folder: Path) -> Patient:
    script = "\\set customer random(1, 3000)\nSELECT count(*) FROM orders WHERE customer = :customer;\n\\sleep 50 ms\n"
    # Vacuumed now, so that autovacuum does not make the queries faster half-way and pass for the action's effect.
    prepare = [
        f"CREATE TABLE orders AS SELECT id, id % 3000 AS customer, repeat('x', 40) AS note "
        f"FROM generate_series(1, {ROWS}) AS id",
        "ALTER TABLE orders SET (parallel_workers = 0, autovacuum_enabled = false)",
        "VACUUM ANALYZE orders",
    ]
    patient = _pooled_database(folder, pool_size=20, script=script, prepare=prepare)
    pool_port = int(patient.servers[1].address.rpartition(":")[2])
    return Patient(
        servers=patient.servers,
        prepare=patient.prepare,
        components=patient.components,
        load=lambda: _pgbench(folder, pool_port, clients=2),
    )


def _small_cache(folder: Path) -> Patient:
    port = free_port()
    cache = servers.redis(
        folder, port=port, settings={"maxmemory": str(CACHE_BYTES), "maxmemory-policy": "allkeys-lru"}
    )
    argv = [sys.executable, "-m", "perfloop.stack.cache_load", str(port)]
    return Patient(
        servers=[cache],
        load=lambda: _load("cache workload", argv, folder),
        components={"sessions": {"driver": "redis", "address": cache.address}},
    )


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
                # Twice the connections have to be worth it; a machine whose other load ebbs away is no reason.
                "objective": {"metric": "pool_query_time", "impact_threshold": 0.25},
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
                "guards": [{"metric": "cache_command_time", "margin_ratio": 1.0}],
                "settle_seconds": 30,
            },
            key="maxmemory",
            make=_small_cache,
            verdict=Verdict.EFFECTIVE,
            state=State.COMPLETED,
        ),
    )
}


def _sql(folder: Path, port: int, *statements: str) -> None:
    argv = [find_binary("psql"), "-q", "-v", "ON_ERROR_STOP=1", "-h", servers.HOST, "-p", str(port), "-U", "postgres"]
    commands = [part for statement in statements for part in ("-c", statement)]
    done = subprocess.run(
        [*argv, *commands, "postgres"], capture_output=True, text=True, check=False, cwd=folder, timeout=120
    )
    if done.returncode != 0:
        raise StackFailed(f"the demo's tables could not be made: {done.stderr.strip()}")


def _pgbench(folder: Path, port: int, *, clients: int = CLIENTS) -> Child:
    argv = [find_binary("pgbench"), "-n", "-h", servers.HOST, "-p", str(port), "-U", "postgres", "-T", "3600"]
    load = ["-c", str(clients), "-j", "1", "-f", str(folder / "load.sql"), "postgres"]
    return _load("pgbench", [*argv, *load], folder)


def _load(name: str, argv: list[str], folder: Path) -> Child:
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return Child(name, argv, log=folder / f"{name.replace(' ', '-')}.log", ready=lambda: True, env=env)


def remove(folder: Path) -> None:
    """Delete a scenario's folder with all of its data."""
    shutil.rmtree(folder, ignore_errors=True)
