"""Sentences for people: compared without their numbers, and rid of what would steer a terminal."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"\d+(\.\d+)?")


def says_the_same(one: str, other: str) -> bool:
    """Say whether two sentences differ in their numbers only: "9 of 20 samples" and "11 of 20 samples" are one news."""
    return _NUMBER.sub("", one) == _NUMBER.sub("", other)


def printable(text: str) -> str:
    """Return text that others wrote (labels, log lines) without control characters."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
