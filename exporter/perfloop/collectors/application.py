"""HTTP probes of configured URLs: one request per scrape, as a client sees it."""

from __future__ import annotations

from typing import ClassVar

from perfloop.collectors.probes.exchange import Phase
from perfloop.collectors.probes.fetch import Fetch, fetch
from perfloop.collectors.probes.probing import TIMEOUT_SECONDS, Attempts, Deadline, Outcome, Reason
from perfloop.exposition.block import Block
from perfloop.exposition.text import Samples, number
from perfloop.model import Family, MetricType

BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def _family(name: str, kind: MetricType, text: str, *labels: str) -> Family:
    return Family(name=f"perfloop_application_{name}", type=kind, help=text, labels=("component", *labels))


UP = _family("up", MetricType.GAUGE, "Whether the last probe was answered in time and as expected.")
PROBES = _family("probes_total", MetricType.COUNTER, "HTTP probes that were made.")
FAILURES = _family(
    "probe_failures_total", MetricType.COUNTER, "HTTP probes without an answer, or with another one than expected."
)
DURATION = _family(
    "response_duration_seconds",
    MetricType.HISTOGRAM,
    "Time until the whole answer was read, whatever its status; probes without an answer are not in it.",
)
REASONS = _family(
    "probe_failure_reasons_total", MetricType.COUNTER, "The failed probes, each under its first reason.", "reason"
)
STATUS = _family("status_code", MetricType.GAUGE, "Status code of the last answer; none while there is no answer.")
PHASES = _family(
    "phase_seconds_total",
    MetricType.COUNTER,
    "Where the time went of the probes in response_duration_seconds; the phases of one add up to its duration.",
    "phase",
)
EXPIRY = _family(
    "certificate_expiry_timestamp_seconds",
    MetricType.GAUGE,
    "When the first certificate of the chain expires that the application sent last, trusted or not.",
)


class ApplicationCollector:
    """Sends one request. Redirects are not followed unless that is asked for."""

    name: ClassVar[str] = "application"
    may_hang: ClassVar[bool] = True
    families: ClassVar[tuple[Family, ...]] = (UP, PROBES, FAILURES, DURATION, REASONS, STATUS, PHASES, EXPIRY)

    def __init__(
        self, component: str, url: str, wanted: Fetch | None = None, *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self.component, self._url, self._wanted = component, url, wanted or Fetch()
        self._timeout_seconds = timeout_seconds
        self._attempts = Attempts(self.name, component, self.families[:4], bounds_seconds=BOUNDS_SECONDS)
        self._reasons, self._phases = dict.fromkeys(Reason, 0), dict.fromkeys(map(str, Phase), 0.0)
        self._expires_at: float | None = None
        fixed = (component,)
        self._reasons_block, self._phases_block = Block([REASONS], fixed=fixed), Block([PHASES], fixed=fixed)
        self._last = Block((STATUS, EXPIRY), fixed=fixed)

    def collect(self) -> Samples:
        """Probe once. Raises Unavailable when there is no answer."""
        self._attempts.begin()
        outcome = fetch(self._url, self._wanted, Deadline(self._timeout_seconds))
        self._count(outcome)
        return self._samples(up=outcome.failure is None, status=outcome.status)

    def down(self) -> Samples:
        """Return the counters as they stand, without asking the application."""
        return self._samples(up=False, status=None)

    def close(self) -> None:
        """Do nothing: no connection is kept."""

    def _count(self, outcome: Outcome) -> None:
        self._expires_at = outcome.certificate_expires_at or self._expires_at
        if outcome.failure is not None:
            self._reasons[outcome.failure.reason] += 1
        if outcome.seconds is not None:
            for phase, seconds in outcome.phases.items():
                self._phases[phase] += seconds
        self._attempts.end(outcome)

    def _samples(self, *, up: bool, status: int | None) -> Samples:
        return (
            *self._attempts.samples(up=up),
            *self._reasons_block.render_tokens([(r,) for r in self._reasons], _tokens(self._reasons)),
            *self._phases_block.render_tokens([(p,) for p in self._phases], _tokens(self._phases)),
            *self._last.render_row([number(status), number(self._expires_at)]),
        )


def _tokens(values: dict[Reason, int] | dict[str, float]) -> tuple[bytes, ...]:
    return tuple(number(value) for value in values.values())
