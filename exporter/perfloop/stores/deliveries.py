"""What one delivered alert does to the store: opens an episode, repeats it, closes it, or comes too late."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from perfloop.model import Alert, AlertStatus
from perfloop.stores.schema import alerts, episodes

# A delivery cannot be older than this: Alertmanager gives up earlier. What still says "firing" then, is firing.
_LATE_SECONDS = 120.0


def receive(connection: Connection, alert: Alert, now: float) -> str:
    """Store one alert; return what became of it, in the words of Receipt."""
    row = connection.execute(select(alerts).where(alerts.c.fingerprint == alert.fingerprint)).first()
    known = msgspec.json.decode(row.body, type=Alert) if row else None
    if row and known and now - row.received_at < _LATE_SECONDS and not alert.is_news_after(known):
        return "late"
    if alert.status is AlertStatus.FIRING:
        episode_id, opened = _open_episode(connection, alert, now)
        write_alert(connection, alert, episode_id, now)
        return "opened" if opened else "repeated"
    known_episode_id: int | None = row.episode_id if row else None
    write_alert(connection, alert, known_episode_id, now)
    if known_episode_id is not None:
        _close_episode_if_quiet(connection, known_episode_id, now)
    return "resolved"


def _open_episode(connection: Connection, alert: Alert, now: float) -> tuple[int, bool]:
    same = (episodes.c.rule == alert.rule) & (episodes.c.component == alert.component)
    open_episode = connection.execute(select(episodes.c.id).where(same, episodes.c.closed_at.is_(None))).first()
    if open_episode is not None:
        return open_episode.id, False
    values = {"rule": alert.rule, "component": alert.component, "labels": encode(dict(alert.labels))}
    inserted = connection.execute(insert(episodes).values(**values, opened_at=now, decide_at=now))
    return int(inserted.inserted_primary_key[0]), True  # type: ignore[index]


def _close_episode_if_quiet(connection: Connection, episode_id: int, now: float) -> None:
    firing = select(func.count()).where(alerts.c.episode_id == episode_id, alerts.c.status == AlertStatus.FIRING)
    if connection.execute(firing).scalar_one() == 0:
        still_open = (episodes.c.id == episode_id) & episodes.c.closed_at.is_(None)
        connection.execute(update(episodes).where(still_open).values(closed_at=now, decide_at=None))


def write_alert(connection: Connection, alert: Alert, episode_id: int | None, now: float) -> None:
    """Insert or replace an alert by its fingerprint."""
    values = {"episode_id": episode_id, "status": alert.status, "body": encode(alert), "received_at": now}
    changed = connection.execute(update(alerts).where(alerts.c.fingerprint == alert.fingerprint).values(**values))
    if changed.rowcount == 0:
        connection.execute(insert(alerts).values(fingerprint=alert.fingerprint, **values))


def encode(value: object) -> str:
    """Return a struct as JSON text."""
    return msgspec.json.encode(value).decode()
