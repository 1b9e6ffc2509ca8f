"""How durations and numbers are written in PromQL, and how text is put into its strings."""

from __future__ import annotations

import re

_UNITS = (("d", 86400), ("h", 3600), ("m", 60))
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_PART = re.compile(r"(\d+)(ms|[smhdwy])")
_DURATION = re.compile(r"0|(\d+(ms|[smhdwy]))+")


def duration(seconds: int) -> str:
    """Return whole seconds in the largest unit that divides them: 300 is `5m`, 90 is `90s`."""
    for unit, size in _UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def number(value: float) -> str:
    """Return the shortest literal that reads back as the same number: 70.0 is `70`."""
    return repr(float(value)).removesuffix(".0")


def seconds_of(text: str) -> float:
    """Return how long `15d`, `1h30m` or `90s` is. Raises ValueError for what is no duration."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is no duration")
    return sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
