"""Alertmanager's webhook payload, version 4, into alerts. Unknown fields are ignored, as newer versions add some."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from perfloop.errors import Rejected
from perfloop.model import Alert, AlertGroup, AlertStatus

_Fingerprint = Annotated[str, Meta(pattern=r"^[0-9a-zA-Z_-]{1,128}$")]
_Labels = Annotated[dict[str, str], Meta(max_length=256)]


class WireAlert(Struct, frozen=True, kw_only=True, rename="camel"):
    """One alert as it stands in the payload; the group's status is not used, as a group may hold both kinds."""

    status: AlertStatus
    labels: _Labels
    fingerprint: _Fingerprint
    starts_at: datetime
    ends_at: datetime | None = None
    annotations: _Labels = {}


class Notification(Struct, frozen=True, kw_only=True, rename="camel"):
    """One POST of Alertmanager; `truncated_alerts` counts what `max_alerts` cut off."""

    version: str
    alerts: list[WireAlert]
    group_key: str = ""
    group_labels: _Labels = {}
    truncated_alerts: int = 0


def read_notification(body: bytes) -> AlertGroup:
    """Return the alerts, how they are grouped, and how many were cut off. Raises Rejected with the mistake's path."""
    try:
        notification = msgspec.json.decode(body, type=Notification)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(f"not a payload of Alertmanager's webhook: {error}") from error
    if notification.version != "4":
        raise Rejected(f"the payload has version {notification.version!r}, expected '4'")
    return AlertGroup(
        key=notification.group_key,
        labels=notification.group_labels,
        alerts=tuple(_alert(wire) for wire in notification.alerts),
        truncated=notification.truncated_alerts,
    )


def _alert(wire: WireAlert) -> Alert:
    return Alert(
        fingerprint=wire.fingerprint,
        status=wire.status,
        labels=wire.labels,
        annotations=wire.annotations,
        starts_at=_seconds(wire.starts_at) or 0.0,
        ends_at=_seconds(wire.ends_at),
    )


def _seconds(time: datetime | None) -> float | None:
    # Go's zero time means "not yet"; a time without a zone cannot be compared.
    if time is None or time.year == 1:
        return None
    if time.tzinfo is None:
        raise Rejected(f"the time {time.isoformat()} has no time zone")
    return time.timestamp()
