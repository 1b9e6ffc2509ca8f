"""Connections, commands, items, evictions and slab classes of a Memcached server, from its stats commands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain
from typing import ClassVar

from perfloop.collectors.keyvalue import memcached_families as f
from perfloop.collectors.keyvalue.stream import Stream
from perfloop.errors import Rejected
from perfloop.exposition.block import Block
from perfloop.exposition.text import Samples, number
from perfloop.model import Component, Family

_COMMANDS = (b"stats\r\n", b"stats settings\r\n", b"stats slabs\r\n", b"stats items\r\n")
_END = re.compile(rb"^(?:END|(?:\w+_)?ERROR[^\r\n]*)\r\n", re.MULTILINE)
_STATISTIC = re.compile(rb"^STAT (\w+) ([^\r\n]*)\r\n", re.MULTILINE)
_OF_SLAB = re.compile(rb"^STAT (?:items:)?(\d{1,3}):(\w+) (\d+)\r\n", re.MULTILINE)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_STATES = {b"on": b"1", b"yes": b"1", b"off": b"0", b"no": b"0"}
# Slab classes are few; whatever says more than this is no Memcached.
_MAX_ANSWER_BYTES = 1 << 20

Table = Mapping[bytes, bytes]


class MemcachedCollector:
    """Sends its commands in one go over one kept connection, in the text protocol."""

    name: ClassVar[str] = "memcached"
    may_hang: ClassVar[bool] = True
    families: ClassVar[tuple[Family, ...]] = f.FAMILIES

    def __init__(self, component: Component, *, timeout_seconds: float = 5.0) -> None:
        def block(*families: Family) -> Block:
            return Block(families, fixed=(component.name,), exponents=f.EXPONENTS)

        self.component = component.name
        self._stream = Stream(component, timeout_seconds=timeout_seconds, max_answer_bytes=_MAX_ANSWER_BYTES)
        self._up, self._info = block(f.UP), block(f.INFO)
        self._server, self._others = block(*f.SERVER), block(*f.OTHERS)
        self._commands, self._slabs, self._items = block(f.COMMANDS), block(*f.SLABS.values()), block(*f.ITEMS.values())

    def collect(self) -> Samples:
        """Ask the server. Raises Unavailable, or Rejected when it refuses."""
        with self._stream.exchange():
            if not self._stream.connected:
                self._stream.connect()
            self._stream.send(b"".join(_COMMANDS))
            answers = self._receive()
            if not answers[0].startswith(b"STAT "):
                # The first line alone: whoever answers may repeat what it was sent.
                said = answers[0].partition(b"\r\n")[0][:80].decode("ascii", "replace")
                raise Rejected(f"Memcached: {said}")
        stats, settings, slabs, items = answers
        return self._samples(dict(_STATISTIC.findall(stats)), dict(_STATISTIC.findall(settings)), slabs, items)

    def down(self) -> Samples:
        """Say that the server is not up."""
        return self._up.render_row([b"0"])

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def _receive(self) -> list[bytes]:
        """Return the answer to each command."""
        received = b""
        while True:
            received += self._stream.receive()
            ends = [found.end() for found in _END.finditer(received)] if received.endswith(b"\r\n") else []
            if len(ends) >= len(_COMMANDS):
                starts = [0, *ends]
                return [received[start:end] for start, end in zip(starts, ends[: len(_COMMANDS)], strict=False)]

    def _samples(self, stats: Table, settings: Table, slabs: bytes, items: bytes) -> Samples:
        totals = dict(_STATISTIC.findall(slabs))
        found = {key: stats[key] for key in f.COMMAND_LABELS if stats.get(key, b"").isdigit()}
        return chain(
            self._up.render_row([b"1"]),
            self._info.render([(stats.get(b"version", b""),)], [(b"1",)]),
            self._server.render_row([*(token_of(stats.get(key)) for key in f.STATISTICS), _started_at(stats)]),
            self._others.render_row(
                [
                    *(token_of(settings.get(key)) for key in f.SETTINGS),
                    *(token_of(totals.get(key)) for key in f.TOTALS),
                ]
            ),
            self._commands.render([f.COMMAND_LABELS[key] for key in found], [(token,) for token in found.values()]),
            _by_slab(self._slabs, f.SLABS, slabs),
            _by_slab(self._items, f.ITEMS, items),
        )


def _by_slab(block: Block, families: Mapping[bytes, Family], answer: bytes) -> Samples:
    tables: dict[bytes, dict[bytes, bytes]] = {}
    for slab, key, value in _OF_SLAB.findall(answer):
        tables.setdefault(slab, {})[key] = value
    rows = [[table.get(key, b"") for key in families] for table in tables.values()]
    return block.render([(slab,) for slab in tables], rows)


def token_of(value: bytes | None) -> bytes:
    """Return a value as a number; nothing for what is none."""
    if value is None:
        return b""
    return value if _NUMBER.fullmatch(value) else _STATES.get(value, b"")


def _started_at(stats: Table) -> bytes:
    now, uptime_seconds = stats.get(b"time", b""), stats.get(b"uptime", b"")
    return number(int(now) - int(uptime_seconds)) if now.isdigit() and uptime_seconds.isdigit() else b""
