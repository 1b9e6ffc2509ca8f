"""The seams: what a collector, an executor, a driver, an evaluator, a store and a clock must be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from perfloop.model import (
    Action,
    Alert,
    AlertGroup,
    Baseline,
    Change,
    Component,
    Decision,
    Episode,
    Evaluation,
    Execution,
    Family,
    Guard,
    LogEntry,
    Measurement,
    Objective,
    Policy,
    Probe,
    Receipt,
    RecordedDecision,
    RuleState,
    Sample,
    Setting,
    StoreCounts,
)


class Clock(Protocol):
    """Unix seconds, as `time.time` gives them."""

    def __call__(self) -> float:
        """Return the time now."""


class Layout(Protocol):
    """Families, and the templates of their lines: the same object at each scrape, while nothing appears or goes."""

    @property
    def families(self) -> tuple[Family, ...]:
        """The families that may be in it: the same object for all layouts of who measures."""

    @property
    def series(self) -> int:
        """The most sample lines that one of its families has."""

    @property
    def bare(self) -> bytes:
        """The template of all lines without headers; see exposition/block.py."""

    @property
    def whole(self) -> Mapping[bool, bytes]:
        """The template with headers, by whether it is for OpenMetrics; families without lines have none."""


class Sheet(Protocol):
    """Samples of several families that can become lines all at once."""

    @property
    def layout(self) -> Layout:
        """What the tokens are put into."""

    @property
    def tokens(self) -> tuple[bytes, ...]:
        """The values, as the templates want them."""


Piece = Sheet | tuple[Family, bytes]
Samples = Iterable[Piece]


class Collector(Protocol):
    """Measures one thing: this host, or one target. Made once, asked at each scrape, never on a timer."""

    @property
    def name(self) -> str:
        """Name in the configuration, in the file name and in the label `collector`."""

    @property
    def component(self) -> str:
        """Name of the measured component, or empty for the host itself."""

    def collect(self) -> Samples:
        """Return sheets, or families with their ready sample lines; raise when the source cannot be read.

        Absent is not zero: what the source does not say has no line.
        """

    @property
    def may_hang(self) -> bool:
        """False for what the kernel answers from its own memory.

        That is read in the scrape's thread: handing it to another one takes longer than reading it.
        """

    def down(self) -> Samples:
        """Return what is known without asking the source: `up` 0, and the counters of past probes."""

    def close(self) -> None:
        """Let go of files and connections. Twice is harmless."""


class Driver(Protocol):
    """Talks to one outside system: reads and writes single settings, with bounded time.

    Every call may raise Unavailable (nothing happened), Rejected (the system said no) or, for writes,
    OutcomeUnknown (no answer came).
    """

    def get(self, key: str) -> Setting:
        """Read the value in force."""

    def set(self, key: str, value: str) -> None:
        """Write a value. Idempotent."""

    def reset(self, key: str) -> None:
        """Give the key back to the system's own default. Idempotent."""

    def obstacle(self, key: str) -> str | None:
        """Say why writing the key would be refused or in vain, or None. Reads, never writes."""


class DriverFactory(Protocol):
    """Makes the driver for a component; connects at the first call, not before."""

    def __call__(self, component: Component) -> Driver:
        """Return the driver of a component."""


class Executor(Protocol):
    """Turns an action into changes, makes them, and undoes them."""

    @property
    def name(self) -> str:
        """Name in the configuration, in the file name and in metrics."""

    def plan(self, action: Action) -> tuple[Change, ...]:
        """Say what would change; reads, never writes. Raises ActionRefused with the reason when it must not be."""

    def apply(self, change: Change) -> None:
        """Make the change and read it back. Applying twice is harmless. Raises Conflict over someone else's value."""

    def probe(self, change: Change) -> Probe:
        """Say whether the value from before, ours, or another one stands there now."""

    def read_back(self, change: Change) -> Setting:
        """Return the value in force now."""

    def rollback(self, change: Change) -> None:
        """Undo the change if ours stands there; twice is harmless. Raises Conflict over someone else's value.

        Raises ActionRefused where going back would destroy something.
        """


class Evaluator(Protocol):
    """Asks Prometheus whether an action helped."""

    def baseline(self, policy: Policy, component: str, *, now: float) -> Baseline:
        """Fetch the samples from before. Raises ActionRefused if they are missing, stale or too few.

        Raises Unavailable if Prometheus does not answer.
        """

    def evaluate(
        self, policy: Policy, component: str, baseline: Baseline, *, executed_at: float, now: float
    ) -> Evaluation:
        """Compare the samples since the change settled with those from before."""


class Judge(Protocol):
    """The pure part of the evaluator."""

    def __call__(
        self, objective: Objective, guards: Sequence[Guard], before: Baseline, after: Baseline, *, looks: Sequence[int]
    ) -> Evaluation:
        """Return the verdict at the last planned look that the samples reach."""


class Store(Protocol):
    """Remembers alerts, episodes, decisions and executions; every call is one transaction.

    Raises Unavailable when it cannot write (a full disk, a lock).
    """

    def receive(self, alerts: Sequence[Alert], *, now: float) -> Receipt:
        """Store a delivery: open, repeat and close episodes; late deliveries change nothing."""

    def episodes_due(self, *, now: float) -> list[Episode]:
        """Return the open episodes that are to be decided now, oldest first."""

    def episode(self, episode_id: int) -> Episode:
        """Return one episode. Raises NotFound."""

    def open_episodes(self) -> list[tuple[Episode, float]]:
        """Return the open episodes, each with the time of its last delivery."""

    def close_episode(self, episode_id: int, *, unless_after: float, now: float) -> None:
        """Close an episode, unless something about it was delivered after a time."""

    def prune(self, *, before: float) -> None:
        """Forget resolved alerts that were last delivered before a time; episodes and executions stay."""

    def record_decision(self, episode: Episode, decision: Decision, *, now: float, again_at: float | None) -> bool:
        """Store a decision and when to decide again (None: never). False if it only repeats the last one.

        `now` is when the deciding began: if the episode was opened again since, it stays to be decided.
        """

    def reopen_decisions(self, *, now: float) -> None:
        """Let every open episode without an execution be decided again (the configuration has changed)."""

    def decisions(self, *, limit: int) -> list[RecordedDecision]:
        """Return the decisions, newest first."""

    def begin(self, execution: Execution) -> None:
        """Store a new execution.

        Raises Paused, and ActionRefused if its episode is closed or was acted on, or its component is busy.
        """

    def save(self, execution: Execution, *, note: str, only_while_wanted: bool = False) -> Execution:
        """Replace an execution and log the note. Raises Stale if somebody else has replaced it meanwhile.

        With `only_while_wanted` also raises Paused, and ActionRefused if its episode is closed, in the same
        transaction: so a pause that was answered holds. Raises NotNow if its component is busy with another one.
        """

    def execution(self, execution_id: str) -> Execution:
        """Return one execution by its id or an unambiguous beginning of it. Raises NotFound."""

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

    def log(self, execution_id: str) -> list[LogEntry]:
        """Return the history of one execution, oldest first."""

    def counts(self) -> StoreCounts:
        """Count everything, for the optimizer's own metrics."""

    def pause(self, reason: str | None) -> None:
        """Stop acting, for a reason that survives restarts; None resumes."""

    def paused(self) -> str | None:
        """Return why acting is paused, or None."""


class Steering(Protocol):
    """What people may ask of the controller. Every call raises NotFound or, in the wrong state, NotNow."""

    def wake(self) -> None:
        """Tell it that there is something new."""

    def approve(self, execution_id: str) -> Execution:
        """Let an action that waits for approval begin."""

    def reject(self, execution_id: str) -> Execution:
        """Cancel an action that waits for approval."""

    def rollback(self, execution_id: str) -> Execution:
        """Undo what an action changed."""

    def release(self, execution_id: str) -> Execution:
        """Accept what stands at a locked component."""


class Notifier(Protocol):
    """Tells people of alerts through a system that Alertmanager does not speak to itself."""

    def notify(self, group: AlertGroup) -> str:
        """Tell of a group as it is now; return in a word what was done. The same group twice is told once.

        Raises Unavailable when it may work later, and Rejected when only a person can change that.
        """


class History(Protocol):
    """What was recorded under the names that users know."""

    def measurements(
        self, name: str, *, start: float | None = None, end: float | None = None, limit: int
    ) -> list[Measurement]:
        """Return the newest samples, newest first; by default those of the last hour.

        Raises NotFound with the nearest name, Rejected for a time that ends before it begins, and Unavailable.
        """


class AlertSource(Protocol):
    """Where one can ask which alerts there are, without waiting to be told: the Prometheus HTTP API."""

    def rule_states(self) -> Mapping[str, RuleState]:
        """Return what each rule (by its label `rule`) saw when it was last evaluated; only healthy ones.

        Raises Unavailable and Rejected.
        """


class SeriesSource(Protocol):
    """Where recorded series are read: the Prometheus HTTP API, or a list in a test."""

    def query_range(self, promql: str, *, start: float, end: float, step_seconds: float) -> list[Sample]:
        """Return the samples of the one series that the query selects, oldest first; empty when there is none."""
