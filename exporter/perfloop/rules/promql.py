"""How durations and numbers are written in PromQL, and how text is put into its strings."""

from __future__ import annotations

_UNITS = (("d", 86400), ("h", 3600), ("m", 60))


def duration(seconds: int) -> str:
    """Return whole seconds in the largest unit that divides them: 300 is `5m`, 90 is `90s`."""
    for unit, size in _UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def number(value: float) -> str:
    """Return the shortest literal that reads back as the same number: 70.0 is `70`."""
    return repr(float(value)).removesuffix(".0")
