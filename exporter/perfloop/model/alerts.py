"""What Alertmanager says: alerts, and the episodes that they open."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct


class AlertStatus(StrEnum):
    """The two states that Alertmanager delivers."""

    FIRING = "firing"
    RESOLVED = "resolved"


class Alert(Struct, frozen=True, kw_only=True):
    """One alert of an Alertmanager notification. The fingerprint is the hash of its labels."""

    fingerprint: str
    status: AlertStatus
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: float
    ends_at: float | None = None

    @property
    def rule(self) -> str:
        """The stable name of the rule: label `rule` of compiled alerts, else the alert's name."""
        return self.labels.get("rule") or self.labels.get("alertname", "")

    @property
    def component(self) -> str:
        """Name of the component that the alert is about, or empty."""
        return self.labels.get("component", "")

    def is_news_after(self, known: Alert) -> bool:
        """Say whether this delivery is newer than what is known under the same fingerprint.

        A firing delivery with the start of an alert that has been resolved came late; so did a resolution that
        ends before the known firing began.
        """
        if known.status is AlertStatus.RESOLVED and self.status is AlertStatus.FIRING:
            return self.starts_at > known.starts_at
        if known.status is AlertStatus.FIRING and self.status is AlertStatus.RESOLVED:
            return self.starts_at >= known.starts_at or (self.ends_at or known.starts_at) > known.starts_at
        return True


class AlertGroup(Struct, frozen=True, kw_only=True):
    """One Alertmanager notification: the alerts that it sends together, and by what it groups them.

    `labels` are those that all of its alerts share because the route groups by them; `truncated` counts what
    `max_alerts` cut off.
    """

    key: str
    labels: Mapping[str, str]
    alerts: tuple[Alert, ...]
    truncated: int = 0

    @property
    def firing(self) -> tuple[Alert, ...]:
        """The alerts that fire."""
        return tuple(alert for alert in self.alerts if alert.status is AlertStatus.FIRING)

    @property
    def is_over(self) -> bool:
        """Whether all of its alerts have ended; of those that were cut off nothing is known."""
        return not self.firing and not self.truncated


class Receipt(Struct, frozen=True, kw_only=True):
    """What became of the alerts of one delivery."""

    opened: int = 0
    repeated: int = 0
    resolved: int = 0
    late: int = 0


class RuleState(Struct, frozen=True, kw_only=True):
    """What Prometheus says of one rule: when it was evaluated, and for which components it fires or is about to.

    For those in `kept` the condition has ended, and the alert goes on only for its cooldown (`keep_firing_for`).
    """

    evaluated_at: float
    components: frozenset[str]
    kept: frozenset[str] = frozenset()


class Episode(Struct, frozen=True, kw_only=True):
    """One firing of one rule on one component, however often and by whichever severity it is delivered."""

    id: int
    rule: str
    component: str
    labels: Mapping[str, str]
    opened_at: float
    closed_at: float | None = None
