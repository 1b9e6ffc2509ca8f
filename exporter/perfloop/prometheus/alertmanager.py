"""The client of the Alertmanager HTTP API, version 2: alerts, silences, and what became of notifications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import quote

import msgspec
import requests
from msgspec import Struct, field
from prometheus_client.parser import text_string_to_metric_families

from perfloop.errors import NotFound, Rejected, Unavailable
from perfloop.exchange import Answer, exchange

T = TypeVar("T")

_ENDED = "expired"
_COUNTERS = {
    "alertmanager_notification_requests_total": "requests",
    "alertmanager_notification_requests_failed_total": "refused",
    "alertmanager_notifications_failed_total": "given_up",
}


class Matcher(Struct, frozen=True, kw_only=True, rename="camel"):
    """A condition on one label."""

    name: str
    value: str
    is_regex: bool = False
    is_equal: bool = True

    def __str__(self) -> str:
        """Return it as Alertmanager's own tools write it."""
        operator = ("=~" if self.is_regex else "=") if self.is_equal else ("!~" if self.is_regex else "!=")
        return f'{self.name}{operator}"{self.value}"'


class SilenceState(Struct, frozen=True, kw_only=True):
    """`pending`, `active` or `expired`."""

    state: str


class Silence(Struct, frozen=True, kw_only=True, rename="camel"):
    """Who wants to hear nothing of what, until when, and why."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    created_by: str
    comment: str
    status: SilenceState = SilenceState(state="active")

    @property
    def is_over(self) -> bool:
        """Whether it mutes nothing any more."""
        return self.status.state == _ENDED


class AlertState(Struct, frozen=True, kw_only=True, rename="camel"):
    """`active`, `suppressed` (by silences and other alerts), or `unprocessed`."""

    state: str
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()


class Receiver(Struct, frozen=True, kw_only=True):
    """Who is told."""

    name: str


class KnownAlert(Struct, frozen=True, kw_only=True, rename="camel"):
    """One alert that fires, as Alertmanager sees it."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str
    starts_at: datetime
    status: AlertState
    receivers: tuple[Receiver, ...] = ()


class Deliveries(Struct, frozen=True, kw_only=True):
    """How often a kind of receiver (`webhook`, `email`) was asked, refused, and given up, since Alertmanager began."""

    requests: float = 0.0
    refused: float = 0.0
    given_up: float = 0.0


class AlertmanagerClient:
    """Asks one Alertmanager; for one thread.

    Every method raises Unavailable when there is no answer in time or the server says that it cannot, and Rejected,
    with Alertmanager's own words, when the question is at fault.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 5.0) -> None:
        self.url = url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._session = requests.Session()

    def alerts(self) -> list[KnownAlert]:
        """Return what fires, muted or not."""
        return self._read(self._ask("GET", "api/v2/alerts"), list[KnownAlert])

    def silences(self) -> list[Silence]:
        """Return the silences that are in force or will be, those that end first in front."""
        found = self._read(self._ask("GET", "api/v2/silences"), list[Silence])
        return sorted((silence for silence in found if not silence.is_over), key=lambda silence: silence.ends_at)

    def silence(
        self, matchers: Sequence[Matcher], *, starts_at: float, ends_at: float, created_by: str, comment: str
    ) -> str:
        """Mute what fits all matchers, and return the silence's id."""
        body = {
            "matchers": msgspec.to_builtins(list(matchers)),
            "startsAt": _iso(starts_at),
            "endsAt": _iso(ends_at),
            "createdBy": created_by,
            "comment": comment,
        }
        return self._read(self._ask("POST", "api/v2/silences", body), dict[str, str])["silenceID"]

    def expire(self, silence_id: str) -> None:
        """End a silence. Raises NotFound if there is none of this id."""
        answer = self._exchange("DELETE", f"api/v2/silence/{quote(silence_id, safe='')}")
        if answer.status == requests.codes.not_found:
            raise NotFound(f"Alertmanager at {self.url} has no silence {silence_id}")
        self._check(answer, f"silence {silence_id}")

    def send(
        self, labels: Mapping[str, str], annotations: Mapping[str, str], *, starts_at: float, ends_at: float
    ) -> None:
        """Let an alert fire until a time; a time in the past ends it."""
        times = {"startsAt": _iso(starts_at), "endsAt": _iso(ends_at)}
        self._ask("POST", "api/v2/alerts", [{"labels": dict(labels), "annotations": dict(annotations), **times}])

    def configuration(self) -> str:
        """Return the configuration that is in force, as YAML without secrets."""
        status = self._read(self._ask("GET", "api/v2/status"), dict[str, msgspec.Raw])
        return msgspec.json.decode(status["config"], type=dict[str, str])["original"]

    def deliveries(self, integration: str) -> Deliveries:
        """Return what became of the notifications to one kind of receiver. Newer versions count by reason, too."""
        counts = dict.fromkeys(_COUNTERS, 0.0)
        for family in text_string_to_metric_families(self._ask("GET", "metrics").body.decode()):
            for sample in family.samples:
                if sample.name in counts and sample.labels.get("integration") == integration:
                    counts[sample.name] += sample.value
        return Deliveries(**{_COUNTERS[name]: value for name, value in counts.items()})

    def _ask(self, method: str, path: str, body: object | None = None) -> Answer:
        answer = self._exchange(method, path, body)
        self._check(answer, path)
        return answer

    def _exchange(self, method: str, path: str, body: object | None = None) -> Answer:
        who = f"Alertmanager at {self.url}"
        return exchange(
            self._session, method, f"{self.url}/{path}", who=who, timeout_seconds=self._timeout_seconds, json=body
        )

    def _check(self, answer: Answer, what: str) -> None:
        words = answer.body[:300].decode(errors="replace").strip().strip('"') or "nothing"
        if answer.status >= requests.codes.server_error or answer.status == requests.codes.too_many_requests:
            raise Unavailable(f"Alertmanager at {self.url} answers {answer.status}: {words}")
        if answer.status != requests.codes.ok:
            raise Rejected(f"Alertmanager at {self.url} refuses {what}: {words}")

    def _read(self, answer: Answer, shape: type[T]) -> T:
        try:
            return msgspec.json.decode(answer.body, type=shape)
        except msgspec.MsgspecError as error:
            raise Rejected(f"{self.url} does not answer as the Alertmanager API does: {error}") from error


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
