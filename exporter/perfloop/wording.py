"""Sentences compared without their numbers: "9 of 20 samples" and "11 of 20 samples" are the same news."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"\d+(\.\d+)?")


def says_the_same(one: str, other: str) -> bool:
    """Say whether two sentences differ in their numbers only."""
    return _NUMBER.sub("", one) == _NUMBER.sub("", other)
