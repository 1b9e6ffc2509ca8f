"""Moves settings of PostgreSQL that a reload can change, and the pools of PgBouncer."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar

from perfloop.executors.parameter import BYTES, COUNT, MILLISECONDS, RATIO, Parameter, Quantity, Values, switch
from perfloop.executors.setting import SettingExecutor

PAGE = Decimal(8192)
SWITCH = switch("on", "off")


def size(grain: Decimal) -> Quantity:
    """Make sizes as PostgreSQL writes them, stored in multiples of `grain` bytes."""
    return Quantity(grain=grain, units=BYTES, bare=None)


def duration(unit: str) -> Quantity:
    """Make durations as PostgreSQL writes them, stored in whole `unit`s; 0 turns the limit off."""
    return Quantity(grain=MILLISECONDS[unit], units=MILLISECONDS, bare=None, zero_is_unlimited=True)


# A reload is enough for these. Left out on purpose: what needs a restart, and what gives up durability.
RELOADABLE: Mapping[str, Values] = {
    "work_mem": size(BYTES["kB"]),
    "hash_mem_multiplier": RATIO,
    "maintenance_work_mem": size(BYTES["kB"]),
    "autovacuum_work_mem": size(BYTES["kB"]),
    "effective_cache_size": size(PAGE),
    "random_page_cost": RATIO,
    "effective_io_concurrency": COUNT,
    "maintenance_io_concurrency": COUNT,
    "max_parallel_workers": COUNT,
    "max_parallel_workers_per_gather": COUNT,
    "max_parallel_maintenance_workers": COUNT,
    "default_statistics_target": COUNT,
    "jit": SWITCH,
    "checkpoint_timeout": duration("s"),
    "checkpoint_completion_target": RATIO,
    "max_wal_size": size(BYTES["MB"]),
    "min_wal_size": size(BYTES["MB"]),
    "autovacuum_naptime": duration("s"),
    "autovacuum_vacuum_cost_limit": COUNT,
    "autovacuum_vacuum_cost_delay": duration("ms"),
    "autovacuum_vacuum_scale_factor": RATIO,
    "autovacuum_analyze_scale_factor": RATIO,
    "bgwriter_lru_maxpages": COUNT,
    "lock_timeout": duration("ms"),
    "idle_in_transaction_session_timeout": duration("ms"),
}


class Database(SettingExecutor):
    """Moves what limits a database without a restart: pool sizes, time limits, memory, planner and vacuum settings."""

    name: ClassVar[str] = "database"
    parameters: ClassVar[Mapping[str, Mapping[str, Parameter]]] = {
        "pgbouncer": {
            "connection_pool_size": Parameter(key="default_pool_size", values=COUNT),
            "query_timeout": Parameter(
                key="query_timeout",
                values=Quantity(
                    grain=MILLISECONDS["s"], units=MILLISECONDS, bare=MILLISECONDS["s"], zero_is_unlimited=True
                ),
            ),
        },
        "postgresql": {
            "query_timeout": Parameter(key="statement_timeout", values=duration("ms")),
            **{key: Parameter(key=key, values=values) for key, values in RELOADABLE.items()},
        },
    }
    elsewhere: ClassVar[Mapping[str, str]] = {
        "shared_buffers": "it needs a restart of PostgreSQL, which is a person's decision",
        "max_connections": "it needs a restart of PostgreSQL, which is a person's decision; pools are PgBouncer's",
    }
