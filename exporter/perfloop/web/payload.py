"""Alertmanager's webhook payload, version 4, into alerts. Unknown fields are ignored, as newer versions add some."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from perfloop.errors import Rejected
from perfloop.model import Alert, AlertStatus

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
    truncated_alerts: int = 0


def read_notification(body: bytes) -> tuple[list[Alert], int]:
    """Return the alerts and the number of those cut off. Raises Rejected with the path of the mistake."""
    try:
        notification = msgspec.json.decode(body, type=Notification)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(f"not a payload of Alertmanager's webhook: {error}") from error
    if notification.version != "4":
        raise Rejected(f"the payload has version {notification.version!r}, expected '4'")
    return [_alert(wire) for wire in notification.alerts], notification.truncated_alerts


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
