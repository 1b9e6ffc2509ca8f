"""Clients, memory, keyspace and commands of a Redis server, from INFO."""

from __future__ import annotations

import re
from itertools import chain
from typing import ClassVar

from perfloop.collectors.resp import Connection
from perfloop.exposition.block import Block
from perfloop.exposition.text import Samples, number
from perfloop.model import Component, Family, MetricType


def _family(name: str, text: str, *labels: str) -> Family:
    kind = MetricType.COUNTER if name.endswith("_total") else MetricType.GAUGE
    return Family(name=f"perfloop_redis_{name}", type=kind, help=text, labels=("component", *labels))


UP = _family("up", "Whether the Redis server answered INFO in time.")
START = _family("start_timestamp_seconds", "When the server was started, from uptime_in_seconds of INFO.")
MAX_MEMORY = _family("memory_max_bytes", "The setting maxmemory, from INFO; none where there is no limit.")
# What INFO says about the server as a whole: family, key.
SERVER = (
    (_family("clients", "Connected clients, connected_clients of INFO."), b"connected_clients"),
    (_family("blocked_clients", "Clients in a blocking command, blocked_clients of INFO."), b"blocked_clients"),
    (_family("memory_used_bytes", "Memory that Redis allocated, used_memory of INFO."), b"used_memory"),
    (_family("keyspace_hits_total", "Key look-ups that found the key, keyspace_hits of INFO."), b"keyspace_hits"),
    (_family("keyspace_misses_total", "Key look-ups that did not, keyspace_misses of INFO."), b"keyspace_misses"),
    (_family("evicted_keys_total", "Keys evicted for want of memory, evicted_keys of INFO."), b"evicted_keys"),
    (_family("expired_keys_total", "Keys that expired, expired_keys of INFO."), b"expired_keys"),
    (
        _family("connections_received_total", "Connections accepted, total_connections_received of INFO."),
        b"total_connections_received",
    ),
)
KEYS = _family("keys", "Keys in each database, from the keyspace section of INFO.", "db")
COMMANDS = _family("commands_total", "Calls of each command, from commandstats of INFO.", "command")
COMMAND_SECONDS = _family("command_seconds_total", "Time spent in each command, commandstats of INFO.", "command")

_SERVER_LINE = re.compile(rb"^(\w+):([^\r]*)\r$", re.MULTILINE)
_KEYS_LINE = re.compile(rb"^db(\d+):keys=(\d+)", re.MULTILINE)
_COMMAND_LINE = re.compile(rb"^cmdstat_([^:]+):calls=(\d+),usec=(\d+)", re.MULTILINE)


class RedisCollector:
    """Sends INFO over one kept connection."""

    name: ClassVar[str] = "redis"
    may_hang: ClassVar[bool] = True
    families: ClassVar[tuple[Family, ...]] = (
        UP,
        *(family for family, _ in SERVER),
        MAX_MEMORY,
        START,
        KEYS,
        COMMANDS,
        COMMAND_SECONDS,
    )

    def __init__(self, component: Component, *, timeout_seconds: float = 5.0) -> None:
        self.component, self._connection = component.name, Connection(component, timeout_seconds=timeout_seconds)
        fixed = (component.name,)
        self._up, self._server = (
            Block([UP], fixed=fixed),
            Block([*(f for f, _ in SERVER), MAX_MEMORY, START], fixed=fixed),
        )
        self._keys = Block([KEYS], fixed=fixed)
        self._commands = Block((COMMANDS, COMMAND_SECONDS), fixed=fixed, exponents={COMMAND_SECONDS: -6})

    def collect(self) -> Samples:
        """Ask the server. Raises Unavailable."""
        text = self._connection.ask("INFO", "all")
        values = dict(_SERVER_LINE.findall(text))
        server = [*(values.get(key, b"") for _, key in SERVER), _limit(values), _started_at(values)]
        keys = _KEYS_LINE.findall(text)
        commands = _COMMAND_LINE.findall(text)
        return chain(
            self._up.render_row([b"1"]),
            self._server.render_row(server),
            self._keys.render([(db,) for db, _ in keys], [(count,) for _, count in keys]),
            self._commands.render([(name,) for name, _, _ in commands], [row[1:] for row in commands]),
        )

    def down(self) -> Samples:
        """Say that the server is not up."""
        return self._up.render_row([b"0"])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _limit(values: dict[bytes, bytes]) -> bytes:
    limit = values.get(b"maxmemory", b"")
    # Redis says 0 for "no limit"; 0 bytes would be the opposite.
    return b"" if limit == b"0" else limit


def _started_at(values: dict[bytes, bytes]) -> bytes:
    """Return the start in Unix seconds; both numbers come from one reading of the server's clock."""
    now_microseconds, uptime_seconds = values.get(b"server_time_usec"), values.get(b"uptime_in_seconds")
    if now_microseconds is None or uptime_seconds is None:
        return b""
    return number(int(now_microseconds) // 1_000_000 - int(uptime_seconds))
