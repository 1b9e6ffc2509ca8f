"""What a PostgreSQL server says of itself as a whole: its settings' age, checkpoints, archiver, WAL and recovery."""

from __future__ import annotations

from perfloop.collectors.postgres.question import Question, Value, value
from perfloop.model import Family, MetricType

BUILD_INFO = Family(
    name="perfloop_postgresql_build_info",
    type=MetricType.INFO,
    help="The server's version, the setting server_version.",
    labels=("component", "version"),
)
# As text: they change with the settings, and say where pg_stat_statements is, if it is.
VERSION_SQL = "split_part(current_setting('server_version'), ' ', 1)"
SETTINGS_SQL = "pg_conf_load_time() || ' ' || pg_postmaster_start_time()"
STATEMENTS_SCHEMA_SQL = """CASE WHEN current_setting('pg_stat_statements.max', true) IS NOT NULL THEN
    (SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
      WHERE extname = 'pg_stat_statements') END"""
# Most servers have none of these, and then need not be asked for them.
REPLICAS_SQL = "EXISTS (SELECT FROM pg_stat_get_wal_senders())"
SLOTS_SQL = "EXISTS (SELECT FROM pg_get_replication_slots())"
# Where the WAL ends for this server: what it wrote, or, as a standby, what it received or read from the archive.
WAL_END_SQL = """CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
    ELSE pg_current_wal_lsn() END"""
# A standby that has replayed all it received does not lag, however long ago the last transaction was.
_LAG_SQL = """CASE WHEN NOT pg_is_in_recovery() THEN NULL
    WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
    ELSE greatest(0, extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())) END"""


def _counted(view: str, *columns: tuple[str, str, str]) -> tuple[Value, ...]:
    return tuple(value(name, f"{text}, {column} of {view}.", f"{view}.{column}") for name, column, text in columns)


def _moment(name: str, text: str, sql: str) -> Value:
    return value(f"{name}_timestamp_seconds", text, f"extract(epoch FROM {sql})")


GENERAL = (
    value("max_connections", "The setting max_connections.", "current_setting('max_connections')"),
    value(
        "in_recovery", "Whether the server is a standby or recovers, pg_is_in_recovery().", "pg_is_in_recovery()::int"
    ),
    _moment("start", "When the server was started, pg_postmaster_start_time().", "pg_postmaster_start_time()"),
    _moment("config_load", "When its configuration was read, pg_conf_load_time().", "pg_conf_load_time()"),
)
# In version 17 these moved from pg_stat_bgwriter to pg_stat_checkpointer, with new names.
CHECKPOINTS = tuple(
    value(name, f"{text}, of pg_stat_checkpointer, or pg_stat_bgwriter before version 17.", *sql)
    for name, text, *sql in (
        (
            "checkpoints_timed_total",
            "Checkpoints that were due",
            "pg_stat_checkpointer.num_timed",
            "pg_stat_bgwriter.checkpoints_timed",
        ),
        (
            "checkpoints_requested_total",
            "Checkpoints that were asked for, mostly for want of WAL space",
            "pg_stat_checkpointer.num_requested",
            "pg_stat_bgwriter.checkpoints_req",
        ),
        (
            "checkpoint_write_seconds_total",
            "Time that checkpoints spent writing",
            "pg_stat_checkpointer.write_time / 1000",
            "pg_stat_bgwriter.checkpoint_write_time / 1000",
        ),
        (
            "checkpoint_sync_seconds_total",
            "Time that checkpoints spent synchronizing files",
            "pg_stat_checkpointer.sync_time / 1000",
            "pg_stat_bgwriter.checkpoint_sync_time / 1000",
        ),
        (
            "checkpoint_buffers_written_total",
            "Buffers written by checkpoints",
            "pg_stat_checkpointer.buffers_written",
            "pg_stat_bgwriter.buffers_checkpoint",
        ),
    )
)
WRITERS = _counted(
    "pg_stat_bgwriter",
    ("bgwriter_buffers_written_total", "buffers_clean", "Buffers written by the background writer"),
    ("bgwriter_stops_total", "maxwritten_clean", "Rounds that the background writer ended, having written too many"),
    ("backend_buffers_written_total", "buffers_backend", "Buffers that backends had to write; until version 16"),
    ("backend_fsyncs_total", "buffers_backend_fsync", "Times that backends had to call fsync; until version 16"),
    ("buffers_allocated_total", "buffers_alloc", "Buffers allocated"),
)
ARCHIVER = (
    *_counted(
        "pg_stat_archiver",
        ("wal_archived_total", "archived_count", "WAL files archived"),
        ("wal_archive_failures_total", "failed_count", "Attempts at archiving a WAL file that failed"),
    ),
    _moment(
        "wal_last_archived",
        "When a WAL file was archived last, last_archived_time of pg_stat_archiver.",
        "pg_stat_archiver.last_archived_time",
    ),
    _moment(
        "wal_last_archive_failure",
        "When archiving failed last, last_failed_time of pg_stat_archiver.",
        "pg_stat_archiver.last_failed_time",
    ),
)
WAL = (
    *_counted(
        "pg_stat_wal",
        ("wal_records_total", "wal_records", "WAL records written"),
        ("wal_full_page_images_total", "wal_fpi", "Images of full pages written to the WAL"),
        ("wal_bytes_total", "wal_bytes", "Bytes written to the WAL"),
        ("wal_buffers_full_total", "wal_buffers_full", "Times that WAL was written as its buffers were full"),
        ("wal_writes_total", "wal_write", "Times that WAL buffers were written to disk"),
        ("wal_syncs_total", "wal_sync", "Times that WAL files were synchronized"),
    ),
    *(
        value(name, f"{text}, {column} of pg_stat_wal.", f"pg_stat_wal.{column} / 1000")
        for name, column, text in (
            ("wal_write_seconds_total", "wal_write_time", "Time spent writing WAL, if track_wal_io_timing is on"),
            ("wal_sync_seconds_total", "wal_sync_time", "Time spent synchronizing it, if track_wal_io_timing is on"),
        )
    ),
    value(
        "wal_position_bytes_total",
        "Where the WAL ends: pg_current_wal_lsn(); on a standby what was received or replayed, if that is farther.",
        f"({WAL_END_SQL}) - '0/0'",
    ),
    value(
        "wal_directory_bytes",
        "Size of the files in pg_wal, pg_ls_waldir(); needs pg_monitor.",
        "SELECT sum(pg_ls_waldir.size) FROM pg_ls_waldir() AS pg_ls_waldir",
    ),
)
RECOVERY = (
    value(
        "wal_replay_position_bytes_total",
        "How far a standby has replayed the WAL, pg_last_wal_replay_lsn().",
        "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() - '0/0' END",
    ),
    value(
        "replication_lag_seconds",
        "How old the last replayed transaction of a standby is, from pg_last_xact_replay_timestamp(); 0 when it has "
        "replayed all that it received.",
        _LAG_SQL,
    ),
)
AUTOVACUUM = value(
    "autovacuum_workers",
    "Autovacuum workers at work, from pg_stat_get_activity().",
    "SELECT count(*) FROM pg_stat_get_activity(NULL) WHERE backend_type = 'autovacuum worker'",
)
SERVER = Question(
    notes=(VERSION_SQL, SETTINGS_SQL, STATEMENTS_SCHEMA_SQL, REPLICAS_SQL, SLOTS_SQL),
    keys=(),
    values=(*GENERAL, *CHECKPOINTS, *WRITERS, *ARCHIVER, *WAL, *RECOVERY, AUTOVACUUM),
    source="FROM pg_stat_bgwriter CROSS JOIN pg_stat_archiver {optional}",
    optional={
        "pg_stat_checkpointer": "CROSS JOIN pg_stat_checkpointer",
        "pg_stat_wal": "CROSS JOIN pg_stat_wal",
    },
)
