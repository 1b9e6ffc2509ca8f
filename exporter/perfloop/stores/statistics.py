"""Counts over the store, for the optimizer's own metrics: a few grouped queries, whatever its size."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from perfloop.model import LatestEffect, State, StoreCounts
from perfloop.stores.schema import decisions, episodes, executions


def count(connection: Connection) -> StoreCounts:
    """Count everything in one transaction."""
    grouped = executions.c.policy, executions.c.executor, executions.c.verdict, executions.c.grade
    latest = (
        select(executions.c.policy, executions.c.component, func.max(executions.c.executed_at).label("executed_at"))
        .where(executions.c.executed_at.is_not(None))
        .group_by(executions.c.policy, executions.c.component)
        .subquery()
    )
    shown = (
        executions.c.policy,
        executions.c.component,
        executions.c.executed_at,
        executions.c.ended_at,
        executions.c.created_at,
        executions.c.effect_ratio,
    )
    same = (
        (executions.c.policy == latest.c.policy)
        & (executions.c.component == latest.c.component)
        & (executions.c.executed_at == latest.c.executed_at)
    )
    rolled_back = executions.c.state == State.ROLLED_BACK
    run = connection.execute
    return StoreCounts(
        decisions={
            (row[0], row[1]): row[2]
            for row in run(
                select(decisions.c.outcome, func.coalesce(decisions.c.policy, ""), func.count()).group_by(
                    decisions.c.outcome, decisions.c.policy
                )
            )
        },
        states={row[0]: row[1] for row in run(select(executions.c.state, func.count()).group_by(executions.c.state))},
        verdicts={
            (row[0], row[1], row[2], row[3]): row[4]
            for row in run(select(*grouped, func.count()).where(executions.c.verdict.is_not(None)).group_by(*grouped))
        },
        rollbacks={
            row[0]: row[1]
            for row in run(select(executions.c.policy, func.count()).where(rolled_back).group_by(executions.c.policy))
        },
        latest=tuple(
            LatestEffect(
                policy=row.policy,
                component=row.component,
                executed_at=row.executed_at,
                duration_seconds=row.ended_at - row.created_at if row.ended_at is not None else None,
                ratio=row.effect_ratio,
            )
            for row in run(select(*shown).join(latest, same))
        ),
        queue=run(
            select(func.count())
            .select_from(episodes)
            .where(episodes.c.closed_at.is_(None), episodes.c.decide_at.is_not(None))
        ).scalar_one(),
        last_verdict_at=run(select(func.max(executions.c.ended_at)).where(executions.c.verdict.is_not(None))).scalar(),
    )
