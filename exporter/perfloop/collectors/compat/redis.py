"""The names that redis_exporter gives to what a Redis server says (`--compat redis`)."""

from __future__ import annotations

from itertools import chain
from typing import ClassVar

from perfloop.collectors.compat.redis_names import CLUSTER, COUNTERS, GAUGES
from perfloop.collectors.keyvalue import redis_families as f
from perfloop.collectors.keyvalue.redis_reply import NEVER, Answers, Row
from perfloop.exposition.block import Aliases, Block
from perfloop.exposition.text import Samples, number
from perfloop.model import Alias, Family, MetricType

# What we show in another unit, or not at all where they show -1 or 0.
_OTHERWISE = frozenset({*NEVER, b"active_defrag_running", b"expired_stale_perc"})


def _family(name: str, *labels: str, kind: MetricType = MetricType.GAUGE, source: str = "various commands") -> Family:
    text = f"As redis_exporter shows it, from {source}."
    return Family(name=f"redis_{name}", type=kind, help=text, labels=("component", *labels))


def _by_key(names: dict[str, str], kind: MetricType = MetricType.GAUGE, source: str = "INFO") -> dict[bytes, Family]:
    return {key.encode(): _family(name, kind=kind, source=f"{key} of {source}") for key, name in names.items()}


_NUMBERS = {**_by_key(COUNTERS, MetricType.COUNTER), **_by_key(GAUGES)}
_RENAMED = {key: family for key, family in _NUMBERS.items() if key in f.NUMBERS and key not in _OTHERWISE}
_REST = {key: family for key, family in _NUMBERS.items() if key not in _RENAMED}
_COMMAND_NAMES = {
    f.COMMANDS: "commands_total",
    f.COMMAND_SECONDS: "commands_duration_seconds_total",
    f.COMMAND_REJECTIONS: "commands_rejected_calls_total",
    f.COMMAND_FAILURES: "commands_failed_calls_total",
}
_COUNTER = MetricType.COUNTER
ALIASES: Aliases = {
    **{f.NUMBERS[key]: Alias(family=family) for key, family in _RENAMED.items()},
    **{f.CLUSTER[key]: Alias(family=family) for key, family in _by_key(CLUSTER, source="CLUSTER INFO").items()},
    **{
        ours: Alias(family=_family(name, "cmd", kind=_COUNTER), renamed={"cmd": "command"})
        for ours, name in _COMMAND_NAMES.items()
    },
    f.UP: Alias(family=_family("up", source="INFO")),
    f.START: Alias(family=_family("start_time_seconds", source="uptime_in_seconds of INFO")),
    f.IO_THREADS: Alias(family=_family("config_io_threads", source="CONFIG GET")),
    f.SLOWLOG: Alias(family=_family("slowlog_length", source="SLOWLOG LEN")),
    f.ERRORS: Alias(family=_family("errors_total", "err", kind=_COUNTER), renamed={"err": "error"}),
    f.LATENCY_TIME: Alias(family=_family("latency_spike_last", "event_name"), renamed={"event_name": "event"}),
    f.LATENCY_LAST: Alias(
        family=_family("latency_spike_duration_seconds", "event_name"), renamed={"event_name": "event"}
    ),
}

_SETTINGS = (_family("config_maxclients", source="INFO"), _family("config_maxmemory", source="INFO"))
_SLOW = (_family("slowlog_last_id", source="SLOWLOG GET 1"), _family("last_slow_execution_duration_seconds"))
_KEYS = (_family("db_keys", "db"), _family("db_keys_expiring", "db"), _family("db_avg_ttl_seconds", "db"))
_LATENCY_NAME = "latency_percentiles_usec"
_PERCENTILES = (_family(_LATENCY_NAME, "cmd", "quantile", kind=MetricType.UNTYPED),)
_LATENCY_TOTALS = tuple(
    _family(f"{_LATENCY_NAME}_{suffix}", "cmd", kind=MetricType.UNTYPED) for suffix in ("sum", "count")
)
_INSTANCE_LABELS = {
    "role": b"role",
    "redis_version": b"redis_version",
    "redis_build_id": b"redis_build_id",
    "redis_mode": b"redis_mode",
    "os": b"os",
    "maxmemory_policy": b"maxmemory_policy",
    "tcp_port": b"tcp_port",
    "run_id": b"run_id",
    "process_id": b"process_id",
}
_INSTANCE = _family("instance_info", *_INSTANCE_LABELS, source="INFO")
_REPLICA = ("slave_ip", "slave_port", "slave_state")
_REPLICAS = (_family("connected_slave_offset_bytes", *_REPLICA), _family("connected_slave_lag_seconds", *_REPLICA))
_PRIMARY = ("master_host", "master_port")
_PRIMARY_KEYS = {
    b"master_link_status": _family("master_link_up", *_PRIMARY),
    b"master_last_io_seconds_ago": _family("master_last_io_seconds_ago", *_PRIMARY),
    b"master_sync_in_progress": _family("master_sync_in_progress", *_PRIMARY),
    b"slave_repl_offset": _family("slave_repl_offset", *_PRIMARY),
}
_SLAVE = _family("slave_info", *_PRIMARY, "read_only", source="INFO")
_WATCHED = ("master_name", "master_address")
_SENTINEL = (_family("sentinel_master_slaves", *_WATCHED), _family("sentinel_master_sentinels", *_WATCHED))
_SENTINEL_STATUS = _family("sentinel_master_status", *_WATCHED, "master_status")
# Shown 16 times where CONFIG GET is refused: Redis' default.
_DATABASES = 16


class RedisCompat:
    """What redis_exporter shows and we do not, or otherwise: empty databases, -1 for never, 0 for no limit, ages."""

    aliases: ClassVar[Aliases] = ALIASES

    def __init__(self, component: str) -> None:
        def block(*families: Family, **exponents: int) -> Block:
            return Block(families, fixed=(component,), exponents={families[-1]: exponents.get("last", 0)})

        self._rest, self._settings = block(*_REST.values()), block(*_SETTINGS)
        self._slow, self._keys = block(*_SLOW, last=-6), block(*_KEYS, last=-3)
        self._percentiles, self._latency_totals = block(*_PERCENTILES), block(*_LATENCY_TOTALS)
        self._instance, self._replicas = block(_INSTANCE), block(*_REPLICAS)
        self._primary, self._slave = block(*_PRIMARY_KEYS.values()), block(_SLAVE)
        self._sentinel, self._sentinel_status = block(*_SENTINEL), block(_SENTINEL_STATUS)

    def samples(self, answers: Answers) -> Samples:
        """Return what is more than a renaming."""
        numbers, words = answers.numbers, answers.words
        facts = {**numbers, **words}
        keys, measured = _keys(answers), {row[0] for row in answers.latencies}
        totals = [row for row in answers.commands if row[0] in measured]
        primary = (words.get(b"master_host", b""), words.get(b"master_port", b""))
        has_primary = all(primary)
        return chain(
            self._rest.render_row([numbers.get(key, b"") for key in _REST]),
            self._settings.render_row(_settings(answers)),
            self._slow.render_row(_slow(answers)),
            self._keys.render([(b"db" + row[0],) for row in keys], [row[1:] for row in keys]),
            self._percentiles.render([row[:2] for row in answers.latencies], [row[2:] for row in answers.latencies]),
            self._latency_totals.render([row[:1] for row in totals], [(row[2], row[1]) for row in totals]),
            self._instance.render([[facts.get(key, b"") for key in _INSTANCE_LABELS.values()]], [(b"1",)]),
            self._replicas.render([row[:3] for row in answers.replicas], [row[3:] for row in answers.replicas]),
            self._primary.render(
                [primary] * has_primary, [[numbers.get(key, b"") for key in _PRIMARY_KEYS]] * has_primary
            ),
            self._slave.render([(*primary, facts.get(b"slave_read_only", b""))] * has_primary, [(b"1",)] * has_primary),
            self._sentinel.render(
                [(row[0], row[2]) for row in answers.sentinel], [row[3:] for row in answers.sentinel]
            ),
            self._sentinel_status.render(
                [(row[0], row[2], row[1]) for row in answers.sentinel], [(b"1",)] * len(answers.sentinel)
            ),
        )


def _settings(answers: Answers) -> list[bytes]:
    # They ask CONFIG, which a Sentinel does not know; we found the same in INFO.
    return [answers.numbers.get(key, b"") if answers.databases else b"" for key in (b"maxclients", b"maxmemory")]


def _slow(answers: Answers) -> Row:
    logged, microseconds = answers.slow or (b"1", b"0")
    return (number(int(logged) - 1), microseconds) if answers.slow_entries else (b"", b"")


def _keys(answers: Answers) -> list[Row]:
    """Return the databases that hold something, and 0 for the others, which INFO leaves out."""
    count = int(answers.databases or _DATABASES) if answers.numbers.get(b"cluster_enabled") != b"1" else 1
    present = {row[0] for row in answers.keyspace}
    empty = [number(index) for index in range(min(count, 1000))]
    return [*answers.keyspace, *((name, b"0", b"0", b"") for name in empty if name not in present)]
