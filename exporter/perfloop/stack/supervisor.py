"""Starts child processes, restarts those that die, and ends them all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from perfloop.errors import StackFailed
from perfloop.stack.process import Child

_READY_SECONDS = 30.0
_BACKOFF_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
_STABLE_SECONDS = 60.0


class Supervisor:
    """Owns the children. `say` gets one line for each thing that happens to one of them."""

    def __init__(
        self,
        children: Sequence[Child],
        *,
        say: Callable[[str, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.children = list(children)
        self._say, self._clock = say, clock
        self._deaths: dict[str, int] = {}
        self._restart_at: dict[str, float] = {}
        self._started_at: dict[str, float] = {}

    def start(self, *, stop: threading.Event | None = None) -> None:
        """Start every child and wait until each serves, or until `stop` is set.

        Raises StackFailed when one dies or stays silent; all are ended then.
        """
        stop = stop or threading.Event()
        try:
            for child in self.children:
                self._start(child)
            waiting, deadline = self.children, time.monotonic() + _READY_SECONDS
            while waiting and not stop.wait(0.05):
                waiting = [child for child in waiting if not self._has_become_ready(child, deadline)]
        except BaseException:
            self.stop()
            raise

    def watch(self) -> None:
        """Restart what has died, with back-off. To be called again and again."""
        for child in self.children:
            if child.is_alive():
                self._forgive(child)
            elif child.name not in self._restart_at:
                self._plan_restart(child)
            elif self._clock() >= self._restart_at[child.name]:
                del self._restart_at[child.name]
                self._start(child)
                self._say(child.name, f"started again, pid {child.pid}")

    def state(self, child: Child) -> str:
        """Say in a word how a child is."""
        if not child.is_alive():
            return "restarting"
        return "ready" if child.is_ready() else "not ready"

    def stop(self) -> None:
        """End every child, the last one first. Twice is harmless."""
        for child in reversed(self.children):
            try:
                child.stop()
            except StackFailed as error:
                self._say(child.name, str(error))

    def _start(self, child: Child) -> None:
        self._started_at[child.name] = self._clock()
        child.start()

    def _has_become_ready(self, child: Child, deadline: float) -> bool:
        if not child.has_become_ready(deadline):
            return False
        self._say(child.name, f"ready in {self._clock() - self._started_at[child.name]:.1f} s")
        return True

    def _plan_restart(self, child: Child) -> None:
        child.stop()  # what it has left behind
        deaths = self._deaths.get(child.name, 0)
        wait_seconds = _BACKOFF_SECONDS[min(deaths, len(_BACKOFF_SECONDS) - 1)]
        self._deaths[child.name] = deaths + 1
        self._restart_at[child.name] = self._clock() + wait_seconds
        self._say(child.name, f"{_end(child)}; again in {wait_seconds:g} s")

    def _forgive(self, child: Child) -> None:
        if self._deaths.get(child.name) and self._clock() - self._started_at[child.name] > _STABLE_SECONDS:
            self._deaths[child.name] = 0


def _end(child: Child) -> str:
    """Say how a child ended; one that was killed had no time for last words."""
    code = child.exit_code() or 0
    return f"killed by signal {-code}" if code < 0 else f"ended with {code}: {child.last_words()}"
