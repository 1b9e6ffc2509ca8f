"""Compiled files onto the disk: all or none, and never over somebody else's file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from perfloop.errors import PerfloopError

_HEADER = "# compiled from "
_PRODUCED = ("*.yml", "*.flags", "rules/*.yml")


class Written(StrEnum):
    """What became of a file."""

    WROTE = "wrote"
    UNCHANGED = "unchanged"
    REMOVED = "removed"


def write_all(files: Mapping[str, str], out: Path) -> dict[str, Written]:
    """Write the files below `out`, and remove those that an older compile left there; say what became of each.

    Everything is written beside its place first and then renamed, so that a full disk leaves the old files alone.
    Raises PerfloopError, having written nothing, if a file of that name is not one of ours.
    """
    for name in files:
        if (out / name).exists() and not _is_ours(out / name):
            raise PerfloopError(f"{out / name} was not written by perfloop; move it away, or choose another --out")
    try:
        changed = {name: text for name, text in files.items() if _read(out / name) != text}
        stale = [path for path in _ours(out) if path.relative_to(out).as_posix() not in files]
        _replace(changed, out)
        for path in stale:
            path.unlink()
    except OSError as error:
        raise PerfloopError(f"cannot write {error.filename or out}: {error.strerror}") from error
    removed = dict.fromkeys((path.relative_to(out).as_posix() for path in stale), Written.REMOVED)
    return {name: Written.WROTE if name in changed else Written.UNCHANGED for name in files} | removed


def _replace(files: Mapping[str, str], out: Path) -> None:
    parts = {name: out / f"{name}.part" for name in files}
    try:
        for name, text in files.items():
            parts[name].parent.mkdir(parents=True, exist_ok=True)
            parts[name].write_text(text, encoding="utf-8")
        for name, part in parts.items():
            os.replace(part, out / name)  # noqa: PTH105 - the word for an atomic rename
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _ours(out: Path) -> list[Path]:
    return sorted(path for pattern in _PRODUCED for path in out.glob(pattern) if _is_ours(path))


def _is_ours(path: Path) -> bool:
    text = _read(path)
    return text is not None and text.startswith(_HEADER)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError):
        return None
