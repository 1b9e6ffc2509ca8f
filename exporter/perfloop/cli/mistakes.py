"""Mistakes in perfloop.yml for programs: with --output json they are data on stdout, and not lines on stderr."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from perfloop.cli.printing import show_json
from perfloop.errors import ConfigInvalid

_PLACE = re.compile(r"(?P<file>.+?):(?P<line>\d+): (?P<message>.*)", re.DOTALL)


class Mistake(Struct, frozen=True, kw_only=True):
    """One mistake; `line` is null where it has no single place."""

    file: str
    line: int | None
    message: str


class Refused(Struct, frozen=True, kw_only=True):
    """What `check` and `compile` say of a file with mistakes, or with findings of promtool and amtool."""

    file: str
    mistakes: list[Mistake] = []
    findings: tuple[str, ...] = ()
    ok: bool = False


@contextmanager
def as_json(file: Path, output: str) -> Iterator[None]:
    """Print mistakes as JSON if that is wanted, and exit with 1; else leave them to whoever prints lines."""
    try:
        yield
    except ConfigInvalid as error:
        if output != "json":
            raise
        show_json(Refused(file=str(file), mistakes=[_mistake(problem, file) for problem in error.problems]))
        sys.exit(1)


def _mistake(problem: str, file: Path) -> Mistake:
    found = _PLACE.fullmatch(problem)
    if not found:
        return Mistake(file=str(file), line=None, message=problem)
    return Mistake(file=found["file"], line=int(found["line"]), message=found["message"])
