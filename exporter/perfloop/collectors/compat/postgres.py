"""The names that postgres_exporter gives to what a PostgreSQL server says (`--compat postgres`).

Its labels say other things of other rows (`datid`, every template), and its units are the server's: so these are
questions of their own, in the same words. The settings are those that our own metrics are made of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from perfloop.collectors.postgres.question import Answer, Question, Row, Spread, Value
from perfloop.collectors.postgres.server import WAL_END_SQL
from perfloop.collectors.postgres.session import PostgresqlSession
from perfloop.collectors.postgres.settings import Settings
from perfloop.exposition.block import Block
from perfloop.model import Component, Family, MetricType
from perfloop.protocols import Piece, Samples

_COUNTER, _GAUGE, _UNTYPED = MetricType.COUNTER, MetricType.GAUGE, MetricType.UNTYPED


def _family(name: str, kind: MetricType, *labels: str) -> Family:
    text = "As postgres_exporter shows it, from the view or setting that its name begins with."
    return Family(name=f"pg_{name}", type=kind, help=text, labels=("component", "server", *labels))


def _value(name: str, kind: MetricType, sql: str | tuple[str, ...], *labels: str) -> Value:
    return Value(family=_family(name, kind, *labels), sql=(sql,) if isinstance(sql, str) else sql)


UP = Family(name="pg_up", type=_GAUGE, help="Whether PostgreSQL answered.", labels=("component",))
STATIC = _family("static", _UNTYPED, "short_version", "version")

SIZE = _family("database_size_bytes", _GAUGE, "datname")

DATABASE = ("datid", "datname")
DATABASE_COUNTERS = (
    *("xact_commit", "xact_rollback", "blks_read", "blks_hit", "tup_returned", "tup_fetched", "tup_inserted"),
    *("tup_updated", "tup_deleted", "conflicts", "temp_files", "temp_bytes", "deadlocks", "blk_read_time"),
    "blk_write_time",
)
DATABASE_UNTYPED = (
    *("checksum_failures", "session_time", "active_time", "idle_in_transaction_time"),
    *("sessions", "sessions_abandoned", "sessions_fatal", "sessions_killed"),
)
STAT_DATABASE = Question(
    keys=("pg_stat_database.datid", "coalesce(pg_stat_database.datname, '')"),
    values=(
        _value("stat_database_numbackends", _GAUGE, "coalesce(pg_stat_database.numbackends, 0)", *DATABASE),
        *(
            _value(f"stat_database_{column}", kind, f"pg_stat_database.{column}", *DATABASE)
            for kind, columns in ((_COUNTER, DATABASE_COUNTERS), (_UNTYPED, DATABASE_UNTYPED))
            for column in columns
        ),
        *(
            _value(f"stat_database_{column}", kind, f"floor(extract(epoch FROM pg_stat_database.{column}))", *DATABASE)
            for column, kind in (("stats_reset", _COUNTER), ("checksum_last_failure", _UNTYPED))
        ),
    ),
    source="FROM pg_stat_database ORDER BY pg_stat_database.datid",
)
STAT_CONFLICTS = Question(
    keys=("pg_stat_database_conflicts.datid", "pg_stat_database_conflicts.datname"),
    values=tuple(
        _value(f"stat_database_conflicts_{column}", _COUNTER, f"pg_stat_database_conflicts.{column}", *DATABASE)
        for column in ("confl_tablespace", "confl_lock", "confl_snapshot", "confl_bufferpin", "confl_deadlock")
    ),
    source="FROM pg_stat_database_conflicts ORDER BY pg_stat_database_conflicts.datid",
)
STATES = (
    "active",
    "idle",
    "idle in transaction",
    "idle in transaction (aborted)",
    "fastpath function call",
    "disabled",
)
MODES = (
    *("accesssharelock", "rowsharelock", "rowexclusivelock", "shareupdateexclusivelock", "sharelock"),
    *("sharerowexclusivelock", "exclusivelock", "accessexclusivelock", "sireadlock"),
)


NAMES = Question(
    keys=("datname",),
    values=(),
    spreads=(
        Spread(
            family=_family("locks_count", _GAUGE, "datname", "mode"),
            sql={
                mode: f"SELECT count(*) FROM locks WHERE database = pg_database.oid AND lower(mode) = '{mode}'"
                for mode in MODES
            },
        ),
        Spread(
            family=_family("stat_activity_count", _GAUGE, "datname", "state"),
            sql={
                state: f"SELECT count(*) FROM backends WHERE datid = pg_database.oid AND state = '{state}'"
                for state in STATES
            },
        ),
        Spread(
            family=_family("stat_activity_max_tx_duration", _GAUGE, "datname", "state"),
            sql={
                state: "SELECT coalesce(max(extract(epoch FROM now() - xact_start)), 0) FROM backends "
                f"WHERE datid = pg_database.oid AND state = '{state}'"
                for state in STATES
            },
        ),
    ),
    source="FROM pg_database ORDER BY datname",
    before="""WITH locks AS MATERIALIZED (SELECT database, mode FROM pg_lock_status() WHERE database IS NOT NULL),
     backends AS MATERIALIZED (SELECT datid, state, xact_start FROM pg_stat_get_activity(NULL))""",
)
# In version 17 most of these are in pg_stat_checkpointer; postgres_exporter 0.11 knows no such version.
BGWRITER = {
    "checkpoints_timed": ("pg_stat_checkpointer.num_timed",),
    "checkpoints_req": ("pg_stat_checkpointer.num_requested",),
    "checkpoint_write_time": ("pg_stat_checkpointer.write_time",),
    "checkpoint_sync_time": ("pg_stat_checkpointer.sync_time",),
    "buffers_checkpoint": ("pg_stat_checkpointer.buffers_written",),
    **dict.fromkeys(
        ("buffers_clean", "maxwritten_clean", "buffers_backend", "buffers_backend_fsync", "buffers_alloc"), ()
    ),
}
SERVER = Question(
    notes=(
        "version()",
        "current_setting('server_version_num')::int / 10000 || '.' "
        "|| current_setting('server_version_num')::int % 10000 || '.0'",
    ),
    keys=(),
    values=(
        *(
            _value(f"stat_bgwriter_{column}_total", _COUNTER, (f"pg_stat_bgwriter.{column}", *later))
            for column, later in BGWRITER.items()
        ),
        _value("stat_bgwriter_stats_reset_total", _COUNTER, "floor(extract(epoch FROM pg_stat_bgwriter.stats_reset))"),
        *(
            _value(f"stat_archiver_{column}", _COUNTER, f"pg_stat_archiver.{column}")
            for column in ("archived_count", "failed_count")
        ),
        _value(
            "stat_archiver_last_archive_age",
            _GAUGE,
            "extract(epoch FROM now() - pg_stat_archiver.last_archived_time)",
        ),
    ),
    source="FROM pg_stat_bgwriter CROSS JOIN pg_stat_archiver {optional}",
    optional={"pg_stat_checkpointer": "CROSS JOIN pg_stat_checkpointer"},
)
REPLICA = ("application_name", "client_addr", "state", "slot_name")
REPLICAS = Question(
    # What it calls slot_name is the pid: so its series are as many as there are connections.
    keys=("coalesce(application_name, '')", "coalesce(host(client_addr), '')", "coalesce(state, '')", "pid"),
    values=(
        _value("stat_replication_pg_current_wal_lsn_bytes", _GAUGE, "wal_end - '0/0'", *REPLICA),
        _value("stat_replication_pg_wal_lsn_diff", _GAUGE, "wal_end - replay_lsn", *REPLICA),
        _value("stat_replication_reply_time", _UNTYPED, "floor(extract(epoch FROM reply_time))", *REPLICA),
    ),
    source=f"FROM pg_stat_replication CROSS JOIN (SELECT {WAL_END_SQL} AS wal_end OFFSET 0) here ORDER BY pid",
)
SLOTS = Question(
    keys=("slot_name", "coalesce(database, '')"),
    values=(
        _value("replication_slots_active", _GAUGE, "active::int", "slot_name", "database"),
        _value("replication_slots_pg_wal_lsn_diff", _GAUGE, "wal_end - restart_lsn", "slot_name", "database"),
    ),
    source=f"FROM pg_replication_slots CROSS JOIN (SELECT {WAL_END_SQL} AS wal_end OFFSET 0) here ORDER BY 1",
)
QUESTIONS = (STAT_DATABASE, STAT_CONFLICTS, NAMES, REPLICAS, SLOTS)


class PostgresCompat:
    """One server under the other exporter's names; `server` is its address, as it stands there in a label."""

    def __init__(self, component: Component) -> None:
        fixed = (component.name, component.address)
        self._component, self._server = component.name, component.address
        self._up, self._static = Block([UP], fixed=(component.name,)), Block([STATIC], fixed=fixed)
        # Filled by whoever asks for the sizes for our own metrics.
        self.sizes = Block([SIZE], fixed=fixed)
        self._single = Answer(SERVER, fixed=fixed)
        self._answers = [(question, Answer(question, fixed=fixed)) for question in QUESTIONS]

    def samples(self, session: PostgresqlSession) -> Iterator[Piece]:
        """Ask, and return the lines of each family. Raises Unavailable."""
        [server] = session.rows(SERVER)
        version, short_version = server[: len(SERVER.notes)]
        yield from self._up.render_row([b"1"])
        yield from self._static.render([(short_version, version)], [(b"1",)])
        yield from self._single.render([server])
        for question, answer in self._answers:
            yield from answer.render(session.rows(question))

    def settings(self, rows: Sequence[Row]) -> Settings:
        """Return the settings under its names."""
        return Settings(rows, family=_setting, fixed=(self._component, self._server))

    def down(self) -> Samples:
        """Say that the server is not up."""
        return self._up.render_row([b"0"])


def _setting(name: str, suffix: str, _text: str) -> Family:
    return _family(f"settings_{name.replace('.', '_')}{suffix}", _GAUGE)
