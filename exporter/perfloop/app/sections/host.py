"""From `system`, `cgroup` and `network` to the collectors that ask this host's kernel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from perfloop.app.recipe import Recipe
from perfloop.collectors.cgroup import CgroupCollector
from perfloop.collectors.filesystem import FilesystemCollector
from perfloop.collectors.links import LinksCollector
from perfloop.collectors.network import NetworkCollector
from perfloop.collectors.sockets import SocketsCollector
from perfloop.collectors.system import SystemCollector
from perfloop.collectors.table import Survey
from perfloop.config.schema import Collectors
from perfloop.exposition.block import Aliases
from perfloop.model import Paths


def host(sections: Collectors, *, paths: Paths, compat: frozenset[str]) -> Iterator[Recipe]:
    """Say which collectors of the host there are; with `node` in `compat`, they take node_exporter's names too."""
    aliases, surveys, numbers = _node() if "node" in compat else ({}, {}, {})
    if sections.system.enabled:
        yield Recipe(SystemCollector, paths, without=sections.system.without, aliases=aliases, surveys=surveys)
        yield Recipe(FilesystemCollector, paths, aliases=aliases)
    if sections.cgroup.enabled:
        yield Recipe(CgroupCollector, sections.cgroup.groups, paths)
    if sections.network.enabled:
        limit = sections.network.max_connections
        yield Recipe(NetworkCollector, paths, aliases=aliases, surveys=surveys)
        yield Recipe(LinksCollector, paths, aliases=aliases, numbers=numbers)
        yield Recipe(SocketsCollector, paths, max_connections=limit, aliases=aliases, surveys=surveys)


def _node() -> tuple[Aliases, Mapping[str, Sequence[Survey]], Any]:
    from perfloop.collectors.compat import node  # noqa: PLC0415 - a thousand names, only if asked for

    return node.ALIASES, node.SURVEYS, node.ATTRIBUTES
