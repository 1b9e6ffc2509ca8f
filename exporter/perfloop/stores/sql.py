"""The store in SQLite: one file, write-ahead log, every call one transaction that is on disk when it returns."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, create_engine, event, func, insert, select, update
from sqlalchemy.exc import IntegrityError, OperationalError

from perfloop.errors import ActionRefused, NotFound, PerfloopError, Stale, Unavailable
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
    State,
    StoreCounts,
)
from perfloop.stores.schema import SCHEMA_VERSION, about, alerts, decisions, episodes, executions, log, metadata
from perfloop.stores.statistics import count
from perfloop.wording import says_the_same

_ACTIVE = (State.PENDING, State.RUNNING)
# A delivery cannot be older than this: Alertmanager gives up earlier. What still says "firing" then, is firing.
_LATE_SECONDS = 600.0


class SqlStore:
    """Implements protocols.Store. Safe to use from several threads of one process."""

    def __init__(self, path: Path, *, lock_timeout_seconds: float = 5.0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": lock_timeout_seconds})
        event.listen(self._engine, "connect", _configure)
        event.listen(self._engine, "begin", _begin_immediately)
        with self._transaction() as connection:
            metadata.create_all(connection)
        self._check_version(path)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    # -- alerts and episodes -------------------------------------------------------------------------------------------

    def receive(self, alerts: Sequence[Alert], *, now: float) -> Receipt:
        """Store a delivery: open, repeat and close episodes; late deliveries change nothing."""
        counts = {"opened": 0, "repeated": 0, "resolved": 0, "late": 0}
        with self._transaction() as connection:
            for alert in alerts:
                counts[_receive_one(connection, alert, now)] += 1
        return Receipt(**counts)

    def episodes_due(self, *, now: float) -> list[Episode]:
        """Return the open episodes that are to be decided now, oldest first."""
        query = (
            select(episodes)
            .where(episodes.c.closed_at.is_(None), episodes.c.decide_at <= now)
            .order_by(episodes.c.opened_at)
        )
        with self._transaction() as connection:
            return [_episode(row) for row in connection.execute(query)]

    def episode(self, episode_id: int) -> Episode:
        """Return one episode. Raises NotFound."""
        with self._transaction() as connection:
            row = connection.execute(select(episodes).where(episodes.c.id == episode_id)).first()
        if row is None:
            raise NotFound(f"there is no episode {episode_id}")
        return _episode(row)

    def close_silent(
        self, *, firing: Collection[tuple[str, str]], rules: Collection[str], opened_before: float, now: float
    ) -> list[Episode]:
        """Close the open episodes of these rules whose (rule, component) does not fire; return them."""
        query = select(episodes).where(
            episodes.c.closed_at.is_(None), episodes.c.rule.in_(rules), episodes.c.opened_at < opened_before
        )
        with self._transaction() as connection:
            silent = [row for row in connection.execute(query) if (row.rule, row.component) not in firing]
            ids = [row.id for row in silent]
            connection.execute(update(episodes).where(episodes.c.id.in_(ids)).values(closed_at=now, decide_at=None))
            connection.execute(update(alerts).where(alerts.c.episode_id.in_(ids)).values(status=AlertStatus.RESOLVED))
        return [_episode(row) for row in silent]

    def prune(self, *, before: float) -> None:
        """Forget resolved alerts that were last delivered before a time; episodes and executions stay."""
        old = (alerts.c.status == AlertStatus.RESOLVED) & (alerts.c.received_at < before)
        with self._transaction() as connection:
            connection.execute(alerts.delete().where(old))

    # -- decisions -----------------------------------------------------------------------------------------------------

    def record_decision(self, episode: Episode, decision: Decision, *, now: float, again_at: float | None) -> bool:
        """Store a decision and when to decide again (None: never). False if it only repeats the last one."""
        last = select(decisions.c.body).where(decisions.c.episode_id == episode.id).order_by(decisions.c.id.desc())
        body = _encode(decision)
        with self._transaction() as connection:
            connection.execute(update(episodes).where(episodes.c.id == episode.id).values(decide_at=again_at))
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
        with self._transaction() as connection:
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
        """Store a new execution. Raises ActionRefused if its episode has one already or its component is busy."""
        try:
            with self._transaction() as connection:
                connection.execute(insert(executions).values(**_columns(execution)))
                _write_log(connection, execution, execution.reason)
        except IntegrityError as error:
            raise ActionRefused(
                f"episode {execution.episode_id} has been acted on, or {execution.action.component} is busy"
            ) from error

    def save(self, execution: Execution, *, note: str) -> Execution:
        """Replace an execution and log the note. Raises Stale if somebody else has replaced it meanwhile."""
        saved = msgspec.structs.replace(execution, revision=execution.revision + 1)
        mine = (executions.c.id == execution.id) & (executions.c.revision == execution.revision)
        with self._transaction() as connection:
            if connection.execute(update(executions).where(mine).values(**_columns(saved))).rowcount != 1:
                raise Stale(f"execution {execution.id} was changed by somebody else")
            if note:
                _write_log(connection, saved, note)
        return saved

    def execution(self, execution_id: str) -> Execution:
        """Return one execution by its id or an unambiguous beginning of it. Raises NotFound."""
        query = select(executions.c.body).where(executions.c.id.startswith(execution_id, autoescape=True)).limit(2)
        with self._transaction() as connection:
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
        """Return executions, newest first; with `or_open` also older ones that are active or locked."""
        wanted = executions.c.created_at >= since
        if or_open:
            wanted |= executions.c.state.in_(_ACTIVE) | executions.c.locked
        query = select(executions.c.body).where(wanted)
        if component is not None:
            query = query.where(executions.c.component == component)
        if active:
            query = query.where(executions.c.state.in_(_ACTIVE))
        query = query.order_by(executions.c.created_at.desc(), executions.c.id).limit(limit)
        with self._transaction() as connection:
            return [msgspec.json.decode(body, type=Execution) for body in connection.execute(query).scalars()]

    def log(self, execution_id: str) -> list[LogEntry]:
        """Return the history of one execution, oldest first."""
        query = select(log).where(log.c.execution_id == execution_id).order_by(log.c.id)
        with self._transaction() as connection:
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
        with self._transaction() as connection:
            return connection.execute(select(about.c.value).where(about.c.key == "paused")).scalar()

    def counts(self) -> StoreCounts:
        """Count everything, for the optimizer's own metrics."""
        try:
            return count(self._engine)
        except OperationalError as error:
            raise Unavailable(f"the store cannot be used: {error.orig}") from error

    # -- inside --------------------------------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except OperationalError as error:
            raise Unavailable(f"the store cannot be used: {error.orig}") from error

    def _check_version(self, path: Path) -> None:
        with self._transaction() as connection:
            found = connection.execute(select(about.c.value).where(about.c.key == "schema_version")).scalar()
            if found is None:
                connection.execute(insert(about).values(key="schema_version", value=str(SCHEMA_VERSION)))
            elif int(found) != SCHEMA_VERSION:
                raise PerfloopError(f"{path} has schema version {found}, this perfloop knows {SCHEMA_VERSION}")


def _configure(connection: sqlite3.Connection, record: object) -> None:
    del record
    # SQLAlchemy begins the transactions; the driver must not begin others of its own.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediately(connection: Connection) -> None:
    # A reader that turns writer half-way would fail at once instead of waiting for the lock.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _receive_one(connection: Connection, alert: Alert, now: float) -> str:
    row = connection.execute(select(alerts).where(alerts.c.fingerprint == alert.fingerprint)).first()
    known = msgspec.json.decode(row.body, type=Alert) if row else None
    if row and known and now - row.received_at < _LATE_SECONDS and not alert.is_news_after(known):
        return "late"
    if alert.status is AlertStatus.FIRING:
        episode_id, opened = _open_episode(connection, alert, now)
        _write_alert(connection, alert, episode_id, now)
        return "opened" if opened else "repeated"
    known_episode_id: int | None = row.episode_id if row else None
    _write_alert(connection, alert, known_episode_id, now)
    if known_episode_id is not None:
        _close_episode_if_quiet(connection, known_episode_id, now)
    return "resolved"


def _open_episode(connection: Connection, alert: Alert, now: float) -> tuple[int, bool]:
    same = (episodes.c.rule == alert.rule) & (episodes.c.component == alert.component)
    open_episode = connection.execute(select(episodes.c.id).where(same, episodes.c.closed_at.is_(None))).first()
    if open_episode is not None:
        return open_episode.id, False
    values = {"rule": alert.rule, "component": alert.component, "labels": _encode(dict(alert.labels))}
    inserted = connection.execute(insert(episodes).values(**values, opened_at=now, decide_at=now))
    return int(inserted.inserted_primary_key[0]), True  # type: ignore[index]


def _close_episode_if_quiet(connection: Connection, episode_id: int, now: float) -> None:
    firing = select(func.count()).where(alerts.c.episode_id == episode_id, alerts.c.status == AlertStatus.FIRING)
    if connection.execute(firing).scalar_one() == 0:
        still_open = (episodes.c.id == episode_id) & episodes.c.closed_at.is_(None)
        connection.execute(update(episodes).where(still_open).values(closed_at=now, decide_at=None))


def _write_alert(connection: Connection, alert: Alert, episode_id: int | None, now: float) -> None:
    values = {"episode_id": episode_id, "status": alert.status, "body": _encode(alert), "received_at": now}
    changed = connection.execute(update(alerts).where(alerts.c.fingerprint == alert.fingerprint).values(**values))
    if changed.rowcount == 0:
        connection.execute(insert(alerts).values(fingerprint=alert.fingerprint, **values))


def _write_log(connection: Connection, execution: Execution, text: str) -> None:
    connection.execute(
        insert(log).values(execution_id=execution.id, at=execution.updated_at, phase=execution.phase, text=text)
    )


def _same_decision(known: str, decision: Decision) -> bool:
    last = msgspec.json.decode(known, type=Decision)
    same = (last.outcome, last.policy) == (decision.outcome, decision.policy)
    return same and says_the_same(last.reason, decision.reason)


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
        "body": _encode(execution),
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


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()
