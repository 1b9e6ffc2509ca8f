"""Whatever may hang in a thread of its own, so that a dead or hung target costs a scrape only its own samples."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from enum import Enum
from queue import SimpleQueue

from perfloop.errors import PerfloopError
from perfloop.exposition.block import Block
from perfloop.exposition.text import Samples, number
from perfloop.model import Family, MetricType
from perfloop.protocols import Collector

logger = logging.getLogger(__name__)

FAMILIES = (
    Family(
        name="perfloop_exporter_collector_success",
        type=MetricType.GAUGE,
        help="Whether the collector delivered its samples for this page, in time.",
        labels=("collector", "component"),
    ),
    Family(
        name="perfloop_exporter_collector_duration_seconds",
        type=MetricType.GAUGE,
        help="Time that the collector took, or has taken so far.",
        labels=("collector", "component"),
    ),
)


class Order(Enum):
    """What a watch's thread is told."""

    RUN = "run"
    STOP = "stop"


class Watch:
    """One collector, its thread if it may hang, and how its last run went.

    `trusted` says whether a scrape waits for it: not after a failure, nor after it was late; once it is punctual again,
    yes. A run that was late but ended well is forgiven once, so that a target that was merely paused is back at once.
    """

    def __init__(self, source: Collector, *, finished: Callable[[Watch], None], budget_seconds: float) -> None:
        self.source, self._finished, self._budget_seconds = source, finished, budget_seconds
        self.running, self.trusted, self.success, self.seconds = False, True, False, 0.0
        self.started_at, self.samples = 0.0, list[tuple[Family, bytes]]()
        self._forgiving, self._healthy = True, True
        self._orders: SimpleQueue[Order] = SimpleQueue()
        if source.may_hang:
            name = f"{source.name} {source.component}".strip()
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def start(self) -> None:
        """Begin a run in the thread. Must not be called while one is running."""
        self.running, self.started_at = True, time.monotonic()
        self._orders.put(Order.RUN)

    def run_here(self) -> None:
        """Run in the caller's thread."""
        self.started_at = time.monotonic()
        self._run()

    def stop(self) -> None:
        """End the thread when its present run ends, and close the collector."""
        if self.source.may_hang:
            self._orders.put(Order.STOP)
        else:
            self.source.close()

    def note(self, problem: str | None) -> None:
        """Log when a source fails and when it recovers, not each scrape in between."""
        fields = {"collector": self.source.name, "component": self.source.component}
        if problem is not None and self._healthy:
            logger.warning("collector failed", extra={**fields, "reason": problem})
        elif problem is None and not self._healthy:
            logger.info("collector recovered", extra=fields)
        self._healthy = problem is None

    def _work(self) -> None:
        while self._orders.get() is Order.RUN:
            self._run()
            self._finished(self)
        self.source.close()

    def _run(self) -> None:
        samples, problem = self._collect()
        self.seconds = time.monotonic() - self.started_at
        punctual = self.seconds <= self._budget_seconds
        self.samples, self.success = samples, problem is None
        self.trusted = self.success and (punctual or self._forgiving)
        self._forgiving = self.success and punctual
        if punctual or problem is not None:
            self.note(problem)

    def _collect(self) -> tuple[list[tuple[Family, bytes]], str | None]:
        try:
            return list(self.source.collect()), None
        except (PerfloopError, OSError) as error:
            return [], f"{type(error).__name__}: {error}"
        except Exception as error:
            # Nobody foresaw this one: its place in the code is worth more than its text.
            if self._healthy:
                logger.exception("collector broke", extra={"collector": self.source.name})
            return [], type(error).__name__


class Round:
    """One collection of everything; scrapes that come while it is open join it."""

    def __init__(self, guard: Guard, awaited: set[Watch]) -> None:
        self._guard, self.awaited, self.started_at = guard, awaited, time.monotonic()
        self.collected: list[tuple[Family, bytes]] | None = None

    @property
    def complete(self) -> bool:
        """Whether all that is worth waiting for is there."""
        return not self.awaited

    def samples(self) -> list[tuple[Family, bytes]]:
        """Close the round and return what is there; whoever is missing is late."""
        return self._guard.close_round(self)


class Guard:
    """Runs collectors side by side within a budget; `notify` is called from any thread when a round is complete."""

    def __init__(
        self, sources: Sequence[Collector], *, budget_seconds: float = 0.5, notify: Callable[[], None] = lambda: None
    ) -> None:
        self._notify, self._budget_seconds, self._lock = notify, budget_seconds, threading.Lock()
        self._round: Round | None = None
        self._watches = [Watch(source, finished=self._on_finished, budget_seconds=budget_seconds) for source in sources]
        self._threads = [watch for watch in self._watches if watch.source.may_hang]
        self._labels = [(source.name, source.component) for source in sources]
        self._block = Block(FAMILIES)

    @property
    def idle(self) -> bool:
        """Whether no collector is running."""
        return not any(watch.running for watch in self._watches)

    def begin(self) -> Round:
        """Join the open round, or open one: start every collector that is not still busy with an earlier run."""
        with self._lock:
            # Nobody came back for a round that is older than its budget: its client went away, or will be late.
            if self._round is not None and time.monotonic() - self._round.started_at > self._budget_seconds:
                self._gather(self._round)
            if self._round is None:
                # All are awaited before the first is started: a fast one must not complete the round alone.
                self._round = Round(self, {watch for watch in self._threads if watch.trusted})
                for watch in self._threads:
                    if not watch.running:
                        watch.start()
            return self._round

    def close_round(self, open_round: Round) -> list[tuple[Family, bytes]]:
        """Close a round and gather its samples."""
        with self._lock:
            return self._gather(open_round) if open_round.collected is None else open_round.collected

    def close(self) -> None:
        """Close the open round and end the threads; a hung one ends when its target lets it go."""
        with self._lock:
            if self._round is not None:
                self._gather(self._round)
        for watch in self._watches:
            watch.stop()

    def _gather(self, open_round: Round) -> list[tuple[Family, bytes]]:
        self._round = None
        for watch in open_round.awaited:
            watch.trusted = False
            watch.note("late")
        open_round.collected = list(self._samples())
        return open_round.collected

    def _samples(self) -> Samples:
        now, rows = time.monotonic(), []
        for watch in self._watches:
            if not watch.source.may_hang:
                watch.run_here()
            arrived = not watch.running
            success = arrived and watch.success
            yield from watch.samples if success else watch.source.down()
            seconds = watch.seconds if arrived else now - watch.started_at
            rows.append((number(int(success)), number(round(seconds, 6))))
        yield from self._block.render(self._labels, rows)

    def _on_finished(self, watch: Watch) -> None:
        with self._lock:
            watch.running = False
            current = self._round
            if current is None or watch not in current.awaited:
                return
            current.awaited.discard(watch)
            complete = current.complete
        if complete:
            self._notify()
