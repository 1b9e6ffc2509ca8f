"""From `process` to the collector of groups of processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import structs

from perfloop.app.recipe import Recipe
from perfloop.collectors.process import watch
from perfloop.collectors.processes.groups import Group
from perfloop.config.schema import Collectors
from perfloop.config.schema.process import ProcessGroup
from perfloop.model import Paths


def process(sections: Collectors, *, base: Path, paths: Paths) -> Iterator[Recipe]:
    """Say which groups of processes are watched."""
    groups = [_group(section, base=base) for section in sections.process.groups]
    yield Recipe(watch, groups, proportional=sections.process.proportional_memory, proc=paths.procfs)


def _group(section: ProcessGroup, *, base: Path) -> Group:
    said = {name: value for name, value in structs.asdict(section).items() if value is not None}
    if section.pid_file is not None:
        said["pid_file"] = base / section.pid_file
    # The workers of a daemon are meant, too, where only its own pid can be told.
    children = section.pid is not None or section.pid_file is not None
    return Group(**{"children": children, **said})
