"""All collectors side by side: a dead or hung target costs a scrape only its own samples."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from perfloop.collectors.watch import Delivery, Watch
from perfloop.exposition.block import Block
from perfloop.model import Family, MetricType
from perfloop.protocols import Piece


def _family(name: str, kind: MetricType, text: str) -> Family:
    return Family(name=f"perfloop_exporter_{name}", type=kind, help=text, labels=("collector", "component"))


FAMILIES = (
    _family(
        "collector_success", MetricType.GAUGE, "Whether the collector delivered its samples for this page, in time."
    ),
    _family("collector_duration_seconds", MetricType.GAUGE, "Time that the collector took, or has taken so far."),
    _family(
        "collector_last_success_timestamp_seconds",
        MetricType.GAUGE,
        "When the collector last succeeded; none until it did.",
    ),
    _family(
        "dropped_series_total",
        MetricType.COUNTER,
        "Sample lines left out because their family had more series than collectors.max_series_per_family.",
    ),
)

# Selections of collectors that are kept: a Prometheus has few jobs, but anybody may ask.
_MAX_SELECTIONS = 16


class Selection:
    """Some of the collectors, and the block that says how they did."""

    def __init__(self, names: frozenset[str] | None, watches: Sequence[Watch]) -> None:
        self.names, self.watches, self.block = names, watches, Block(FAMILIES)
        self.may_hang = [watch for watch in watches if watch.source.may_hang]
        self.budget_seconds = max((watch.budget_seconds for watch in watches), default=0.0)


class Round:
    """One collection by a selection; scrapes of the same one that come while it is open join it."""

    def __init__(self, guard: Guard, selection: Selection) -> None:
        self._guard, self.selection, self.started_at = guard, selection, time.monotonic()
        self.awaited = {watch for watch in selection.may_hang if watch.trusted}
        # What came while the round was open; whoever brought it may be busy for another round by now.
        self.delivered: dict[Watch, Delivery] = {}
        self.collected: list[Piece] | None = None

    @property
    def complete(self) -> bool:
        """Whether all that is worth waiting for is there."""
        return not self.awaited

    @property
    def deadline(self) -> float:
        """Time of the monotonic clock at which the longest budget of those that are missing ends."""
        return self.started_at + max((watch.budget_seconds for watch in tuple(self.awaited)), default=0.0)

    @property
    def abandoned(self) -> bool:
        """Whether nobody came back for it: its client went away, or will be late."""
        return time.monotonic() > self.started_at + self.selection.budget_seconds

    def samples(self) -> list[Piece]:
        """Close the round and return what is there; whoever is missing is late."""
        return self._guard.close_round(self)


class Guard:
    """Runs collectors, whose names are `names`, within their budgets.

    `notify` is called from any thread when a round is complete.
    """

    def __init__(self, watches: Sequence[Watch] = (), *, notify: Callable[[], None] = lambda: None) -> None:
        self._notify, self._lock = notify, threading.Lock()
        self._watches: Sequence[Watch] = ()
        self.names: frozenset[str] = frozenset()
        # Those that can be joined, and all that are not gathered yet.
        self._rounds: dict[frozenset[str] | None, Round] = {}
        self._open: set[Round] = set()
        self._selections: dict[frozenset[str] | None, Selection] = {}
        self.replace(watches)

    @property
    def idle(self) -> bool:
        """Whether no collector is running."""
        return not any(watch.running for watch in self._watches)

    def replace(self, watches: Sequence[Watch]) -> None:
        """Watch these from now on; those that are not among them end.

        Rounds that are open go on to their end; nobody joins them any more. The thread of a hung one ends when its
        target lets it go.
        """
        with self._lock:
            self._rounds.clear()
            gone = [watch for watch in self._watches if watch not in watches]
            self._watches, self._selections = tuple(watches), {}
            self.names = frozenset(watch.source.name for watch in watches)
            for watch in watches:
                watch.finished = self._on_finished
        for watch in gone:
            watch.stop()

    def begin(self, names: frozenset[str] | None = None) -> Round:
        """Join the open round of the collectors of these names (by default all), or open one.

        Every collector is started that is not still busy with an earlier run.
        """
        with self._lock:
            current = self._rounds.get(names)
            if current is not None and current.abandoned:
                self._gather(current)
                current = None
            if current is None:
                # All are awaited before the first is started: a fast one must not complete the round alone.
                current = self._rounds[names] = Round(self, self._selection(names))
                self._open.add(current)
                for watch in current.selection.may_hang:
                    if not watch.running:
                        watch.start()
            return current

    def close_round(self, open_round: Round) -> list[Piece]:
        """Close a round and gather its samples."""
        with self._lock:
            return self._gather(open_round) if open_round.collected is None else open_round.collected

    def close(self) -> None:
        """End all collectors."""
        self.replace(())

    def _gather(self, open_round: Round) -> list[Piece]:
        self._open.discard(open_round)
        names = open_round.selection.names
        if self._rounds.get(names) is open_round:
            del self._rounds[names]
        for watch in open_round.awaited:
            watch.late()
        open_round.collected = _samples(open_round)
        open_round.delivered.clear()
        return open_round.collected

    def _selection(self, names: frozenset[str] | None) -> Selection:
        selection = self._selections.get(names)
        if selection is None:
            if len(self._selections) >= _MAX_SELECTIONS:
                self._selections.clear()
            watches = [watch for watch in self._watches if names is None or watch.source.name in names]
            selection = self._selections[names] = Selection(names, watches)
        return selection

    def _on_finished(self, watch: Watch) -> None:
        with self._lock:
            watch.running = False
            complete = False
            for open_round in self._open:
                open_round.delivered[watch] = watch.delivery
                if watch in open_round.awaited:
                    open_round.awaited.discard(watch)
                    complete = complete or open_round.complete
        if complete:
            self._notify()


def _samples(closing: Round) -> list[Piece]:
    samples, labels, rows = list[Piece](), [], []
    for watch in closing.selection.watches:
        if not watch.source.may_hang:
            if watch.stopped:
                continue
            delivery = watch.run_here()
        elif watch in closing.delivered:
            delivery = closing.delivered[watch]
        else:
            delivery = Delivery((), success=False, seconds=time.monotonic() - watch.started_at)
        samples += delivery.samples if delivery.success else watch.source.down()
        labels.append(watch.labels)
        rows.append((b"%d" % delivery.success, b"%.6f" % delivery.seconds, watch.succeeded_at, b"%d" % watch.dropped))
    samples += closing.selection.block.render(labels, rows)
    return samples
