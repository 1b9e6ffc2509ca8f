"""How to make one collector, comparable, so that a reload knows which of the running ones may go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perfloop.protocols import Collector


class Recipe:
    """A collector's class and arguments. Two that are equal make the same collector.

    A reload keeps the running one then, with its connection and what it has counted.
    """

    __hash__ = None  # type: ignore[assignment]  # arguments need no hash

    def __init__(self, make: Callable[..., Collector], *args: Any, **keywords: Any) -> None:  # noqa: ANN401
        self._parts = (make, args, keywords)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and self._parts == other._parts

    def make(self) -> Collector:
        """Return a new collector."""
        make, args, keywords = self._parts
        return make(*args, **keywords)
