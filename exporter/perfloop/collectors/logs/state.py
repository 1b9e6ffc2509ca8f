"""Positions and counters in one file, so that whoever is killed in between neither loses a line nor counts it twice."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
from msgspec import Struct, field

from perfloop.collectors.logs.counts import Totals
from perfloop.collectors.logs.tail import Followed

logger = logging.getLogger(__name__)


class State(Struct, kw_only=True):
    """What is stored after each collection; `path` and `routes` say what it is the state of."""

    path: str
    routes: list[str]
    max_routes: int
    known_routes: list[str] = field(default_factory=list)
    followed: Followed = field(default_factory=Followed)
    totals: Totals = field(default_factory=Totals)


class StateFile:
    """Replaces its content as a whole: it is the old one or the new one, whenever one looks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stored = b""

    def load(self) -> State | None:
        """Return what was stored, or None when there is nothing or it cannot be read."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=State)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            fields = {"file": str(self._path), "reason": str(error)}
            logger.warning("the log's position cannot be read, and is forgotten", extra=fields)
            return None

    def save(self, state: State) -> None:
        """Store a state. Raises OSError; what was stored before stays then."""
        content = msgspec.json.encode(state)
        if content == self._stored:
            return
        new = self._path.with_suffix(".new")
        try:
            new.write_bytes(content)
        except FileNotFoundError:
            new.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new.write_bytes(content)
        new.replace(self._path)
        self._stored = content
