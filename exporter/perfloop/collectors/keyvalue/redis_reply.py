"""What INFO and the other replies of a Redis server say; whatever does not look as expected is left out."""

from __future__ import annotations

import re

from msgspec import Struct

from perfloop.collectors.keyvalue.resp import pack
from perfloop.exposition.text import number

Row = tuple[bytes, ...]

# Sent together; all but the first may be refused.
COMMANDS: tuple[bytes, ...] = (
    pack("INFO", "all"),
    pack("CONFIG", "GET", "databases"),
    pack("CONFIG", "GET", "io-threads"),
    pack("SLOWLOG", "LEN"),
    pack("SLOWLOG", "GET", "1"),
    pack("LATENCY", "LATEST"),
)
CLUSTER_COMMAND = pack("CLUSTER", "INFO")
_SILENCE = (None,) * len(COMMANDS)

# A line begins with what no pattern has to look for twice: an anchor would be tried at every byte of the text.
_NUMBER_LINE = re.compile(rb"\n(\w+):(-?\d+(?:\.\d+)?)(?=\r)")
_WORD_LINE = re.compile(
    rb"\n(redis_version|redis_build_id|redis_mode|server_mode|os|tcp_port|run_id|role|maxmemory_policy|master_host"
    rb"|master_port|rdb_last_bgsave_status|aof_last_bgrewrite_status|aof_last_write_status|master_link_status"
    rb"|cluster_state):([^\r\n]*)"
)
_KEYSPACE_LINE = re.compile(rb"\ndb(\d+):keys=(\d+),expires=(\d+)(?:,avg_ttl=(\d+))?")
_COMMAND_LINE = re.compile(
    rb"\ncmdstat_([^:]+):calls=(\d+),usec=(\d+),usec_per_call=[^,\r]*(?:,rejected_calls=(\d+),failed_calls=(\d+))?"
)
_LATENCY_LINE = re.compile(rb"\nlatency_percentiles_usec_([^:]+):(p[^\r\n]+)")
_PERCENTILE = re.compile(rb"p(\d+(?:\.\d+)?)=(\d+(?:\.\d+)?)")
_ERROR_LINE = re.compile(rb"\nerrorstat_([^:]+):count=(\d+)")
_REPLICA_LINE = re.compile(rb"\nslave\d+:ip=([^,]*),port=(\d+),state=(\w+),offset=(\d+)(?:,lag=(-?\d+))?")
_SENTINEL_LINE = re.compile(rb"\nmaster\d+:name=([^,]*),status=(\w+),address=([^,]*),slaves=(\d+),sentinels=(\d+)")
# -1 is Redis' way to say "never" or "not now".
NEVER = (
    b"rdb_last_bgsave_time_sec",
    b"rdb_current_bgsave_time_sec",
    b"aof_last_rewrite_time_sec",
    b"aof_current_rewrite_time_sec",
    b"second_repl_offset",
    b"master_link_down_since_seconds",
)
_STATES = (
    b"rdb_last_bgsave_status",
    b"aof_last_bgrewrite_status",
    b"aof_last_write_status",
    b"master_link_status",
    b"cluster_state",
)
_GOOD = frozenset({b"ok", b"up"})


class Answers(Struct, frozen=True, kw_only=True):
    """What the server said, taken apart once: numbers and words by key, and a row for each line with several."""

    numbers: dict[bytes, bytes]
    words: dict[bytes, bytes]
    keyspace: list[Row]  # database, keys, expires, average milliseconds to live
    commands: list[Row]  # command, calls, microseconds, rejected, failed
    latencies: list[Row]  # command, percentile, microseconds
    errors: list[Row]  # first word, count
    replicas: list[Row]  # address, port, state, offset, lag in seconds
    sentinel: list[Row]  # name, status, address, replicas, sentinels
    cluster: dict[bytes, bytes]
    databases: bytes
    io_threads: bytes
    slow_entries: bytes
    slow: tuple[bytes, bytes] | None  # how many commands were ever logged, microseconds of the last
    spikes: list[Row]  # event, Unix seconds, last and longest milliseconds


def parse(text: bytes, *others: object) -> Answers:
    """Take the replies to COMMANDS, and to CLUSTER_COMMAND if it was sent, apart; a refusal says nothing."""
    databases, io_threads, slow_entries, slow, spikes, cluster = (*others, *_SILENCE)[: len(_SILENCE)]
    text = b"\n" + text
    numbers, words = numbers_of(text)
    return Answers(
        numbers=numbers,
        words=words,
        keyspace=_unique(_KEYSPACE_LINE, text),
        commands=_unique(_COMMAND_LINE, text),
        latencies=[
            (command, percentile, microseconds)
            for command, rest in _unique(_LATENCY_LINE, text)
            for percentile, microseconds in dict(_PERCENTILE.findall(rest)).items()
        ],
        errors=_unique(_ERROR_LINE, text),
        replicas=_unique(_REPLICA_LINE, text, 2) if b"\nslave0:" in text else [],
        sentinel=_unique(_SENTINEL_LINE, text) if b"\nmaster0:" in text else [],
        cluster=numbers_of(b"\n" + cluster)[0] if isinstance(cluster, bytes) else {},
        databases=_setting(databases),
        io_threads=_setting(io_threads),
        slow_entries=number(slow_entries) if isinstance(slow_entries, int) else b"",
        slow=_slow(slow),
        spikes=_spikes(spikes),
    )


def _unique(line: re.Pattern[bytes], text: bytes, columns: int = 1) -> list[Row]:
    """Return a row for each line; no server says a thing twice, but two samples of one series would spoil the page."""
    return list({row[:columns]: row for row in line.findall(text)}.values())


def numbers_of(text: bytes) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    """Return the plain numbers and the words of INFO or CLUSTER INFO; states are the numbers 1 (good) and 0.

    Every line begins after a line feed.
    """
    numbers, words = dict(_NUMBER_LINE.findall(text)), dict(_WORD_LINE.findall(text))
    for key in _STATES:
        if key in words:
            numbers[key] = b"1" if words[key] in _GOOD else b"0"
    return numbers, words


def started_at(answers: Answers) -> bytes:
    """Return the start in Unix seconds; both numbers come from one reading of the server's clock."""
    return _before_now(answers, b"uptime_in_seconds")


def heard_at(answers: Answers) -> bytes:
    """Return when a replica last heard of its primary, in Unix seconds."""
    return _before_now(answers, b"master_last_io_seconds_ago")


def _before_now(answers: Answers, key: bytes) -> bytes:
    now_microseconds, seconds = answers.numbers.get(b"server_time_usec"), answers.numbers.get(key, b"-1")
    if now_microseconds is None or seconds.startswith(b"-"):
        return b""
    return number(int(float(now_microseconds)) // 1_000_000 - int(float(seconds)))


def _setting(reply: object) -> bytes:
    match reply:
        case [bytes(), bytes() as value] if value.isdigit():
            return value
    return b""


def _slow(reply: object) -> tuple[bytes, bytes] | None:
    match reply:
        case [[int() as last_id, int(), int() as microseconds, *_]]:
            return number(last_id + 1), number(microseconds)
    return None


def _spikes(reply: object) -> list[Row]:
    rows: list[Row] = []
    for entry in reply if isinstance(reply, list) else ():
        match entry:
            case [bytes() as event, int() as at, int() as last, int() as longest, *_]:
                rows.append((event, number(at), number(last), number(longest)))
    return rows
