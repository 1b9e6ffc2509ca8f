"""The one client of the Prometheus HTTP API."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TypeVar

import msgspec
import requests
from msgspec import Raw, Struct, field

from perfloop.errors import Rejected, Unavailable
from perfloop.exchange import exchange
from perfloop.model import RuleState, Sample

T = TypeVar("T")

TRY_LATER = frozenset({408, 425, 429})


class Labelled(Struct, frozen=True, kw_only=True):
    """One series of an instant query: its labels and its value at that time."""

    labels: Mapping[str, str]
    sample: Sample


class ActiveAlert(Struct, frozen=True, kw_only=True, rename="camel"):
    """One alert as Prometheus itself sees it; `state` is pending or firing.

    `keep_firing_since` is set while its condition does not hold any more.
    """

    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)
    state: str
    active_at: str = ""
    keep_firing_since: str = ""
    value: str = ""


class _Answer(Struct, rename="camel"):
    status: str
    data: Raw = field(default_factory=lambda: Raw(b"null"))
    error_type: str = ""
    error: str = ""


class _Point(Struct):
    metric: dict[str, str]
    value: tuple[float, str]


class _Series(Struct):
    metric: dict[str, str]
    values: list[tuple[float, str]]


class _Matrix(Struct, tag_field="resultType", tag="matrix"):
    result: list[_Series]


class _Vector(Struct, tag_field="resultType", tag="vector"):
    result: list[_Point]


class _Alerts(Struct):
    alerts: list[ActiveAlert]


class _Rule(Struct, rename="camel"):
    health: str
    last_evaluation: datetime
    labels: dict[str, str] = field(default_factory=dict)
    alerts: list[ActiveAlert] = field(default_factory=list)


class _Group(Struct):
    rules: list[_Rule]


class _Groups(Struct):
    groups: list[_Group]


class _PerThread(threading.local):
    """A session for each thread, as requests promises nothing for sessions that threads share."""

    def __init__(self) -> None:
        self.session = requests.Session()


class PrometheusClient:
    """Asks one Prometheus, with a bound on how long an answer may take. Any number of threads may use it.

    Every method raises Unavailable when there is no answer in time or the server says that it cannot (5xx, 429),
    and Rejected, with Prometheus's own words, when the question is at fault.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 5.0) -> None:
        self._url = url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._own = _PerThread()

    def query(self, promql: str, *, at: float | None = None) -> list[Labelled]:
        """Evaluate an expression at one time, by default now; values that are no number are left out."""
        form = {"query": promql} if at is None else {"query": promql, "time": repr(at)}
        result = self._ask("POST", "query", _Vector, form).result
        return [Labelled(labels=point.metric, sample=found) for point in result if (found := _sample(*point.value))]

    def query_range(self, promql: str, *, start: float, end: float, step_seconds: float) -> list[Sample]:
        """Return the samples of the one series that the expression selects, oldest first; none if it selects none.

        Values that are no number (NaN, infinity: a division by zero) are left out: absent is not zero.
        Raises Rejected if the expression selects several series.
        """
        if end < start:
            return []
        form = {"query": promql, "start": repr(start), "end": repr(end), "step": repr(step_seconds)}
        result = self._ask("POST", "query_range", _Matrix, form).result
        if len(result) > 1:
            raise Rejected(f"{promql} selects {len(result)} series, expected 1")
        return [found for series in result for at, value in series.values if (found := _sample(at, value))]

    def alerts(self) -> list[ActiveAlert]:
        """Return the pending and firing alerts."""
        return self._ask("GET", "alerts", _Alerts).alerts

    def rule_states(self) -> Mapping[str, RuleState]:
        """Return what each rule saw when it was last evaluated, by its label `rule`.

        Rules of one name (its severities) are joined. One that is not healthy or was never evaluated takes its name
        out: of that nothing is known.
        """
        states: dict[str, RuleState] = {}
        unknown: set[str] = set()
        for rule in (rule for group in self._ask("GET", "rules?type=alert", _Groups).groups for rule in group.rules):
            name = rule.labels.get("rule", "")
            if rule.health != "ok" or rule.last_evaluation.year == 1:
                unknown.add(name)
                continue
            evaluated_at = rule.last_evaluation.timestamp()
            held = _components(alert for alert in rule.alerts if not alert.keep_firing_since)
            known = states.get(name, RuleState(evaluated_at=evaluated_at, components=frozenset()))
            components = known.components | _components(rule.alerts)
            states[name] = RuleState(
                evaluated_at=min(known.evaluated_at, evaluated_at),
                components=components,
                kept=components - held - (known.components - known.kept),
            )
        return {name: state for name, state in states.items() if name and name not in unknown}

    def ready(self) -> bool:
        """Say whether it serves queries now. Never raises."""
        try:
            return self._own.session.get(f"{self._url}/-/ready", timeout=self._timeout_seconds).ok
        except requests.RequestException:
            return False

    def _ask(self, method: str, path: str, shape: type[T], form: Mapping[str, str] | None = None) -> T:
        answer = exchange(
            self._own.session,
            method,
            f"{self._url}/api/v1/{path}",
            who=f"Prometheus at {self._url}",
            timeout_seconds=self._timeout_seconds,
            form=form,
        )
        status, body = answer.status, answer.body
        if status >= requests.codes.server_error or status in TRY_LATER:
            raise Unavailable(f"Prometheus at {self._url} answers {status}: {_words(body)}")
        if status != requests.codes.ok:
            raise Rejected(f"Prometheus at {self._url} refuses {(form or {}).get('query', path)}: {_words(body)}")
        try:
            return msgspec.json.decode(msgspec.json.decode(body, type=_Answer).data, type=shape)
        except msgspec.MsgspecError as error:
            raise Rejected(f"{self._url} does not answer as the Prometheus API does: {error}") from error


def _components(alerts: Iterable[ActiveAlert]) -> frozenset[str]:
    return frozenset(alert.labels.get("component", "") for alert in alerts)


def _sample(at: float, value: str) -> Sample | None:
    number = float(value)
    return Sample(at=at, value=number) if math.isfinite(number) else None


def _words(body: bytes) -> str:
    """Return Prometheus's own message, or the beginning of whatever answered in its place."""
    try:
        return msgspec.json.decode(body, type=_Answer).error
    except msgspec.MsgspecError:
        return body[:200].decode(errors="replace").strip() or "nothing"
