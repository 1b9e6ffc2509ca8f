"""What is exported of a MySQL or MariaDB server: the families, and the status variable or setting each comes from.

Only variables whose kind is known are shown: the server does not say which of them may fall.
"""

from __future__ import annotations

from perfloop.model import Family, MetricType


def _family(name: str, text: str, *labels: str, kind: MetricType | None = None) -> Family:
    by_name = MetricType.COUNTER if name.endswith("_total") else MetricType.GAUGE
    return Family(name=f"perfloop_mysql_{name}", type=kind or by_name, help=text, labels=("component", *labels))


def _table(source: str, *rows: tuple[str, str, str]) -> dict[str, Family]:
    return {key: _family(name, f"{text}, {key} of {source}.") for name, key, text in rows}


UP = _family("up", "Whether the server answered in time.")
INFO = _family("info", "Version of the server; always 1.", "version", "distribution", kind=MetricType.INFO)
START = _family("start_timestamp_seconds", "When the server was started, from Uptime of the status.")

# By the name in SHOW GLOBAL STATUS, in lower case.
STATUS: dict[str, Family] = _table(
    "SHOW GLOBAL STATUS",
    ("clients_aborted_total", "aborted_clients", "Connections whose client vanished"),
    ("connects_aborted_total", "aborted_connects", "Connections that failed to log in"),
    ("connects_aborted_early_total", "aborted_connects_preauth", "Connections that ended before the login"),
    ("access_denied_total", "access_denied_errors", "Statements and logins refused for want of rights"),
    ("connections_total", "connections", "Connections tried, whether or not they succeeded"),
    ("max_used_connections", "max_used_connections", "The most connections at once since the start"),
    ("threads_connected", "threads_connected", "Open connections"),
    ("threads_running", "threads_running", "Connections in a statement"),
    ("threads_cached", "threads_cached", "Threads that wait for a connection"),
    ("threads_created_total", "threads_created", "Threads made for connections"),
    ("threads_slow_total", "slow_launch_threads", "Threads that took longer than slow_launch_time to make"),
    ("pool_threads", "threadpool_threads", "Threads in the pool"),
    ("pool_threads_idle", "threadpool_idle_threads", "Idle threads in the pool"),
    ("queries_total", "queries", "Statements, those within stored programs too"),
    ("questions_total", "questions", "Statements that clients sent"),
    ("query_seconds_total", "query_time", "Time spent in statements"),
    ("slow_queries_total", "slow_queries", "Statements that took longer than long_query_time"),
    ("statements_timed_out_total", "max_statement_time_exceeded", "Statements that took longer than they may"),
    ("selects_timed_out_total", "max_execution_time_exceeded", "SELECTs that took longer than they may"),
    ("prepared_statements", "prepared_stmt_count", "Prepared statements that are open"),
    ("received_bytes_total", "bytes_received", "Bytes received from clients"),
    ("sent_bytes_total", "bytes_sent", "Bytes sent to clients"),
    ("rows_read_total", "rows_read", "Rows that storage engines delivered"),
    ("rows_sent_total", "rows_sent", "Rows sent to clients"),
    ("select_full_joins_total", "select_full_join", "Joins that scanned a table for want of an index"),
    ("select_full_range_joins_total", "select_full_range_join", "Joins by a range of a referenced table"),
    ("select_ranges_total", "select_range", "Joins by a range of the first table"),
    ("select_range_checks_total", "select_range_check", "Joins that looked for an index at each row"),
    ("select_scans_total", "select_scan", "Joins that scanned the first table"),
    ("sort_merge_passes_total", "sort_merge_passes", "Merge passes of sorts that did not fit in memory"),
    ("sort_ranges_total", "sort_range", "Sorts of a range"),
    ("sort_scans_total", "sort_scan", "Sorts of a whole table"),
    ("sort_rows_total", "sort_rows", "Rows sorted"),
    ("tmp_tables_total", "created_tmp_tables", "Temporary tables made by statements, in memory or on disk"),
    ("tmp_disk_tables_total", "created_tmp_disk_tables", "Temporary tables made by statements on disk"),
    ("tmp_files_total", "created_tmp_files", "Temporary files made"),
    ("table_locks_immediate_total", "table_locks_immediate", "Table locks granted at once"),
    ("table_locks_waited_total", "table_locks_waited", "Table locks that had to be waited for"),
    ("open_tables", "open_tables", "Open tables"),
    ("tables_opened_total", "opened_tables", "Tables opened"),
    ("open_table_definitions", "open_table_definitions", "Cached table definitions"),
    ("table_cache_hits_total", "table_open_cache_hits", "Tables that were open already"),
    ("table_cache_misses_total", "table_open_cache_misses", "Tables that were not"),
    ("table_cache_overflows_total", "table_open_cache_overflows", "Tables closed for want of room"),
    ("open_files", "open_files", "Open files"),
    ("files_opened_total", "opened_files", "Files opened"),
    ("memory_used_bytes", "memory_used", "Memory that MariaDB allocated"),
    ("triggers_executed_total", "executed_triggers", "Triggers executed"),
    ("tls_connections_total", "ssl_accepts", "Connections that asked for TLS"),
    ("tls_handshakes_total", "ssl_finished_accepts", "TLS handshakes that succeeded"),
    ("binlog_written_bytes_total", "binlog_bytes_written", "Bytes written to the binary log"),
    ("binlog_commits_total", "binlog_commits", "Transactions committed to the binary log"),
    ("binlog_group_commits_total", "binlog_group_commits", "Groups of transactions committed to the binary log"),
    ("binlog_cache_uses_total", "binlog_cache_use", "Transactions that used the cache of the binary log"),
    ("binlog_cache_disk_uses_total", "binlog_cache_disk_use", "Transactions that did not fit into it"),
    ("key_read_requests_total", "key_read_requests", "Reads of blocks from the key cache"),
    ("key_reads_total", "key_reads", "Reads of key blocks from disk"),
    ("key_write_requests_total", "key_write_requests", "Writes of blocks to the key cache"),
    ("key_writes_total", "key_writes", "Writes of key blocks to disk"),
    ("key_blocks_used", "key_blocks_used", "The most blocks of the key cache in use at once"),
    ("key_blocks_unused", "key_blocks_unused", "Unused blocks of the key cache"),
    ("key_blocks_dirty", "key_blocks_not_flushed", "Blocks of the key cache that are not on disk yet"),
    ("aria_page_read_requests_total", "aria_pagecache_read_requests", "Reads of pages from Aria's cache"),
    ("aria_page_reads_total", "aria_pagecache_reads", "Reads of Aria's pages from disk"),
    ("aria_page_write_requests_total", "aria_pagecache_write_requests", "Writes of pages to Aria's cache"),
    ("aria_page_writes_total", "aria_pagecache_writes", "Writes of Aria's pages to disk"),
    ("query_cache_hits_total", "qcache_hits", "Answers from the query cache"),
    ("query_cache_inserts_total", "qcache_inserts", "Answers put into it"),
    ("query_cache_prunes_total", "qcache_lowmem_prunes", "Answers dropped from it for want of memory"),
    ("query_cache_uncached_total", "qcache_not_cached", "Answers that cannot be kept"),
    ("query_cache_queries", "qcache_queries_in_cache", "Answers in the query cache"),
    ("query_cache_free_bytes", "qcache_free_memory", "Free memory of the query cache"),
    ("innodb_buffer_pool_data_bytes", "innodb_buffer_pool_bytes_data", "Data in the buffer pool"),
    ("innodb_buffer_pool_dirty_bytes", "innodb_buffer_pool_bytes_dirty", "Data in it that is not on disk yet"),
    ("innodb_buffer_pool_dirty_pages", "innodb_buffer_pool_pages_dirty", "Its pages that are not on disk yet"),
    ("innodb_buffer_pool_old_pages", "innodb_buffer_pool_pages_old", "Its pages that are the next to be evicted"),
    ("innodb_buffer_pool_read_requests_total", "innodb_buffer_pool_read_requests", "Reads from the buffer pool"),
    ("innodb_buffer_pool_reads_total", "innodb_buffer_pool_reads", "Reads that had to go to disk"),
    ("innodb_buffer_pool_write_requests_total", "innodb_buffer_pool_write_requests", "Writes to the buffer pool"),
    ("innodb_buffer_pool_read_ahead_total", "innodb_buffer_pool_read_ahead", "Pages read in advance"),
    ("innodb_buffer_pool_read_ahead_evicted_total", "innodb_buffer_pool_read_ahead_evicted", "Those nobody needed"),
    ("innodb_buffer_pool_wait_free_total", "innodb_buffer_pool_wait_free", "Waits for a free page"),
    ("innodb_checkpoint_age_bytes", "innodb_checkpoint_age", "Redo log since the last checkpoint"),
    ("innodb_checkpoint_max_age_bytes", "innodb_checkpoint_max_age", "How much of it there may be"),
    ("innodb_fsyncs_total", "innodb_data_fsyncs", "Calls of fsync"),
    ("innodb_reads_total", "innodb_data_reads", "Reads from files"),
    ("innodb_writes_total", "innodb_data_writes", "Writes to files"),
    ("innodb_read_bytes_total", "innodb_data_read", "Bytes read from files"),
    ("innodb_written_bytes_total", "innodb_data_written", "Bytes written to files"),
    ("innodb_pending_fsyncs", "innodb_data_pending_fsyncs", "Calls of fsync under way"),
    ("innodb_pending_reads", "innodb_data_pending_reads", "Reads from files under way"),
    ("innodb_pending_writes", "innodb_data_pending_writes", "Writes to files under way"),
    ("innodb_doublewrite_pages_total", "innodb_dblwr_pages_written", "Pages written to the doublewrite buffer"),
    ("innodb_doublewrites_total", "innodb_dblwr_writes", "Writes to the doublewrite buffer"),
    ("innodb_deadlocks_total", "innodb_deadlocks", "Deadlocks"),
    ("innodb_history_length", "innodb_history_list_length", "Transactions whose old versions are not purged yet"),
    ("innodb_log_waits_total", "innodb_log_waits", "Waits for room in the log buffer"),
    ("innodb_log_write_requests_total", "innodb_log_write_requests", "Requests to write to the redo log"),
    ("innodb_log_writes_total", "innodb_log_writes", "Writes to the redo log"),
    ("innodb_log_written_bytes_total", "innodb_os_log_written", "Bytes written to the redo log"),
    ("innodb_log_fsyncs_total", "innodb_os_log_fsyncs", "Calls of fsync for the redo log"),
    ("innodb_pages_created_total", "innodb_pages_created", "Pages created"),
    ("innodb_pages_read_total", "innodb_pages_read", "Pages read"),
    ("innodb_pages_written_total", "innodb_pages_written", "Pages written"),
    ("innodb_page_size_bytes", "innodb_page_size", "Size of a page"),
    ("innodb_row_lock_seconds_total", "innodb_row_lock_time", "Time waited for row locks"),
    ("innodb_row_lock_waits_total", "innodb_row_lock_waits", "Waits for row locks"),
    ("innodb_row_lock_waiting", "innodb_row_lock_current_waits", "Transactions that wait for a row lock now"),
    ("innodb_open_files", "innodb_num_open_files", "Open files of InnoDB"),
    ("innodb_adaptive_hash_bytes", "innodb_mem_adaptive_hash", "Memory of the adaptive hash index"),
    ("innodb_dictionary_bytes", "innodb_mem_dictionary", "Memory of the data dictionary"),
    ("replicas_connected", "slaves_connected", "Replicas that read the binary log"),
    ("replica_channels_running", "slaves_running", "Channels over which a replica replicates now"),
    ("replica_retried_transactions_total", "slave_retried_transactions", "Transactions that a replica retried"),
    ("replica_open_tmp_tables", "slave_open_temp_tables", "Temporary tables of the replicating threads"),
    ("galera_cluster_size", "wsrep_cluster_size", "Members of the Galera cluster"),
    ("galera_connected", "wsrep_connected", "Whether this node is connected to it"),
    ("galera_ready", "wsrep_ready", "Whether this node accepts statements"),
    ("galera_local_state", "wsrep_local_state", "State of this node; 4 is synced"),
    ("galera_receive_queue", "wsrep_local_recv_queue", "Transactions that wait to be applied"),
    ("galera_send_queue", "wsrep_local_send_queue", "Transactions that wait to be sent"),
    ("galera_received_bytes_total", "wsrep_received_bytes", "Bytes received from the cluster"),
    ("galera_replicated_bytes_total", "wsrep_replicated_bytes", "Bytes sent to the cluster"),
    ("galera_certification_failures_total", "wsrep_local_cert_failures", "Transactions that failed to certify"),
    ("galera_aborts_total", "wsrep_local_bf_aborts", "Local transactions aborted for those of others"),
    ("galera_flow_control_seconds_total", "wsrep_flow_control_paused_ns", "Time paused by flow control"),
    ("galera_flow_control_sent_total", "wsrep_flow_control_sent", "Pauses that this node asked for"),
)
# By the name in SHOW GLOBAL VARIABLES.
VARIABLES: dict[str, Family] = _table(
    "SHOW GLOBAL VARIABLES",
    ("max_connections", "max_connections", "Connections that the server accepts at once"),
    ("open_files_limit", "open_files_limit", "Files that it may have open"),
    ("table_cache_size", "table_open_cache", "Tables that may stay open"),
    ("thread_cache_size", "thread_cache_size", "Threads that may wait for a connection"),
    ("tmp_table_max_bytes", "tmp_table_size", "Size up to which temporary tables stay in memory"),
    ("heap_table_max_bytes", "max_heap_table_size", "Size that tables in memory may reach"),
    ("max_packet_bytes", "max_allowed_packet", "Size that a packet may have"),
    ("key_cache_bytes", "key_buffer_size", "Size of the key cache"),
    ("query_cache_bytes", "query_cache_size", "Size of the query cache"),
    ("long_query_seconds", "long_query_time", "Time from which a statement is slow"),
    ("slow_query_log_enabled", "slow_query_log", "Whether slow statements are logged"),
    ("read_only", "read_only", "Whether ordinary users cannot write"),
    ("super_read_only", "super_read_only", "Whether administrators cannot write either"),
    ("binlog_enabled", "log_bin", "Whether there is a binary log"),
    ("binlog_sync_interval", "sync_binlog", "Commits after which the binary log is synced; 0 is never"),
    ("binlog_expire_seconds", "binlog_expire_logs_seconds", "Age at which binary logs are deleted; 0 is never"),
    ("innodb_buffer_pool_max_bytes", "innodb_buffer_pool_size", "Size of the buffer pool"),
    ("innodb_log_file_bytes", "innodb_log_file_size", "Size of a file of the redo log"),
    ("innodb_log_capacity_bytes", "innodb_redo_log_capacity", "Size of the redo log"),
    ("innodb_log_buffer_bytes", "innodb_log_buffer_size", "Size of the log buffer"),
    (
        "innodb_flush_log_at_commit",
        "innodb_flush_log_at_trx_commit",
        "When a commit is written and synced; 1 is always",
    ),
    ("innodb_io_capacity", "innodb_io_capacity", "Operations a second that flushing may take"),
    ("wait_timeout_seconds", "wait_timeout", "Time after which an idle connection is closed"),
    ("performance_schema_enabled", "performance_schema", "Whether performance_schema collects"),
)
EXPONENTS = {STATUS["innodb_row_lock_time"]: -3, STATUS["wsrep_flow_control_paused_ns"]: -9}

_OF_STATUS = "of SHOW GLOBAL STATUS."
# Status variables that differ in the end of their name only: beginning, family, and which endings (else all).
GROUPS: tuple[tuple[str, Family, frozenset[str]], ...] = (
    ("com_", _family("commands_total", f"Statements by kind, Com_* {_OF_STATUS}", "command"), frozenset()),
    (
        "handler_",
        _family("handlers_total", f"Calls of storage engines, Handler_* {_OF_STATUS}", "handler"),
        frozenset(),
    ),
    (
        "connection_errors_",
        _family("connection_errors_total", f"Connections that failed, Connection_errors_* {_OF_STATUS}", "error"),
        frozenset(),
    ),
    (
        "innodb_rows_",
        _family("innodb_rows_total", f"Rows by what was done to them, Innodb_rows_* {_OF_STATUS}", "operation"),
        frozenset({"deleted", "inserted", "read", "updated"}),
    ),
    (
        "innodb_buffer_pool_pages_",
        _family(
            "innodb_buffer_pool_pages", f"Pages of the buffer pool, Innodb_buffer_pool_pages_* {_OF_STATUS}", "state"
        ),
        frozenset({"data", "free", "misc"}),
    ),
    (
        "innodb_buffer_pool_pages_",
        _family(
            "innodb_buffer_pool_page_changes_total",
            f"What became of pages of the buffer pool, Innodb_buffer_pool_pages_* {_OF_STATUS}",
            "operation",
        ),
        frozenset({"flushed", "lru_flushed", "lru_freed", "made_not_young", "made_young", "split"}),
    ),
    (
        "performance_schema_",
        _family(
            "performance_schema_lost_total",
            f"Instruments without room, Performance_schema_*_lost {_OF_STATUS}",
            "instrumentation",
        ),
        frozenset(),
    ),
)
OLDEST_TRANSACTION = _family(
    "oldest_transaction_timestamp_seconds",
    "When the oldest open transaction began, from information_schema.INNODB_TRX.",
)
TRANSACTIONS = _family("transactions", "Open transactions, from information_schema.INNODB_TRX.")
BINLOG_FILES = _family("binlog_files", "Files of the binary log, SHOW BINARY LOGS.")
BINLOG_SIZE = _family("binlog_size_bytes", "Size of the binary log, SHOW BINARY LOGS.")

_COMPRESSION = "of information_schema.INNODB_CMP"
COMPRESSION: dict[str, Family] = {
    column: _family(name, f"{text}, {column} {_COMPRESSION}.", "page_size")
    for name, column, text in (
        ("innodb_compressions_total", "compress_ops", "Pages compressed"),
        ("innodb_compressions_ok_total", "compress_ops_ok", "Pages compressed that fit"),
        ("innodb_compression_seconds_total", "compress_time", "Time spent compressing"),
        ("innodb_decompressions_total", "uncompress_ops", "Pages decompressed"),
        ("innodb_decompression_seconds_total", "uncompress_time", "Time spent decompressing"),
    )
}
# By the column in SHOW SLAVE STATUS, in lower case.
REPLICATION: dict[str, Family] = {
    column: _family(name, f"{text}, {column} of SHOW REPLICA STATUS.", "channel")
    for name, column, text in (
        ("replica_receiver_running", "slave_io_running", "Whether the replica reads its primary's log"),
        ("replica_applier_running", "slave_sql_running", "Whether the replica applies what it read"),
        ("replica_lag_seconds", "seconds_behind_master", "How far the replica is behind; none while it does not know"),
        ("replica_delay_seconds", "sql_delay", "How far it is meant to be behind"),
        ("replica_receiver_error_code", "last_io_errno", "Number of the last error in reading; 0 is none"),
        ("replica_applier_error_code", "last_sql_errno", "Number of the last error in applying; 0 is none"),
        ("replica_read_position_bytes", "read_master_log_pos", "Position in the primary's log up to which it read"),
        ("replica_applied_position_bytes", "exec_master_log_pos", "Position up to which it applied"),
        ("relay_log_bytes", "relay_log_space", "Size of the relay logs"),
    )
}
PRIMARY = _family(
    "replica_primary_info", "Primary of a channel; always 1.", "channel", "host", "port", kind=MetricType.INFO
)
OTHERS = (START, TRANSACTIONS, OLDEST_TRANSACTION, BINLOG_FILES, BINLOG_SIZE)
FAMILIES: tuple[Family, ...] = (
    UP,
    INFO,
    *STATUS.values(),
    *VARIABLES.values(),
    *(family for _, family, _ in GROUPS),
    *OTHERS,
    *COMPRESSION.values(),
    *REPLICATION.values(),
    PRIMARY,
)
