"""Who replicates from a PostgreSQL server, and how far behind: its standbys and replication slots."""

from __future__ import annotations

from perfloop.collectors.postgres.question import Question, Value, value
from perfloop.collectors.postgres.server import WAL_END_SQL

_REPLICA = ("application", "address", "state")
_SLOT = ("slot", "kind", "database")


def _behind(name: str, column: str, what: str) -> tuple[Value, Value]:
    """Bytes that were not yet sent, written…, and the time it took lately."""
    text = f"of the connection that is farthest behind, from {column}_lsn of pg_stat_replication."
    return (
        value(
            f"replication_{name}_lag_bytes",
            f"WAL not yet {what}, {text}",
            f"max(wal_end - {column}_lsn)",
            labels=_REPLICA,
        ),
        value(
            f"replication_{name}_lag_seconds",
            f"How long it took until WAL was {what}, {column}_lag of pg_stat_replication; none when idle.",
            f"extract(epoch FROM max({column}_lag))",
            labels=_REPLICA,
        ),
    )


REPLICAS = Question(
    # Connections of the same name are told apart by nothing that lasts: the farthest behind stands for them.
    keys=("coalesce(application_name, '')", "coalesce(host(client_addr), '')", "coalesce(state, '')"),
    values=(
        value(
            "replication_connections",
            "Connections that WAL is sent to, pg_stat_replication.",
            "count(*)",
            labels=_REPLICA,
        ),
        value(
            "replication_sent_lag_bytes",
            "WAL not yet sent, from sent_lsn of pg_stat_replication.",
            "max(wal_end - sent_lsn)",
            labels=_REPLICA,
        ),
        *_behind("write", "write", "written there"),
        *_behind("flush", "flush", "safe on disk there"),
        *_behind("replay", "replay", "replayed there"),
    ),
    source=f"""FROM pg_stat_replication CROSS JOIN (SELECT {WAL_END_SQL} AS wal_end OFFSET 0) here
 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""",
)
SLOTS = Question(
    keys=("slot_name", "slot_type", "coalesce(database, '')"),
    values=(
        value(
            "replication_slot_active",
            "Whether the slot is in use, of pg_replication_slots.",
            "active::int",
            labels=_SLOT,
        ),
        value(
            "replication_slot_retained_bytes",
            "WAL that is kept for the slot, from restart_lsn of pg_replication_slots.",
            "wal_end - restart_lsn",
            labels=_SLOT,
        ),
        value(
            "replication_slot_unconfirmed_bytes",
            "WAL whose receipt a logical slot's reader has not confirmed, from confirmed_flush_lsn.",
            "wal_end - confirmed_flush_lsn",
            labels=_SLOT,
        ),
        value(
            "replication_slot_safe_bytes",
            "WAL that may be written before the slot is lost, safe_wal_size; none where there is no limit.",
            "pg_replication_slots.safe_wal_size",
            labels=_SLOT,
        ),
    ),
    source=f"FROM pg_replication_slots CROSS JOIN (SELECT {WAL_END_SQL} AS wal_end OFFSET 0) here ORDER BY 1",
)
