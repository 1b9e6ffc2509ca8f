"""The arithmetic of one parameter: from the value that stands there and the policy's step to the next value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

from msgspec import Struct, field

from perfloop.errors import ActionRefused
from perfloop.model import Step

NUMBER = re.compile(r"\s*(-?\d+(?:\.\d+)?(?:[eE]-?\d+)?)\s*([a-zA-Z]*)\s*")

BYTES = {"B": Decimal(1), "kB": Decimal(1024), "MB": Decimal(1024**2), "GB": Decimal(1024**3), "TB": Decimal(1024**4)}
MILLISECONDS = {
    "us": Decimal("0.001"),
    "ms": Decimal(1),
    "s": Decimal(1000),
    "min": Decimal(60_000),
    "h": Decimal(3_600_000),
    "d": Decimal(86_400_000),
}


class Values(Protocol):
    """The values that a setting can have, and how a system writes them."""

    def next(self, before: str, step: Step) -> str:
        """Return the value that the step leads to, written as the system does. Raises ActionRefused with the reason."""


class Parameter(Struct, frozen=True, kw_only=True):
    """One thing a policy may move: the system's `key` for it and its values."""

    key: str
    values: Values


class Words(Struct, frozen=True, kw_only=True):
    """A closed set of words; `spellings` maps what users may write to what the system writes."""

    spellings: Mapping[str, str]

    def next(self, before: str, step: Step) -> str:  # noqa: ARG002 - a word does not follow from another
        """Return the step's word in the system's spelling."""
        if step.set is None:
            raise ActionRefused("has words as values: it needs set")
        if step.set.lower() not in self.spellings:
            raise ActionRefused(f"{step.set!r} is none of {', '.join(dict.fromkeys(self.spellings.values()))}")
        return self.spellings[step.set.lower()]


class Quantity(Struct, frozen=True, kw_only=True):
    """Numbers in whole `grain`s (0: any number), written with one of `units` or, where `bare` is given, without.

    `bare` is what a number without unit is worth. Where it is None, only 0 and negative numbers, which have meanings of
    their own, go without a unit. Where `zero_is_unlimited`, there is nothing to raise at 0.
    """

    grain: Decimal = Decimal(1)
    units: Mapping[str, Decimal] = field(default_factory=dict)
    bare: Decimal | None = Decimal(1)
    zero_is_unlimited: bool = False

    def next(self, before: str, step: Step) -> str:
        """Move to `set`, or up by `increase_ratio`: at least one grain, at most to `max`, which growth must have."""
        if (step.set is None) == (step.increase_ratio is None):
            raise ActionRefused("expected exactly one of set and increase_ratio")
        if step.set is not None:
            return self.write(self._bounded(step.set, step))
        return self.write(self._increased(before, step))

    def read(self, text: str) -> Decimal:
        """Read any spelling: 64MB, 65536 kB, 0.5h. Raises ActionRefused when it is none."""
        match = NUMBER.fullmatch(text)
        if match is None:
            raise ActionRefused(f"{text!r} is not a number{self._hint()}")
        number, unit = Decimal(match[1]), match[2].lower()
        if unit:
            sizes = {name.lower(): size for name, size in self.units.items()}
            if unit not in sizes:
                raise ActionRefused(f"{text!r} has an unknown unit{self._hint()}")
            return number * sizes[unit]
        if self.bare is None and number > 0:
            raise ActionRefused(f"{text!r} has no unit{self._hint()}")
        return number * (self.bare or 1)

    def write(self, value: Decimal) -> str:
        """Write it as the system does, so that what is read back compares as text."""
        if self.grain == 0:
            return f"{float(value):g}"
        if self.bare is not None:
            return plain(value / self.bare)
        if value <= 0:
            return plain(value)
        name, size = [(name, size) for name, size in self.units.items() if value % size == 0][-1]
        return f"{plain(value / size)}{name}"

    def _bounded(self, text: str, step: Step) -> Decimal:
        value = self.read(text)
        if value != self._whole(value):
            raise ActionRefused(f"{text} is not a multiple of {self.write(self.grain)}")
        if step.min is not None and value < self.read(step.min):
            raise ActionRefused(f"{text} is below min {step.min}")
        if step.max is not None and value > self.read(step.max):
            raise ActionRefused(f"{text} is above max {step.max}")
        return value

    def _increased(self, before: str, step: Step) -> Decimal:
        if step.increase_ratio is None or step.increase_ratio <= 0:
            raise ActionRefused(f"increase_ratio must be above 0, got {step.increase_ratio}; to lower it use set")
        if step.max is None:
            raise ActionRefused("increase_ratio needs max: it must end somewhere")
        present = self.read(before)
        if present < 0 or (present == 0 and self.zero_is_unlimited):
            raise ActionRefused(f"is {before}, which means no limit: there is nothing to raise")
        grown = self._whole(present * (1 + Decimal(str(step.increase_ratio))))
        after = min(max(grown, present + self.grain), self._whole(self.read(step.max)))
        if after <= present:
            raise ActionRefused(f"is {before}, max {step.max}")
        return after

    def _whole(self, value: Decimal) -> Decimal:
        return value - value % self.grain if self.grain else value

    def _hint(self) -> str:
        return f"; units are {', '.join(self.units)}" if self.units else ""


COUNT = Quantity()
RATIO = Quantity(grain=Decimal(0))


def plain(value: Decimal) -> str:
    """Write a number without exponent and without zeros at its end."""
    return f"{value.normalize():f}"


def switch(on: str, off: str) -> Words:
    """Make two words of all the spellings that YAML and users have for them."""
    spellings = {**dict.fromkeys(("on", "yes", "true"), on), **dict.fromkeys(("off", "no", "false"), off)}
    return Words(spellings=spellings)
