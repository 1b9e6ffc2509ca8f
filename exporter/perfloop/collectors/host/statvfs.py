"""statvfs of mounts that may hang: a thread for each, so that a dead server takes nothing but its own numbers."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from enum import Enum
from queue import SimpleQueue

StatVfs = Callable[[bytes], os.statvfs_result]
# How long a scrape waits for the slowest of them, and only for those that were in time when they were last asked.
PATIENCE_SECONDS = 0.25


class Order(Enum):
    """What an asker's thread is told."""

    ASK = "ask"
    END = "end"


class Asker:
    """Asks for one mount in its own thread, one question at a time."""

    def __init__(self, path: bytes, statvfs: StatVfs) -> None:
        self._path, self._statvfs = path, statvfs
        self._orders: SimpleQueue[Order] = SimpleQueue()
        self._answered = threading.Event()
        self._answer: os.statvfs_result | None = None
        self._asked_at = 0.0
        self.busy, self.punctual = False, True
        threading.Thread(target=self._work, name=f"statvfs {os.fsdecode(path)}", daemon=True).start()

    def ask(self) -> None:
        """Begin. Must not be called while it is busy."""
        self.busy, self._asked_at = True, time.monotonic()
        self._answered.clear()
        self._orders.put(Order.ASK)

    def answer(self, *, until: float) -> os.statvfs_result | None:
        """Return the answer, None if there is none: an error, or no answer yet."""
        if self.punctual and not self._answered.wait(max(0.0, until - time.monotonic())):
            self.punctual = False
        return self._answer if self._answered.is_set() and self.punctual else None

    def end(self) -> None:
        """End the thread, once the kernel lets it go."""
        self._orders.put(Order.END)

    def _work(self) -> None:
        while self._orders.get() is Order.ASK:
            try:
                self._answer = self._statvfs(self._path)
            except OSError:
                self._answer = None
            self.punctual = time.monotonic() - self._asked_at <= PATIENCE_SECONDS
            self.busy = False
            self._answered.set()


class Askers:
    """As many askers as there are mounts that may hang; threads that hang on a mount that is gone end with it."""

    def __init__(self, statvfs: StatVfs = os.statvfs) -> None:
        self._statvfs = statvfs
        self._askers: dict[bytes, Asker] = {}

    def ask(self, paths: Sequence[bytes]) -> dict[bytes, os.statvfs_result | None]:
        """Ask all that are not still busy, side by side; return what is there in time."""
        if not paths and not self._askers:
            return {}
        self._follow(paths)
        asked = {path: asker for path, asker in self._askers.items() if not asker.busy}
        for asker in asked.values():
            asker.ask()
        until = time.monotonic() + PATIENCE_SECONDS
        answers = {path: asker.answer(until=until) for path, asker in asked.items()}
        return {path: answers.get(path) for path in paths}

    def close(self) -> None:
        """End the threads. Twice is harmless."""
        self._follow(())

    def _follow(self, paths: Sequence[bytes]) -> None:
        for path in self._askers.keys() - set(paths):
            self._askers.pop(path).end()
        for path in paths:
            if path not in self._askers:
                self._askers[path] = Asker(path, self._statvfs)
