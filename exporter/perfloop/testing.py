"""Doubles for tests of plug-ins: a clock that stands, a component in memory, and failures that come when asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import StrEnum

from perfloop.errors import OutcomeUnknown, Rejected, Unavailable
from perfloop.model import Setting
from perfloop.protocols import Driver


class FakeClock:
    """A Clock that moves only when told."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time, in Unix seconds."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class Fault(StrEnum):
    """What goes wrong with one call."""

    UNAVAILABLE = "unavailable"  # refused, unreachable or hung: after the driver's own time limit nothing came
    REJECTED = "rejected"
    LOST_BEFORE = "lost_before"  # no answer, and the write never arrived
    LOST_AFTER = "lost_after"  # no answer, and the write took place


class MemoryDriver(Driver):
    """Settings in a dict: `defaults` are the system's own, `settings` are explicit, `obstacles` are reasons by key."""

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        defaults: Mapping[str, str] | None = None,
        obstacles: Mapping[str, str] | None = None,
    ) -> None:
        self._settings, self._defaults = dict(settings or {}), dict(defaults or {})
        self._obstacles = dict(obstacles or {})

    def get(self, key: str) -> Setting:
        """Read an explicit value, else the default."""
        if key in self._settings:
            return Setting(value=self._settings[key])
        if key in self._defaults:
            return Setting(value=self._defaults[key], explicit=False)
        raise Rejected(f"there is no setting {key}")

    def set(self, key: str, value: str) -> None:
        """Write an explicit value."""
        self.get(key)
        self._settings[key] = value

    def reset(self, key: str) -> None:
        """Forget the explicit value."""
        if key not in self._defaults:
            raise Rejected(f"{key} has no default")
        self._settings.pop(key, None)

    def obstacle(self, key: str) -> str | None:
        """Return the reason that the test gave."""
        return self._obstacles.get(key)


class FaultyDriver(Driver):
    """Any driver, real or in memory, whose next calls fail as the test says; it counts the writes that arrived."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._reads: deque[Fault | None] = deque()
        self._writes: deque[Fault | None] = deque()
        self.writes = 0

    def fail_reads(self, *faults: Fault | None) -> None:
        """Let the next reads fail, in this order; None lets one pass."""
        self._reads.extend(faults)

    def fail_writes(self, *faults: Fault | None) -> None:
        """Let the next writes fail, in this order; None lets one pass."""
        self._writes.extend(faults)

    def get(self, key: str) -> Setting:
        """Read, or fail."""
        self._read()
        return self._driver.get(key)

    def obstacle(self, key: str) -> str | None:
        """Ask, or fail."""
        self._read()
        return self._driver.obstacle(key)

    def set(self, key: str, value: str) -> None:
        """Write, or fail before or after."""
        fault = self._before_write()
        self._driver.set(key, value)
        self._after_write(fault)

    def reset(self, key: str) -> None:
        """Reset, or fail before or after."""
        fault = self._before_write()
        self._driver.reset(key)
        self._after_write(fault)

    def _read(self) -> None:
        if (self._reads.popleft() if self._reads else None) is not None:
            raise Unavailable("the test asked for no answer")

    def _before_write(self) -> Fault | None:
        fault = self._writes.popleft() if self._writes else None
        if fault is Fault.UNAVAILABLE:
            raise Unavailable("the test asked for no connection")
        if fault is Fault.REJECTED:
            raise Rejected("the test asked for a no")
        if fault is Fault.LOST_BEFORE:
            raise OutcomeUnknown("the test asked for a lost request")
        return fault

    def _after_write(self, fault: Fault | None) -> None:
        self.writes += 1
        if fault is Fault.LOST_AFTER:
            raise OutcomeUnknown("the test asked for a lost answer")
