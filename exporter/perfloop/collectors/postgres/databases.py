"""What PostgreSQL counts for each of its databases: pg_stat_database, connections, locks, sizes, ages, statements."""

from __future__ import annotations

from perfloop.collectors.postgres.question import Question, Spread, Value, family, value

_LABELS = ("database",)


def _counted(*columns: tuple[str, str, str], divisor: str = "") -> tuple[Value, ...]:
    return tuple(
        value(name, f"{text}, {column} of pg_stat_database.", f"pg_stat_database.{column}{divisor}", labels=_LABELS)
        for name, column, text in columns
    )


COUNTED = (
    *_counted(
        ("commits_total", "xact_commit", "Transactions committed"),
        ("rollbacks_total", "xact_rollback", "Transactions rolled back"),
        ("rows_returned_total", "tup_returned", "Rows that scans read"),
        ("rows_fetched_total", "tup_fetched", "Rows that index scans fetched"),
        ("rows_inserted_total", "tup_inserted", "Rows inserted"),
        ("rows_updated_total", "tup_updated", "Rows updated"),
        ("rows_deleted_total", "tup_deleted", "Rows deleted"),
        ("blocks_hit_total", "blks_hit", "Blocks found in PostgreSQL's own buffers"),
        ("blocks_read_total", "blks_read", "Blocks that the operating system had to deliver"),
        ("deadlocks_total", "deadlocks", "Deadlocks"),
        ("temp_bytes_total", "temp_bytes", "Bytes written to temporary files"),
        ("temp_files_total", "temp_files", "Temporary files made"),
        ("checksum_failures_total", "checksum_failures", "Pages whose checksum was wrong; none without checksums"),
        ("sessions_total", "sessions", "Sessions begun; since version 14"),
        ("sessions_abandoned_total", "sessions_abandoned", "Sessions whose client vanished"),
        ("sessions_fatal_total", "sessions_fatal", "Sessions ended by fatal errors"),
        ("sessions_killed_total", "sessions_killed", "Sessions ended by an operator"),
    ),
    *_counted(
        ("block_read_seconds_total", "blk_read_time", "Time spent reading blocks, if track_io_timing is on"),
        ("block_write_seconds_total", "blk_write_time", "Time spent writing blocks, if track_io_timing is on"),
        ("session_seconds_total", "session_time", "Time spent in sessions"),
        ("active_seconds_total", "active_time", "Time spent executing statements"),
        ("idle_in_transaction_seconds_total", "idle_in_transaction_time", "Time spent idle in transactions"),
        divisor=" / 1000",
    ),
)
STATES = (
    value(
        "database_stats_reset_timestamp_seconds",
        "When the counters began, stats_reset of pg_stat_database; none if never reset.",
        "extract(epoch FROM pg_stat_database.stats_reset)",
        labels=_LABELS,
    ),
    value(
        "checksum_last_failure_timestamp_seconds",
        "When a checksum was wrong last, checksum_last_failure of pg_stat_database.",
        "extract(epoch FROM pg_stat_database.checksum_last_failure)",
        labels=_LABELS,
    ),
    value(
        "database_connection_limit",
        "Connections that the database allows, datconnlimit of pg_database; none where there is no limit.",
        "CASE WHEN datconnlimit >= 0 THEN datconnlimit END",
        labels=_LABELS,
    ),
    value(
        "database_frozen_xid_age",
        "Transactions since the oldest that is not frozen, age(datfrozenxid) of pg_database; the server stops at 2^31.",
        "age(datfrozenxid)",
        labels=_LABELS,
    ),
    value(
        "database_minimum_multixact_age",
        "Multixacts since the oldest in use, mxid_age(datminmxid) of pg_database; the server stops at 2^31.",
        "mxid_age(datminmxid)",
        labels=_LABELS,
    ),
    value(
        "oldest_transaction_start_timestamp_seconds",
        "When the oldest open transaction began, xact_start of pg_stat_activity; ours is not one.",
        "extract(epoch FROM oldest_transaction)",
        labels=_LABELS,
    ),
    value(
        "locks_waiting",
        "Locks that are waited for, from pg_locks.",
        "coalesce(locks.waiting, 0)",
        labels=_LABELS,
    ),
    value(
        "vacuums_running",
        "Tables that are vacuumed now, from pg_stat_progress_vacuum.",
        "coalesce(vacuums.running, 0)",
        labels=_LABELS,
    ),
)
# Every database has every state and mode, so that one that nobody is in is 0 and not missing.
CONNECTIONS = Spread(
    family=family(
        "connections", "Open client connections, from pg_stat_activity; the exporter's own is one.", "database", "state"
    ),
    sql={
        name: f"coalesce(activity.{column}, 0)"
        for name, column in (
            ("active", "active"),
            ("idle", "idle"),
            ("idle in transaction", "idle_in_transaction"),
            ("idle in transaction (aborted)", "aborted"),
            ("other", "other"),
        )
    },
)
MODES = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
    "SIReadLock",
)
LOCKS = Spread(
    family=family("locks", "Locks held or waited for, from pg_locks.", "database", "mode"),
    sql={mode: f"coalesce(locks.{mode}, 0)" for mode in MODES},
)
CONFLICTS = Spread(
    family=family(
        "recovery_conflicts_total",
        "Statements cancelled on a standby as they conflicted with recovery, from pg_stat_database_conflicts.",
        "database",
        "reason",
    ),
    sql={
        reason: f"pg_stat_database_conflicts.confl_{reason}"
        for reason in ("tablespace", "lock", "snapshot", "bufferpin", "deadlock")
    },
)
DATABASES = Question(
    keys=("pg_database.datname",),
    values=(*COUNTED, *STATES),
    spreads=(CONNECTIONS, LOCKS, CONFLICTS),
    source=f"""FROM pg_database
  JOIN pg_stat_database ON pg_stat_database.datid = pg_database.oid
  LEFT JOIN pg_stat_database_conflicts ON pg_stat_database_conflicts.datid = pg_database.oid
  LEFT JOIN (
    SELECT datid, min(xact_start) FILTER (WHERE pid <> pg_backend_pid()) AS oldest_transaction,
           count(*) FILTER (WHERE client AND state = 'active') AS active,
           count(*) FILTER (WHERE client AND state = 'idle') AS idle,
           count(*) FILTER (WHERE client AND state = 'idle in transaction') AS idle_in_transaction,
           count(*) FILTER (WHERE client AND state = 'idle in transaction (aborted)') AS aborted,
           count(*) FILTER (WHERE client AND coalesce(state, '') NOT IN
             ('active', 'idle', 'idle in transaction', 'idle in transaction (aborted)')) AS other
      FROM (SELECT datid, pid, state, xact_start, coalesce(backend_type, 'client backend') = 'client backend' AS client
              FROM pg_stat_get_activity(NULL)) backends
     GROUP BY datid) activity ON activity.datid = pg_database.oid
  LEFT JOIN (
    SELECT database, count(*) FILTER (WHERE NOT granted) AS waiting,
           {", ".join(f"count(*) FILTER (WHERE mode = '{mode}') AS {mode}" for mode in MODES)}
      FROM pg_lock_status() GROUP BY database) locks ON locks.database = pg_database.oid
  LEFT JOIN (
    SELECT datid, count(*) AS running FROM pg_stat_progress_vacuum GROUP BY datid) vacuums
    ON vacuums.datid = pg_database.oid
 WHERE datallowconn
 ORDER BY 1""",
)
# `false` leaves out the texts of the statements, which are in a file.
STATEMENTS = Question(
    keys=("datname",),
    values=(
        value(
            "statements_total",
            "Statements executed, calls of pg_stat_statements; drops when it evicts.",
            "sum(calls)",
            labels=_LABELS,
        ),
        value(
            "statement_seconds_total",
            "Time spent executing statements, total_exec_time of pg_stat_statements; drops when it evicts.",
            "sum(pg_stat_statements.total_exec_time) / 1000",
            "sum(pg_stat_statements.total_time) / 1000",
            labels=_LABELS,
        ),
    ),
    source="""FROM {schema}.pg_stat_statements(false) JOIN pg_database ON pg_database.oid = dbid
 GROUP BY datname ORDER BY datname""",
)
