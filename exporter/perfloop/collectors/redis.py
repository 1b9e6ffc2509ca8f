"""Clients, memory, persistence, replication, keyspace, commands and slow commands of a Redis server, from INFO.

The user needs `+info`, and for the rest `+config|get +slowlog|len +slowlog|get +latency|latest +cluster|info`; what it
may not do costs only the samples that come from there.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, ClassVar

from perfloop.collectors.keyvalue.redis_families import FAMILIES
from perfloop.collectors.keyvalue.redis_page import RedisPage
from perfloop.collectors.keyvalue.redis_reply import CLUSTER_COMMAND, COMMANDS, parse
from perfloop.collectors.keyvalue.resp import Connection
from perfloop.exposition.text import Samples
from perfloop.model import Component, Family

if TYPE_CHECKING:
    from perfloop.collectors.compat.redis import RedisCompat


class RedisCollector:
    """Sends all its commands in one go, over one kept connection; a member of a cluster is asked for that, too."""

    name: ClassVar[str] = "redis"
    may_hang: ClassVar[bool] = True
    families: ClassVar[tuple[Family, ...]] = FAMILIES

    def __init__(self, component: Component, *, timeout_seconds: float = 5.0, compat: bool = False) -> None:
        self.component, self._connection = component.name, Connection(component, timeout_seconds=timeout_seconds)
        self._commands = COMMANDS
        self._compat = _compat(component.name) if compat else None
        self._page = RedisPage(component.name, aliases=self._compat.aliases if self._compat else {})

    def collect(self) -> Samples:
        """Ask the server. Raises Unavailable, or Rejected when INFO is refused."""
        text, *others = self._connection.ask(*self._commands)
        if b"\ncluster_enabled:1" in text and CLUSTER_COMMAND not in self._commands:
            # Elsewhere it is an error, which the server would count.
            self._commands = (*COMMANDS, CLUSTER_COMMAND)
            text, *others = self._connection.ask(*self._commands)
        answers = parse(text, *others)
        return chain(self._page.samples(answers), self._compat.samples(answers) if self._compat else ())

    def down(self) -> Samples:
        """Say that the server is not up."""
        return self._page.down()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _compat(component: str) -> RedisCompat:
    from perfloop.collectors.compat.redis import RedisCompat  # noqa: PLC0415 - only if it is asked for

    return RedisCompat(component)
