"""The store in SQLite: one file, write-ahead log, every call one transaction that is on disk when it returns."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, func, insert, or_, select, text, update
from sqlalchemy.exc import IntegrityError

from perfloop.errors import ActionRefused, NotFound, NotNow, Paused, PerfloopError, Stale
from perfloop.model import (
    Alert,
    AlertStatus,
    Decision,
    Episode,
    Execution,
    LogEntry,
    Phase,
    Receipt,
    RecordedDecision,
    StoreCounts,
)
from perfloop.stores.deliveries import encode, receive, write_alert
from perfloop.stores.engine import open_engine, transaction
from perfloop.stores.schema import SCHEMA_VERSION, about, alerts, decisions, episodes, executions, log, metadata
from perfloop.stores.statistics import count
from perfloop.wording import says_the_same

logger = logging.getLogger(__name__)

# Written out as in the partial index, which SQLite uses for the same words only.
_IS_ACTIVE = text("executions.state IN ('pending', 'running')")


class SqlStore:
    """Implements protocols.Store. Safe to use from several threads of one process."""

    def __init__(self, path: Path, *, lock_timeout_seconds: float = 5.0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._engine = open_engine(path, lock_timeout_seconds=lock_timeout_seconds, writes=True)
        self._reader = open_engine(path, lock_timeout_seconds=lock_timeout_seconds, writes=False)
        with self._transaction() as connection:
            metadata.create_all(connection)
        self._check_version(path)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()
        self._reader.dispose()

    # -- alerts and episodes -------------------------------------------------------------------------------------------

    def receive(self, alerts: Sequence[Alert], *, now: float) -> Receipt:
        """Store a delivery: open, repeat and close episodes; late deliveries change nothing."""
        counts = {"opened": 0, "repeated": 0, "resolved": 0, "late": 0}
        with self._transaction() as connection:
            for alert in alerts:
                counts[receive(connection, alert, now)] += 1
        return Receipt(**counts)

    def episodes_due(self, *, now: float) -> list[Episode]:
        """Return the open episodes that are to be decided now, oldest first."""
        query = (
            select(episodes)
            # An episode from the future: the clock was set back, and must not put it off.
            .where(episodes.c.closed_at.is_(None), (episodes.c.decide_at <= now) | (episodes.c.opened_at > now + 1))
            .where(episodes.c.decide_at.is_not(None))
            .order_by(episodes.c.opened_at)
        )
        with self._reading() as connection:
            return [_episode(row) for row in connection.execute(query)]

    def episode(self, episode_id: int) -> Episode:
        """Return one episode. Raises NotFound."""
        with self._reading() as connection:
            row = connection.execute(select(episodes).where(episodes.c.id == episode_id)).first()
        if row is None:
            raise NotFound(f"there is no episode {episode_id}")
        return _episode(row)

    def open_episodes(self) -> list[tuple[Episode, float]]:
        """Return the open episodes, each with the time of its last delivery."""
        delivered_at = func.coalesce(func.max(alerts.c.received_at), episodes.c.opened_at).label("delivered_at")
        query = (
            select(episodes, delivered_at)
            .join(alerts, alerts.c.episode_id == episodes.c.id, isouter=True)
            .where(episodes.c.closed_at.is_(None))
            .group_by(episodes.c.id)
        )
        with self._reading() as connection:
            return [(_episode(row), row.delivered_at) for row in connection.execute(query)]

    def close_episode(self, episode_id: int, *, unless_after: float, now: float) -> None:
        """Close an episode, unless something about it was delivered after a time."""
        mine = alerts.c.episode_id == episode_id
        news = select(alerts.c.fingerprint).where(mine, alerts.c.received_at > unless_after).limit(1)
        still_open = (episodes.c.id == episode_id) & episodes.c.closed_at.is_(None)
        with self._transaction() as connection:
            if connection.execute(news).first() is not None:
                return
            connection.execute(update(episodes).where(still_open).values(closed_at=now, decide_at=None))
            for body in connection.execute(select(alerts.c.body).where(mine)).scalars().all():
                alert = msgspec.json.decode(body, type=Alert)
                ended = msgspec.structs.replace(alert, status=AlertStatus.RESOLVED, ends_at=now)
                write_alert(connection, ended, episode_id, now)

    def prune(self, *, before: float) -> None:
        """Forget resolved alerts, and episodes that were closed before a time and led to no execution."""
        old_alerts = (alerts.c.status == AlertStatus.RESOLVED) & (alerts.c.received_at < before)
        kept = select(executions.c.episode_id).union(
            select(alerts.c.episode_id).where(alerts.c.episode_id.is_not(None))
        )
        old_episodes = (episodes.c.closed_at < before) & episodes.c.id.not_in(kept)
        with self._transaction() as connection:
            connection.execute(alerts.delete().where(old_alerts))
            gone = select(episodes.c.id).where(old_episodes)
            connection.execute(decisions.delete().where(decisions.c.episode_id.in_(gone)))
            connection.execute(episodes.delete().where(old_episodes))

    # -- decisions -----------------------------------------------------------------------------------------------------

    def record_decision(self, episode: Episode, decision: Decision, *, now: float, again_at: float | None) -> bool:
        """Store a decision and when to decide again (None: never). False if it only repeats the last one.

        `now` is when the deciding began: if the episode was opened again since, it stays to be decided.
        """
        last = select(decisions.c.body).where(decisions.c.episode_id == episode.id).order_by(decisions.c.id.desc())
        body = encode(decision)
        with self._transaction() as connection:
            undisturbed = (episodes.c.id == episode.id) & (
                (episodes.c.decide_at <= now) | (episodes.c.opened_at > now + 1)
            )
            connection.execute(update(episodes).where(undisturbed).values(decide_at=again_at))
            known = connection.execute(last.limit(1)).scalar()
            if known is not None and _same_decision(known, decision):
                return False
            connection.execute(
                insert(decisions).values(
                    episode_id=episode.id, at=now, outcome=decision.outcome, policy=decision.policy, body=body
                )
            )
        return True

    def reopen_decisions(self, *, now: float) -> None:
        """Let every open episode without an execution be decided again (the configuration has changed)."""
        acted = select(executions.c.episode_id)
        with self._transaction() as connection:
            connection.execute(
                update(episodes)
                .where(episodes.c.closed_at.is_(None), episodes.c.id.not_in(acted))
                .values(decide_at=now)
            )

    def decisions(self, *, limit: int) -> list[RecordedDecision]:
        """Return the decisions, newest first."""
        query = (
            select(decisions.c.at, decisions.c.body, episodes.c.id, episodes.c.rule, episodes.c.component)
            .join(episodes, episodes.c.id == decisions.c.episode_id)
            .order_by(decisions.c.id.desc())
            .limit(limit)
        )
        with self._reading() as connection:
            return [
                RecordedDecision(
                    at=row.at,
                    episode_id=row.id,
                    rule=row.rule,
                    component=row.component,
                    decision=msgspec.json.decode(row.body, type=Decision),
                )
                for row in connection.execute(query)
            ]

    # -- executions ----------------------------------------------------------------------------------------------------

    def begin(self, execution: Execution) -> None:
        """Store a new execution.

        Raises Paused, and ActionRefused if its episode is closed or was acted on, or its component is busy.
        """
        try:
            with self._transaction() as connection:
                _require_wanted(connection, execution)
                connection.execute(insert(executions).values(**_columns(execution)))
                _write_log(connection, execution, execution.reason)
        except IntegrityError as error:
            raise ActionRefused(
                f"episode {execution.episode_id} has been acted on, or {execution.action.component} is busy"
            ) from error

    def save(self, execution: Execution, *, note: str, only_while_wanted: bool = False) -> Execution:
        """Replace an execution and log the note. Raises Stale if somebody else has replaced it meanwhile.

        With `only_while_wanted` also raises Paused, and ActionRefused if its episode is closed, in the same
        transaction: so a pause that was answered holds. Raises NotNow if its component is busy with another one.
        """
        saved = msgspec.structs.replace(execution, revision=execution.revision + 1)
        mine = (executions.c.id == execution.id) & (executions.c.revision == execution.revision)
        try:
            with self._transaction() as connection:
                if only_while_wanted:
                    _require_wanted(connection, execution)
                if connection.execute(update(executions).where(mine).values(**_columns(saved))).rowcount != 1:
                    raise Stale(f"execution {execution.id} was changed by somebody else")
                if note:
                    _write_log(connection, saved, note)
        except IntegrityError as error:
            raise NotNow(f"{execution.action.component} is busy with another action; wait for its end") from error
        return saved

    def execution(self, execution_id: str) -> Execution:
        """Return one execution by its id or an unambiguous beginning of it. Raises NotFound."""
        query = select(executions.c.body).where(executions.c.id.startswith(execution_id, autoescape=True)).limit(2)
        with self._reading() as connection:
            found = connection.execute(query).scalars().all()
        if len(found) != 1:
            raise NotFound(f"there is {'no' if not found else 'more than one'} action {execution_id!r}")
        return msgspec.json.decode(found[0], type=Execution)

    def executions(
        self,
        *,
        limit: int | None = None,
        component: str | None = None,
        active: bool = False,
        since: float = 0.0,
        or_open: bool = False,
    ) -> list[Execution]:
        """Return executions, newest first; `since` is compared with their end, or their begin while they have none.

        With `or_open` also older ones that are active or locked.
        """
        wanted: ColumnElement[bool] = func.coalesce(executions.c.ended_at, executions.c.created_at) >= since
        if or_open:
            wanted = or_(wanted, _IS_ACTIVE, executions.c.locked)
        query = select(executions.c.body).where(wanted)
        if component is not None:
            query = query.where(executions.c.component == component)
        if active:
            query = query.where(_IS_ACTIVE)
        query = query.order_by(executions.c.created_at.desc(), executions.c.id).limit(limit)
        with self._reading() as connection:
            return [found for body in connection.execute(query).scalars() if (found := _decode_execution(body))]

    def log(self, execution_id: str) -> list[LogEntry]:
        """Return the history of one execution, oldest first."""
        query = select(log).where(log.c.execution_id == execution_id).order_by(log.c.id)
        with self._reading() as connection:
            return [LogEntry(at=row.at, phase=Phase(row.phase), text=row.text) for row in connection.execute(query)]

    # -- pause ---------------------------------------------------------------------------------------------------------

    def pause(self, reason: str | None) -> None:
        """Stop acting, for a reason that survives restarts; None resumes."""
        with self._transaction() as connection:
            connection.execute(about.delete().where(about.c.key == "paused"))
            if reason is not None:
                connection.execute(insert(about).values(key="paused", value=reason))

    def paused(self) -> str | None:
        """Return why acting is paused, or None."""
        with self._reading() as connection:
            return connection.execute(select(about.c.value).where(about.c.key == "paused")).scalar()

    def counts(self) -> StoreCounts:
        """Count everything, for the optimizer's own metrics."""
        with self._reading() as connection:
            return count(connection)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _transaction(self) -> AbstractContextManager[Connection]:
        return transaction(self._engine)

    def _reading(self) -> AbstractContextManager[Connection]:
        return transaction(self._reader)

    def _check_version(self, path: Path) -> None:
        with self._transaction() as connection:
            found = connection.execute(select(about.c.value).where(about.c.key == "schema_version")).scalar()
            if found is None:
                connection.execute(insert(about).values(key="schema_version", value=str(SCHEMA_VERSION)))
            elif int(found) != SCHEMA_VERSION:
                raise PerfloopError(f"{path} has schema version {found}, this perfloop knows {SCHEMA_VERSION}")


def _require_wanted(connection: Connection, execution: Execution) -> None:
    reason = connection.execute(select(about.c.value).where(about.c.key == "paused")).scalar()
    if reason is not None:
        raise Paused(f"acting is paused: {reason}")
    closed_at = select(episodes.c.closed_at).where(episodes.c.id == execution.episode_id)
    if connection.execute(closed_at).scalar() is not None:
        raise ActionRefused("the alert has resolved before the action began")


def _write_log(connection: Connection, execution: Execution, text: str) -> None:
    connection.execute(
        insert(log).values(execution_id=execution.id, at=execution.updated_at, phase=execution.phase, text=text)
    )


def _same_decision(known: str, decision: Decision) -> bool:
    last = msgspec.json.decode(known, type=Decision)
    same = (last.outcome, last.policy) == (decision.outcome, decision.policy)
    return same and says_the_same(last.reason, decision.reason)


def _decode_execution(body: str) -> Execution | None:
    # One row that this version cannot read must not keep all the others from being worked on.
    try:
        return msgspec.json.decode(body, type=Execution)
    except msgspec.ValidationError as error:
        logger.error("an execution cannot be read", extra={"reason": str(error)})  # noqa: TRY400 - the place is known
        return None


def _columns(execution: Execution) -> dict[str, Any]:
    return {
        "id": execution.id,
        "episode_id": execution.episode_id,
        "component": execution.action.component,
        "policy": execution.policy.name,
        "state": execution.state,
        "locked": execution.locked,
        "created_at": execution.created_at,
        "executor": execution.action.executor,
        "executed_at": execution.executed_at,
        "ended_at": execution.ended_at,
        **_verdict_columns(execution),
        "revision": execution.revision,
        "body": encode(execution),
    }


def _verdict_columns(execution: Execution) -> dict[str, Any]:
    evaluation = execution.evaluation
    if evaluation is None or not evaluation.final:
        return {"verdict": None, "grade": None, "effect_ratio": None}
    ratio = evaluation.effect.ratio if evaluation.effect is not None else None
    return {"verdict": evaluation.verdict, "grade": evaluation.grade, "effect_ratio": ratio}


def _episode(row: Row[Any]) -> Episode:
    return Episode(
        id=row.id,
        rule=row.rule,
        component=row.component,
        labels=json.loads(row.labels),
        opened_at=row.opened_at,
        closed_at=row.closed_at,
    )
