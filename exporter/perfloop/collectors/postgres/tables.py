"""What PostgreSQL counts for each table of a database: scans, rows, vacuums, blocks; the largest tables only."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence

from perfloop.collectors.postgres.question import Answer, Question, Row, Value, family, value
from perfloop.collectors.postgres.session import PostgresqlSession
from perfloop.errors import Rejected, Unavailable
from perfloop.exposition.block import Block
from perfloop.protocols import Piece

logger = logging.getLogger(__name__)

LABELS = ("database", "schema", "table")
TABLES = family(
    "tables", "User tables, whether they are shown one by one or not, from pg_stat_user_tables.", "database"
)
READABLE = family("tables_readable", "Whether the exporter could read the statistics of the tables.", "database")


def _counted(view: str, *columns: tuple[str, str, str]) -> tuple[Value, ...]:
    return tuple(
        value(f"table_{name}", f"{text}, {column} of {view}.", f"{view}.{column}", labels=LABELS)
        for name, column, text in columns
    )


SHOWN = Question(
    # How many there are, shown or not.
    notes=("count(*) OVER ()",),
    keys=("current_database()", "pg_stat_user_tables.schemaname", "pg_stat_user_tables.relname"),
    values=(
        *_counted(
            "pg_stat_user_tables",
            ("sequential_scans_total", "seq_scan", "Sequential scans"),
            ("sequential_rows_total", "seq_tup_read", "Rows that sequential scans read"),
            ("index_scans_total", "idx_scan", "Index scans"),
            ("index_rows_total", "idx_tup_fetch", "Rows that index scans fetched"),
            ("rows_inserted_total", "n_tup_ins", "Rows inserted"),
            ("rows_updated_total", "n_tup_upd", "Rows updated"),
            ("rows_hot_updated_total", "n_tup_hot_upd", "Rows updated without touching an index"),
            ("rows_deleted_total", "n_tup_del", "Rows deleted"),
            ("live_rows", "n_live_tup", "Estimated rows"),
            ("dead_rows", "n_dead_tup", "Estimated rows that wait for VACUUM"),
            ("changed_rows", "n_mod_since_analyze", "Estimated rows changed since ANALYZE"),
            ("vacuums_total", "vacuum_count", "VACUUMs by hand"),
            ("autovacuums_total", "autovacuum_count", "VACUUMs by the autovacuum daemon"),
            ("analyzes_total", "analyze_count", "ANALYZEs by hand"),
            ("autoanalyzes_total", "autoanalyze_count", "ANALYZEs by the autovacuum daemon"),
        ),
        *_counted(
            "pg_statio_user_tables",
            (
                "heap_blocks_read_total",
                "heap_blks_read",
                "Blocks of the table that the operating system had to deliver",
            ),
            ("heap_blocks_hit_total", "heap_blks_hit", "Blocks of the table found in PostgreSQL's own buffers"),
            (
                "index_blocks_read_total",
                "idx_blks_read",
                "Blocks of its indexes that the operating system had to deliver",
            ),
            ("index_blocks_hit_total", "idx_blks_hit", "Blocks of its indexes found in PostgreSQL's own buffers"),
        ),
        *(
            value(
                f"table_last_{name}_timestamp_seconds",
                f"When the table last had one, last_{name} of pg_stat_user_tables.",
                f"extract(epoch FROM pg_stat_user_tables.last_{name})",
                labels=LABELS,
            )
            for name in ("vacuum", "autovacuum", "analyze", "autoanalyze")
        ),
        value(
            "table_size_bytes",
            "Size as of the last VACUUM or ANALYZE, relpages of pg_class; the exact one would wait for locks.",
            "CASE WHEN relpages > 0 THEN relpages::bigint * current_setting('block_size')::int END",
            labels=LABELS,
        ),
    ),
    # By size, as that is as good as constant: by anything that moves faster, series would come and go.
    source="""FROM pg_stat_user_tables JOIN pg_statio_user_tables USING (relid) JOIN pg_class ON pg_class.oid = relid
 ORDER BY relpages DESC, relid LIMIT {limit}""",
)


FAMILIES = (READABLE, TABLES, *SHOWN.families)


class TablesOf:
    """The tables of several databases, each over its own connection; one that fails takes nothing else away."""

    def __init__(self, sessions: Mapping[str, PostgresqlSession], *, fixed: Sequence[str], limit: int) -> None:
        self._sessions, self._limit = sessions, str(limit)
        self._databases = Block([READABLE, TABLES], fixed=fixed)
        self._answer = Answer(SHOWN, fixed=fixed)

    def samples(self) -> Iterator[Piece]:
        """Return the lines of the tables of all databases."""
        found: list[Row] = []
        counts = []
        for database, session in self._sessions.items():
            try:
                rows = session.rows(SHOWN, limit=self._limit)
            except (Unavailable, Rejected) as error:
                logger.debug("tables cannot be read", extra={"database": database, "reason": str(error)})
                counts.append((b"0", b""))
                continue
            counts.append((b"1", rows[0][0] if rows else b"0"))
            found += rows
        yield from self._databases.render([(database,) for database in self._sessions], counts)
        yield from self._answer.render(found)
