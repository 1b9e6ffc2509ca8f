"""One collector under watch: its thread if it may hang, how its last run went, and what it may put on a page."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from enum import Enum
from queue import SimpleQueue

from msgspec import Struct

from perfloop.collectors.cap import MAX_SERIES, capped
from perfloop.errors import PerfloopError
from perfloop.protocols import Collector, Piece

logger = logging.getLogger(__name__)

BUDGET_SECONDS = 0.5
_LATE = "late"


class Order(Enum):
    """What a watch's thread is told."""

    RUN = "run"
    STOP = "stop"


class Delivery(Struct, frozen=True):
    """What one run brought, and how long it took."""

    samples: Sequence[Piece]
    success: bool
    seconds: float


class Watch:
    """One collector, its thread if it may hang, and how its last run went.

    `trusted` says whether a scrape waits for it: not after a failure, nor after it was late; once it is punctual again,
    yes. A run that was late but ended well is forgiven once, so that a target that was merely paused is back at once.
    """

    def __init__(
        self, source: Collector, *, budget_seconds: float = BUDGET_SECONDS, max_series: int = MAX_SERIES
    ) -> None:
        self.source, self.budget_seconds, self.max_series = source, budget_seconds, max_series
        self.labels = (source.name, source.component)
        self.running, self.trusted, self.started_at = False, True, 0.0
        # What the last run brought; to be asked in the thread that ran.
        self.delivery = Delivery((), success=False, seconds=0.0)
        # Unix seconds as a token; nothing before the first success.
        self.succeeded_at = b""
        self.dropped = 0
        self.finished: Callable[[Watch], None] = lambda _: None
        self.stopped = False
        self._forgiving = True
        # What the log said last of why it fails.
        self._told: str | None = None
        self._orders: SimpleQueue[Order] = SimpleQueue()
        if source.may_hang:
            name = f"{source.name} {source.component}".strip()
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def start(self) -> None:
        """Begin a run in the thread, which calls `finished`. Must not be called while one is running."""
        self.running, self.started_at = True, time.monotonic()
        self._orders.put(Order.RUN)

    def run_here(self) -> Delivery:
        """Run in the caller's thread, and return what that brought."""
        self.started_at = time.monotonic()
        self._run()
        return self.delivery

    def stop(self) -> None:
        """End the thread when its present run ends, and close the collector."""
        self.stopped = True
        if self.source.may_hang:
            self._orders.put(Order.STOP)
        else:
            self.source.close()

    def late(self) -> None:
        """Note that a scrape waited in vain."""
        self.trusted = False
        self._note(_LATE)

    @property
    def _reason_is_unknown(self) -> bool:
        return self._told is None or self._told == _LATE

    def _note(self, problem: str | None) -> None:
        """Log when a source fails, why as soon as that is known, and when it recovers: not each scrape in between."""
        fields = {"collector": self.source.name, "component": self.source.component}
        if problem is None:
            logger.info("collector recovered", extra=fields)
            self._told = None
        elif self._reason_is_unknown and problem != self._told:
            logger.warning("collector failed", extra={**fields, "reason": problem})
            self._told = problem

    def _work(self) -> None:
        while self._orders.get() is Order.RUN:
            self._run()
            self.finished(self)
        self.source.close()

    def _run(self) -> None:
        samples, problem = self._collect()
        success, seconds = problem is None, time.monotonic() - self.started_at
        self.delivery = Delivery(samples, success, seconds)
        punctual = seconds <= self.budget_seconds
        self.trusted = success and (punctual or self._forgiving)
        self._forgiving = success and punctual
        if success:
            self.succeeded_at = b"%.3f" % time.time()
        if problem is not None or (punctual and self._told is not None):
            self._note(problem)

    def _collect(self) -> tuple[Sequence[Piece], str | None]:
        try:
            samples, dropped = capped(list(self.source.collect()), max_series=self.max_series)
        except (PerfloopError, OSError) as error:
            return [], f"{type(error).__name__}: {error}"
        except ModuleNotFoundError as error:
            return [], f"the library {error.name} is missing; type: pip install 'perfloop[all]'"
        except Exception as error:
            # Nobody foresaw this one: its place in the code is worth more than its text.
            if self._reason_is_unknown:
                logger.exception("collector broke", extra={"collector": self.source.name})
            return [], type(error).__name__
        if dropped and not self.dropped:
            fields = {"collector": self.source.name, "component": self.source.component, "dropped": dropped}
            logger.warning("too many series in a family; the rest is not shown", extra=fields)
        self.dropped += dropped
        return samples, None
