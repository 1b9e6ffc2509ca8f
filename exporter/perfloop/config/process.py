"""What one value cannot say alone of the watched processes."""

from __future__ import annotations

import re

from perfloop.config.reader import Document
from perfloop.config.schema import Config
from perfloop.config.schema.process import ProcessGroup

SELECTORS = ("pid", "pid_file", "names", "command_line", "systemd_unit", "cgroup", "user")


def check_process(document: Document, config: Config) -> None:
    """Report groups of one name, and groups that say nothing of their processes, or too much."""
    seen: set[str] = set()
    for i, group in enumerate(config.collectors.process.groups):
        path = f"collectors.process.groups[{i}]"
        if group.name in seen:
            document.report(f"{path}.name", f"there is a group {group.name!r} above")
        seen.add(group.name)
        _check_selectors(document, path, group)
        _check_pattern(document, path, group)


def _check_selectors(document: Document, path: str, group: ProcessGroup) -> None:
    said = [name for name in SELECTORS if getattr(group, name) is not None]
    if len(said) != 1:
        got = " and ".join(said) or "none of them"
        document.report(path, f"expected exactly one of {', '.join(SELECTORS)}, got {got}")


def _check_pattern(document: Document, path: str, group: ProcessGroup) -> None:
    try:
        re.compile(group.command_line or "")
    except re.error as error:
        document.report(f"{path}.command_line", f"expected a regular expression, got {group.command_line!r}: {error}")
