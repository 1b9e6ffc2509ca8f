"""Times on the command line: `7d` ago, `now`, an ISO 8601 time, or Unix seconds."""

from __future__ import annotations

import time
from datetime import datetime

import click

from perfloop.rules.promql import seconds_of


class Moment(click.ParamType):  # type: ignore[type-arg]  # older ones have no argument
    """A time as Unix seconds. A date without a zone is local."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a time; click.UsageError otherwise."""
        text = str(value)
        for read in (float, _ago, _written):
            try:
                return read(text)
            except (ValueError, OverflowError):
                continue
        expected = "7d or 90m (so long ago), now, 2026-11-20T12:00, or Unix seconds"
        return self.fail(f"{text!r} is no time; expected {expected}", param, ctx)


def local(at: float) -> str:
    """Return a time as people read it."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def length(seconds: float) -> str:
    """Return how long something took, in its two largest units: `2h 5m`."""
    left, parts = round(seconds), []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"


def _ago(text: str) -> float:
    return time.time() - (0 if text == "now" else seconds_of(text))


def _written(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
