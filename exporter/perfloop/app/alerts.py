"""What people ask of Alertmanager: which alerts there are, to be left in peace, and whether a channel works."""

from __future__ import annotations

import difflib
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from perfloop.app.notifiers import compiled_alerts
from perfloop.config import Config
from perfloop.errors import Rejected
from perfloop.prometheus.alertmanager import AlertmanagerClient, Deliveries, KnownAlert, Matcher, Silence
from perfloop.protocols import Clock
from perfloop.rules.channels import TEST_LABEL

_EVERYTHING = {"", "*", ".*", ".+"}
_SEVERITIES = ("critical", "warning", "info")
_INTEGRATIONS = {"email": "email", "slack": "slack", "webhook": "webhook", "github": "webhook"}
_POLL_SECONDS = 0.2
_LEFT_BEHIND_SECONDS = 60.0


class Ack(Struct, frozen=True, kw_only=True):
    """A silence, as people need to know it."""

    id: str
    by: str
    until: datetime
    comment: str


class ListedAlert(Struct, frozen=True, kw_only=True):
    """One alert that fires; `state` is `firing`, `acknowledged`, or `inhibited` (another alert mutes it)."""

    alert: str
    severity: str
    state: str
    since: datetime
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    receivers: tuple[str, ...]
    acks: tuple[Ack, ...]


class Delivery(Struct, frozen=True, kw_only=True):
    """What became of a test alert: how often Alertmanager tried within `seconds`, and how often in vain."""

    channel: str
    delivered: bool
    given_up: bool
    attempts: int
    refused: int
    seconds: float


def listed(client: AlertmanagerClient) -> list[ListedAlert]:
    """Return what fires, muted or not: the worst first, then what began first."""
    acks = {silence.id: silence for silence in client.silences()}
    found = [_listed(alert, acks) for alert in client.alerts()]
    return sorted(found, key=lambda each: (_rank(each.severity), each.since, each.alert, sorted(each.labels.items())))


def matchers_for(
    name: str, more: Mapping[str, str], *, firing: Iterable[KnownAlert], config: Config, config_path: Path
) -> tuple[Matcher, ...]:
    """Return what selects an alert by its name, or by the name of its rule, and by more labels.

    Raises Rejected for a name that nothing has which fires or is compiled, and for one that means everything.
    """
    if name in _EVERYTHING:
        raise Rejected("one alert at a time is acknowledged, by its name; everything is never muted")
    compiled = compiled_alerts(config, config_path=config_path)
    alerts = {rule.alert for rule in compiled} | {alert.labels.get("alertname", "") for alert in firing}
    rules = {rule.labels.get("rule", "") for rule in compiled} | {alert.labels.get("rule", "") for alert in firing}
    label = next((label for label, names in (("alertname", alerts), ("rule", rules)) if name in names), None)
    if label is None:
        raise Rejected(f"there is no alert {name!r}, neither firing nor in {config_path}{_like(name, alerts | rules)}")
    return tuple(Matcher(name=key, value=value) for key, value in {label: name, **more}.items())


def selected(matchers: Sequence[Matcher], alerts: Iterable[KnownAlert]) -> list[KnownAlert]:
    """Return the alerts that fit all matchers, which must ask for equality."""
    return [alert for alert in alerts if all(alert.labels.get(m.name, "") == m.value for m in matchers)]


def silences_of(word: str, silences: Sequence[Silence]) -> list[Silence]:
    """Return the silence with this id (or its beginning), else those of the alert or rule of this name.

    Raises Rejected if there is none, or if several ids begin so.
    """
    by_id = [silence for silence in silences if re.fullmatch(r"[0-9a-f-]{4,}", word) and silence.id.startswith(word)]
    if len(by_id) > 1:
        raise Rejected(f"{len(by_id)} silences have an id that begins with {word}")
    named = (Matcher(name="alertname", value=word), Matcher(name="rule", value=word))
    found = by_id or [silence for silence in silences if any(matcher in silence.matchers for matcher in named)]
    if not found:
        raise Rejected(f"there is no silence {word}, by its id or of an alert of this name; see: perfloop alerts list")
    return found


class ChannelTest:
    """Sends an alert that is routed to one channel only, and watches Alertmanager's counters of deliveries.

    They count by kind of receiver: what else goes to receivers of the same kind meanwhile is taken for the test.
    """

    def __init__(self, client: AlertmanagerClient, config: Config, channel: str, *, clock: Clock = time.time) -> None:
        self._client, self._channel, self._clock = client, channel, clock
        if channel not in config.channels:
            known = ", ".join(sorted(config.channels)) or "it has none"
            raise Rejected(f"there is no channel {channel!r} in perfloop.yml; expected one of: {known}")
        section = config.channels[channel]
        kind = next(kind for kind in _INTEGRATIONS if getattr(section, kind) is not None)
        self.integration = _INTEGRATIONS[kind]
        self._labels = {
            "alertname": "PerfloopTest",
            TEST_LABEL: channel,
            "severity": "info",
            "test_id": secrets.token_hex(4),
        }

    def check_route(self) -> None:
        """Raise Rejected if the Alertmanager that runs would not send the test to this channel."""
        if f'{TEST_LABEL}="{self._channel}"' not in self._client.configuration():
            raise Rejected(
                f"Alertmanager at {self._client.url} has no route for tests of {self._channel}; "
                "give it the alertmanager.yml that `perfloop compile` writes, and reload it"
            )

    def run(self, *, wait_seconds: float, tick: Callable[[float], object] = lambda _: None) -> Delivery:
        """Send, wait until it is delivered or given up, end the alert. `tick` is told the seconds that passed."""
        before, began = self._client.deliveries(self.integration), time.monotonic()
        self._send(ends_at=self._clock() + wait_seconds + _LEFT_BEHIND_SECONDS)
        try:
            while True:
                passed = time.monotonic() - began
                tick(passed)
                found = self._compare(before, self._client.deliveries(self.integration), passed)
                if found.delivered or found.given_up or passed >= wait_seconds:
                    return found
                time.sleep(_POLL_SECONDS)
        finally:
            self._send(ends_at=self._clock())

    def _send(self, *, ends_at: float) -> None:
        annotations = {
            "summary": f"This is a test of the channel {self._channel}.",
            "description": "Somebody typed `perfloop alerts send-test`; nothing is wrong, and it ends by itself.",
        }
        self._client.send(self._labels, annotations, starts_at=self._clock() - 1, ends_at=ends_at)

    def _compare(self, before: Deliveries, now: Deliveries, seconds: float) -> Delivery:
        attempts, refused = int(now.requests - before.requests), int(now.refused - before.refused)
        return Delivery(
            channel=self._channel,
            delivered=attempts > refused,
            given_up=now.given_up > before.given_up,
            attempts=attempts,
            refused=refused,
            seconds=round(seconds, 1),
        )


def _listed(alert: KnownAlert, silences: Mapping[str, Silence]) -> ListedAlert:
    acks = [silences[silence_id] for silence_id in alert.status.silenced_by if silence_id in silences]
    state = "acknowledged" if acks else "inhibited" if alert.status.inhibited_by else "firing"
    return ListedAlert(
        alert=alert.labels.get("alertname", ""),
        severity=alert.labels.get("severity", ""),
        state=state,
        since=alert.starts_at,
        labels=alert.labels,
        annotations=alert.annotations,
        receivers=tuple(receiver.name for receiver in alert.receivers),
        acks=tuple(Ack(id=s.id, by=s.created_by, until=s.ends_at, comment=s.comment) for s in acks),
    )


def _rank(severity: str) -> int:
    return _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)


def _like(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
