"""Counts over the store, for the optimizer's own metrics: a few grouped queries, whatever its size."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from perfloop.model import LatestEffect, State, StoreCounts
from perfloop.stores.schema import decisions, episodes, executions


def count(connection: Connection) -> StoreCounts:
    """Count everything in one transaction."""
    state, policy, verdict = executions.c.state, executions.c.policy, executions.c.verdict
    judged = verdict.is_not(None)
    by_state = _grouped(connection, state)
    undone = _grouped(connection, policy, where=state == State.ROLLED_BACK)
    locked = _grouped(connection, executions.c.component, where=executions.c.locked)
    waiting = select(func.count()).where(episodes.c.closed_at.is_(None), episodes.c.decide_at.is_not(None))
    return StoreCounts(
        decisions=_grouped(connection, decisions.c.outcome, func.coalesce(decisions.c.policy, "")),
        states={key: number for (key,), number in by_state.items()},
        verdicts=_grouped(connection, policy, executions.c.executor, verdict, executions.c.grade, where=judged),
        rollbacks={key: number for (key,), number in undone.items()},
        latest=_latest(connection),
        queue=connection.execute(waiting).scalar_one(),
        locked={key: number for (key,), number in locked.items()},
        last_verdict_at=connection.execute(select(func.max(executions.c.ended_at)).where(judged)).scalar(),
    )


def _grouped(
    connection: Connection, *columns: ColumnElement[Any], where: ColumnElement[bool] | None = None
) -> dict[tuple[str, ...], int]:
    """Return how many rows there are of each combination of the columns' values."""
    query = select(*columns, func.count()).group_by(*columns)
    rows = connection.execute(query if where is None else query.where(where))
    return {tuple(row[:-1]): row[-1] for row in rows}


def _latest(connection: Connection) -> tuple[LatestEffect, ...]:
    """Return the newest execution of each policy and component that got as far as a change."""
    key = executions.c.policy, executions.c.component
    newest = (
        select(*key, func.max(executions.c.executed_at).label("executed_at"))
        .where(executions.c.executed_at.is_not(None))
        .group_by(*key)
        .subquery()
    )
    shown = (*key, executions.c.executed_at, executions.c.ended_at, executions.c.created_at, executions.c.effect_ratio)
    same = (
        (executions.c.policy == newest.c.policy)
        & (executions.c.component == newest.c.component)
        & (executions.c.executed_at == newest.c.executed_at)
    )
    return tuple(
        LatestEffect(
            policy=row.policy,
            component=row.component,
            executed_at=row.executed_at,
            duration_seconds=row.ended_at - row.created_at if row.ended_at is not None else None,
            ratio=row.effect_ratio,
        )
        for row in connection.execute(select(*shown).join(newest, same))
    )
