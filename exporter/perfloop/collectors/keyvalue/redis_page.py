"""A Redis server's answers as sample lines: one block for each table."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from perfloop.collectors.keyvalue import redis_families as f
from perfloop.collectors.keyvalue.redis_reply import NEVER, Answers, Row, heard_at, started_at
from perfloop.exposition.block import Aliases, Block
from perfloop.exposition.text import Samples, number
from perfloop.model import Family

# Scripts can make up kinds of errors; those beyond the first so many are summed.
_MAX_ERRORS = 100
_OTHER = b"other"


class RedisPage:
    """Keeps the templates, and which kinds of errors have a series of their own."""

    def __init__(self, component: str, *, aliases: Aliases) -> None:
        def block(*families: Family) -> Block:
            return Block(families, fixed=(component,), exponents=f.EXPONENTS, aliases=aliases)

        self._up, self._info, self._server = block(f.UP), block(f.INFO), block(*f.SERVER)
        self._cluster, self._others = block(*f.CLUSTER.values()), block(*f.OTHERS)
        self._commands, self._latencies = block(*f.COMMAND_STATISTICS), block(f.COMMAND_LATENCY)
        self._errors, self._keyspace = block(f.ERRORS), block(*f.KEYSPACE)
        self._replicas, self._primary = block(*f.REPLICAS), block(f.PRIMARY)
        self._sentinel, self._spikes = block(*f.SENTINEL), block(*f.LATENCY)
        self._known_errors: set[bytes] = set()

    def down(self) -> Samples:
        """Say that the server is not up."""
        return self._up.render_row([b"0"])

    def samples(self, answers: Answers) -> Samples:
        """Return everything that the server said."""
        words, primary = answers.words, _primary(answers)
        mode = words.get(b"redis_mode") or words.get(b"server_mode", b"")
        about = [words.get(key, b"") for key in (b"redis_version", b"role", b"os", b"maxmemory_policy")]
        return chain(
            self._up.render_row([b"1"]),
            self._info.render([(about[0], mode, *about[1:])], [(b"1",)]),
            self._server.render_row(_server(answers)),
            self._cluster.render_row([answers.cluster.get(key, b"") for key in f.CLUSTER]),
            self._others.render_row(_others(answers)),
            _rows(self._commands, answers.commands),
            self._latencies.render_tokens(
                [(command, percentile) for command, percentile, _ in answers.latencies],
                tuple(row[2] for row in answers.latencies),
            ),
            _rows(self._errors, self._bounded(answers.errors)),
            _rows(self._keyspace, answers.keyspace),
            _rows(self._replicas, [_replica(row) for row in answers.replicas]),
            self._primary.render([primary] if primary else [], [(b"1",)] if primary else []),
            _rows(self._sentinel, [_watched(row) for row in answers.sentinel]),
            _rows(self._spikes, answers.spikes),
        )

    def _bounded(self, errors: Sequence[Row]) -> Sequence[Row]:
        for name, _ in errors:
            if len(self._known_errors) < _MAX_ERRORS and name != _OTHER:
                self._known_errors.add(name)
        kept = [row for row in errors if row[0] in self._known_errors]
        rest = sum(int(count) for name, count in errors if name not in self._known_errors)
        return [*kept, (_OTHER, number(rest))] if rest else kept


def _rows(block: Block, rows: Sequence[Row]) -> Samples:
    """Show rows that begin with their label."""
    return block.render([row[:1] for row in rows], [row[1:] for row in rows])


def _server(answers: Answers) -> list[bytes]:
    numbers = answers.numbers
    said = {**numbers, **{key: b"" for key in NEVER if numbers.get(key) == b"-1"}}
    limit = numbers.get(b"maxmemory", b"")
    # Redis says 0 for "no limit"; 0 bytes would be the opposite.
    limit = b"" if limit == b"0" else limit
    return [*(said.get(key, b"") for key in f.NUMBERS), limit, started_at(answers), heard_at(answers)]


def _others(answers: Answers) -> tuple[bytes, ...]:
    return answers.databases, answers.io_threads, answers.slow_entries, *(answers.slow or (b"", b""))


def _primary(answers: Answers) -> Row:
    words = answers.words
    return (words[b"master_host"], words[b"master_port"]) if {b"master_host", b"master_port"} <= words.keys() else ()


def _replica(row: Row) -> Row:
    address, port, state, offset, lag_seconds = row
    host = b"[%b]" % address if b":" in address else address
    # Older servers do not say the lag; -1 is a replica that never confirmed.
    return (
        b"%b:%b" % (host, port),
        offset,
        b"" if lag_seconds == b"-1" else lag_seconds,
        number(int(state == b"online")),
    )


def _watched(row: Row) -> Row:
    name, status, _, replicas, sentinels = row
    return name, number(int(status == b"ok")), replicas, sentinels
