"""Everything that is exported of a Redis server: the families, and the key of INFO that each comes from."""

from __future__ import annotations

from perfloop.model import Family, MetricType


def _family(name: str, text: str, *labels: str, kind: MetricType | None = None) -> Family:
    by_name = MetricType.COUNTER if name.endswith("_total") else MetricType.GAUGE
    return Family(name=f"perfloop_redis_{name}", type=kind or by_name, help=text, labels=("component", *labels))


def _table(section: str, *rows: tuple[str, str, str]) -> dict[bytes, Family]:
    return {key.encode(): _family(name, f"{text}, {key} of {section}.") for name, key, text in rows}


UP = _family("up", "Whether the Redis server answered INFO in time.")
INFO = _family(
    "info",
    "Version and configuration of the server, from INFO; always 1.",
    "version",
    "mode",
    "role",
    "os",
    "maxmemory_policy",
    kind=MetricType.INFO,
)
START = _family("start_timestamp_seconds", "When the server was started, from uptime_in_seconds of INFO.")
MAX_MEMORY = _family("memory_max_bytes", "The setting maxmemory, from INFO; none where there is no limit.")

# Plain numbers of INFO, by their key. What the server does not say, as it is older, is not there.
NUMBERS: dict[bytes, Family] = _table(
    "INFO",
    ("clients", "connected_clients", "Connected clients"),
    ("max_clients", "maxclients", "Connections that the server accepts at once"),
    ("blocked_clients", "blocked_clients", "Clients in a blocking command"),
    ("tracking_clients", "tracking_clients", "Clients that ask to be told of changed keys"),
    ("pubsub_clients", "pubsub_clients", "Clients that subscribe"),
    ("watching_clients", "watching_clients", "Clients that watch keys"),
    ("timeout_table_clients", "clients_in_timeout_table", "Clients whose blocking command has a time limit"),
    ("cluster_connections", "cluster_connections", "Sockets of the cluster bus"),
    ("client_max_input_buffer_bytes", "client_recent_max_input_buffer", "Largest recent input buffer of a client"),
    ("client_max_output_buffer_bytes", "client_recent_max_output_buffer", "Largest recent output buffer of a client"),
    ("memory_used_bytes", "used_memory", "Memory that Redis allocated"),
    ("memory_rss_bytes", "used_memory_rss", "Resident memory of the server's process"),
    ("memory_peak_bytes", "used_memory_peak", "The most memory that Redis ever allocated"),
    ("memory_overhead_bytes", "used_memory_overhead", "Memory for what is not data"),
    ("memory_startup_bytes", "used_memory_startup", "Memory that an empty server takes"),
    ("memory_dataset_bytes", "used_memory_dataset", "Memory for data"),
    ("memory_lua_bytes", "used_memory_lua", "Memory of the Lua engine"),
    ("memory_scripts_bytes", "used_memory_scripts", "Memory of scripts and functions, without their engine"),
    ("memory_functions_bytes", "used_memory_functions", "Memory of functions, without their engine"),
    ("cached_scripts", "number_of_cached_scripts", "Lua scripts that the server remembers"),
    ("functions", "number_of_functions", "Functions that are loaded"),
    ("allocator_allocated_bytes", "allocator_allocated", "Memory that the allocator handed out"),
    ("allocator_active_bytes", "allocator_active", "Memory in the allocator's active pages"),
    ("allocator_resident_bytes", "allocator_resident", "Memory of the allocator that is resident"),
    ("allocator_fragmentation_ratio", "allocator_frag_ratio", "Active over allocated memory of the allocator"),
    ("allocator_fragmentation_bytes", "allocator_frag_bytes", "Active less allocated memory of the allocator"),
    ("allocator_rss_ratio", "allocator_rss_ratio", "Resident over active memory of the allocator"),
    ("allocator_rss_bytes", "allocator_rss_bytes", "Resident less active memory of the allocator"),
    ("memory_fragmentation_ratio", "mem_fragmentation_ratio", "Resident over allocated memory"),
    ("memory_fragmentation_bytes", "mem_fragmentation_bytes", "Resident less allocated memory"),
    ("memory_not_counted_for_eviction_bytes", "mem_not_counted_for_evict", "Memory outside maxmemory"),
    ("memory_replication_backlog_bytes", "mem_replication_backlog", "Memory of the replication backlog"),
    ("memory_replica_clients_bytes", "mem_clients_slaves", "Memory of the connections of replicas"),
    ("memory_normal_clients_bytes", "mem_clients_normal", "Memory of the connections of clients"),
    ("memory_cluster_links_bytes", "mem_cluster_links", "Memory of the links to peers in the cluster"),
    ("memory_aof_buffer_bytes", "mem_aof_buffer", "Memory of the buffers of the append-only file"),
    ("system_memory_bytes", "total_system_memory", "Memory of the server's host"),
    ("defrag_cpu_ratio", "active_defrag_running", "Share of a CPU that defragmentation takes now, or 0"),
    ("lazyfree_pending_objects", "lazyfree_pending_objects", "Objects that wait to be freed in the background"),
    ("lazyfreed_objects_total", "lazyfreed_objects", "Objects freed in the background"),
    ("loading", "loading", "Whether a dump is being loaded"),
    ("loading_size_bytes", "loading_total_bytes", "Size of the dump that is being loaded"),
    ("loading_loaded_bytes", "loading_loaded_bytes", "How much of it is loaded"),
    ("async_loading", "async_loading", "Whether a replica loads while it serves the old data"),
    ("rdb_changes_since_last_save", "rdb_changes_since_last_save", "Changes that are in no dump yet"),
    ("rdb_save_in_progress", "rdb_bgsave_in_progress", "Whether a dump is being written"),
    ("rdb_last_save_timestamp_seconds", "rdb_last_save_time", "When the last dump was complete"),
    ("rdb_last_save_successful", "rdb_last_bgsave_status", "Whether the last dump was written"),
    ("rdb_last_save_duration_seconds", "rdb_last_bgsave_time_sec", "How long the last dump took"),
    ("rdb_current_save_duration_seconds", "rdb_current_bgsave_time_sec", "How long the present dump has taken so far"),
    ("rdb_saves_total", "rdb_saves", "Dumps written"),
    ("rdb_last_copy_on_write_bytes", "rdb_last_cow_size", "Memory that was copied during the last dump"),
    ("aof_enabled", "aof_enabled", "Whether there is an append-only file"),
    ("aof_rewrite_in_progress", "aof_rewrite_in_progress", "Whether the append-only file is being rewritten"),
    ("aof_rewrite_scheduled", "aof_rewrite_scheduled", "Whether a rewrite waits for a dump to end"),
    ("aof_last_rewrite_duration_seconds", "aof_last_rewrite_time_sec", "How long the last rewrite took"),
    ("aof_current_rewrite_duration_seconds", "aof_current_rewrite_time_sec", "How long the rewrite has taken so far"),
    ("aof_last_rewrite_successful", "aof_last_bgrewrite_status", "Whether the last rewrite ended well"),
    ("aof_last_write_successful", "aof_last_write_status", "Whether the last write to the file ended well"),
    ("aof_rewrites_total", "aof_rewrites", "Rewrites of the append-only file"),
    ("aof_last_copy_on_write_bytes", "aof_last_cow_size", "Memory that was copied during the last rewrite"),
    ("aof_size_bytes", "aof_current_size", "Size of the append-only file"),
    ("aof_base_size_bytes", "aof_base_size", "Its size after the last rewrite"),
    ("aof_pending_rewrite", "aof_pending_rewrite", "Whether a rewrite waits for a dump of a replica"),
    ("aof_buffer_bytes", "aof_buffer_length", "What waits to be written to the file"),
    ("aof_pending_fsyncs", "aof_pending_bio_fsync", "Calls of fsync that wait"),
    ("aof_delayed_fsyncs_total", "aof_delayed_fsync", "Calls of fsync that came late"),
    ("module_fork_in_progress", "module_fork_in_progress", "Whether a module has forked"),
    ("module_fork_last_copy_on_write_bytes", "module_fork_last_cow_size", "Memory copied during a module's last fork"),
    ("connections_received_total", "total_connections_received", "Connections accepted"),
    ("connections_rejected_total", "rejected_connections", "Connections refused at the limit"),
    ("commands_processed_total", "total_commands_processed", "Commands of all kinds"),
    ("received_bytes_total", "total_net_input_bytes", "Bytes received from clients"),
    ("sent_bytes_total", "total_net_output_bytes", "Bytes sent to clients"),
    ("replication_received_bytes_total", "total_net_repl_input_bytes", "Bytes received for replication"),
    ("replication_sent_bytes_total", "total_net_repl_output_bytes", "Bytes sent for replication"),
    ("full_resyncs_total", "sync_full", "Replicas that had to begin anew"),
    ("partial_resyncs_total", "sync_partial_ok", "Replicas that could go on where they were"),
    ("partial_resyncs_failed_total", "sync_partial_err", "Replicas that could not, though they asked"),
    ("expired_keys_total", "expired_keys", "Keys that expired"),
    ("expired_stale_ratio", "expired_stale_perc", "Keys that have probably expired and are still there, as a share"),
    ("expire_cycles_cut_short_total", "expired_time_cap_reached_count", "Searches for expired keys that ran too long"),
    ("expire_cycle_seconds_total", "expire_cycle_cpu_milliseconds", "CPU time of the search for expired keys"),
    ("evicted_keys_total", "evicted_keys", "Keys evicted for want of memory"),
    ("evicted_clients_total", "evicted_clients", "Clients disconnected for want of memory"),
    ("eviction_exceeded_seconds_total", "total_eviction_exceeded_time", "Time with more memory used than maxmemory"),
    ("keyspace_hits_total", "keyspace_hits", "Key look-ups that found the key"),
    ("keyspace_misses_total", "keyspace_misses", "Key look-ups that did not"),
    ("pubsub_channels", "pubsub_channels", "Channels with subscribers"),
    ("pubsub_patterns", "pubsub_patterns", "Patterns with subscribers"),
    ("pubsub_shard_channels", "pubsubshard_channels", "Shard channels with subscribers"),
    ("last_fork_seconds", "latest_fork_usec", "How long the last fork stopped the server"),
    ("forks_total", "total_forks", "Forks"),
    ("migrate_cached_sockets", "migrate_cached_sockets", "Sockets kept open for MIGRATE"),
    ("replica_expires_tracked_keys", "slave_expires_tracked_keys", "Keys that a writable replica must expire itself"),
    ("defrag_hits_total", "active_defrag_hits", "Values moved by defragmentation"),
    ("defrag_misses_total", "active_defrag_misses", "Values looked at by defragmentation and left"),
    ("defrag_key_hits_total", "active_defrag_key_hits", "Keys with moved values"),
    ("defrag_key_misses_total", "active_defrag_key_misses", "Keys without moved values"),
    ("defrag_seconds_total", "total_active_defrag_time", "Time with defragmentation at work"),
    ("tracking_keys", "tracking_total_keys", "Keys that clients are told of"),
    ("tracking_items", "tracking_total_items", "Clients to be told, summed over keys"),
    ("tracking_prefixes", "tracking_total_prefixes", "Prefixes that clients are told of"),
    ("error_replies_total", "total_error_replies", "Error replies"),
    ("unexpected_error_replies_total", "unexpected_error_replies", "Error replies to the server's own commands"),
    ("payload_sanitizations_total", "dump_payload_sanitizations", "Payloads of RESTORE that were checked in depth"),
    ("reads_total", "total_reads_processed", "Reads from sockets"),
    ("writes_total", "total_writes_processed", "Writes to sockets"),
    ("threaded_reads_total", "io_threaded_reads_processed", "Reads done by I/O threads"),
    ("threaded_writes_total", "io_threaded_writes_processed", "Writes done by I/O threads"),
    ("io_threads_active", "io_threads_active", "Whether the I/O threads are at work"),
    ("acl_denied_logins_total", "acl_access_denied_auth", "Logins refused"),
    ("acl_denied_commands_total", "acl_access_denied_cmd", "Commands refused by the ACL"),
    ("acl_denied_keys_total", "acl_access_denied_key", "Keys refused by the ACL"),
    ("acl_denied_channels_total", "acl_access_denied_channel", "Channels refused by the ACL"),
    ("output_buffer_disconnections_total", "client_output_buffer_limit_disconnections", "Clients that read too slowly"),
    ("query_buffer_disconnections_total", "client_query_buffer_limit_disconnections", "Clients with too long a query"),
    ("connected_replicas", "connected_slaves", "Connected replicas"),
    ("replication_offset_bytes", "master_repl_offset", "Position in the stream of replication"),
    ("replication_second_offset_bytes", "second_repl_offset", "Position up to which the former stream is accepted"),
    ("replication_backlog_active", "repl_backlog_active", "Whether there is a replication backlog"),
    ("replication_backlog_max_bytes", "repl_backlog_size", "Size that the replication backlog may reach"),
    (
        "replication_backlog_start_offset_bytes",
        "repl_backlog_first_byte_offset",
        "Position of the backlog's first byte",
    ),
    ("replication_backlog_bytes", "repl_backlog_histlen", "What stands in the replication backlog"),
    ("primary_link_up", "master_link_status", "Whether a replica is connected to its primary"),
    ("primary_link_down_seconds", "master_link_down_since_seconds", "For how long it has not been"),
    ("primary_sync_in_progress", "master_sync_in_progress", "Whether a replica begins anew"),
    ("replica_offset_processed_bytes", "slave_repl_offset", "Position of a replica in its primary's stream"),
    ("replica_read_only", "slave_read_only", "Whether a replica refuses writes"),
    ("replica_priority", "slave_priority", "Rank of a replica in failovers; 0 is never"),
    ("cpu_system_seconds_total", "used_cpu_sys", "System CPU time of the server"),
    ("cpu_user_seconds_total", "used_cpu_user", "User CPU time of the server"),
    ("cpu_children_system_seconds_total", "used_cpu_sys_children", "System CPU time of its child processes"),
    ("cpu_children_user_seconds_total", "used_cpu_user_children", "User CPU time of its child processes"),
    ("cpu_main_thread_system_seconds_total", "used_cpu_sys_main_thread", "System CPU time of its main thread alone"),
    ("cpu_main_thread_user_seconds_total", "used_cpu_user_main_thread", "User CPU time of its main thread alone"),
    ("cluster_enabled", "cluster_enabled", "Whether the server is part of a cluster"),
    ("sentinel_primaries", "sentinel_masters", "Primaries that a Sentinel watches"),
    ("sentinel_tilt", "sentinel_tilt", "Whether a Sentinel distrusts its clock"),
    ("sentinel_running_scripts", "sentinel_running_scripts", "Scripts that a Sentinel runs now"),
    ("sentinel_queued_scripts", "sentinel_scripts_queue_length", "Scripts that wait for a Sentinel to run them"),
    ("sentinel_simulated_failures", "sentinel_simulate_failure_flags", "Failures that a Sentinel was told to simulate"),
)
CLUSTER: dict[bytes, Family] = _table(
    "CLUSTER INFO",
    ("cluster_ok", "cluster_state", "Whether the cluster serves"),
    ("cluster_slots_assigned", "cluster_slots_assigned", "Slots that a node is responsible for"),
    ("cluster_slots_ok", "cluster_slots_ok", "Slots of nodes that answer"),
    ("cluster_slots_suspected", "cluster_slots_pfail", "Slots of nodes that this node cannot reach"),
    ("cluster_slots_failed", "cluster_slots_fail", "Slots of nodes that the cluster holds for dead"),
    ("cluster_nodes", "cluster_known_nodes", "Nodes that this node knows"),
    ("cluster_shards", "cluster_size", "Primaries with slots"),
    ("cluster_epoch", "cluster_current_epoch", "Epoch of the cluster"),
    ("cluster_node_epoch", "cluster_my_epoch", "Epoch of this node's configuration"),
    ("cluster_messages_sent_total", "cluster_stats_messages_sent", "Messages sent over the cluster bus"),
    ("cluster_messages_received_total", "cluster_stats_messages_received", "Messages received over the cluster bus"),
)
COMMANDS = _family("commands_total", "Calls of each command, from commandstats of INFO.", "command")
COMMAND_SECONDS = _family("command_seconds_total", "Time spent in each command, commandstats of INFO.", "command")
COMMAND_REJECTIONS = _family(
    "commands_rejected_total", "Calls refused before they ran, rejected_calls in commandstats of INFO.", "command"
)
COMMAND_FAILURES = _family(
    "commands_failed_total", "Calls that ended in an error, failed_calls in commandstats of INFO.", "command"
)
COMMAND_LATENCY = _family(
    "command_latency_seconds",
    "Percentiles of the time in each command since the start or CONFIG RESETSTAT, latencystats of INFO.",
    "command",
    "percentile",
)
ERRORS = _family("errors_total", "Error replies by their first word, from errorstats of INFO.", "error")
KEYS = _family("keys", "Keys in each database, from the keyspace section of INFO.", "db")
KEYS_EXPIRING = _family("keys_expiring", "Keys with a time to live, from the keyspace section of INFO.", "db")
KEYS_TTL = _family("keys_average_ttl_seconds", "Average time to live, avg_ttl in the keyspace section of INFO.", "db")
REPLICA_OFFSET = _family("replica_offset_bytes", "Position that a replica confirmed, from slaveN of INFO.", "replica")
REPLICA_LAG = _family(
    "replica_lag_seconds", "Since when a replica confirmed nothing, lag in slaveN of INFO.", "replica"
)
REPLICA_ONLINE = _family("replica_online", "Whether the state in slaveN of INFO is online.", "replica")
PRIMARY = _family("primary_info", "Primary of a replica, from INFO; always 1.", "host", "port", kind=MetricType.INFO)
PRIMARY_IO = _family(
    "primary_last_io_timestamp_seconds", "When a replica last heard of its primary, master_last_io_seconds_ago of INFO."
)
SENTINEL_OK = _family("sentinel_primary_ok", "Whether the status in masterN of INFO is ok.", "primary")
SENTINEL_REPLICAS = _family("sentinel_primary_replicas", "Known replicas, slaves in masterN of INFO.", "primary")
SENTINEL_SENTINELS = _family("sentinel_primary_sentinels", "Known Sentinels, sentinels in masterN of INFO.", "primary")
SLOWLOG = _family("slowlog_entries", "Entries in the slow log, SLOWLOG LEN.")
SLOWLOG_LOGGED = _family("slowlog_logged_total", "Commands logged as slow, from the last id of SLOWLOG GET 1.")
SLOWLOG_LAST = _family("slowlog_last_duration_seconds", "How long the last logged command took, SLOWLOG GET 1.")
DATABASES = _family("databases", "The setting databases, by CONFIG GET.")
IO_THREADS = _family("io_threads", "The setting io-threads, by CONFIG GET.")
LATENCY_LAST = _family("latency_event_last_seconds", "Duration of the last spike, LATENCY LATEST.", "event")
LATENCY_MAX = _family("latency_event_max_seconds", "Duration of the longest spike, LATENCY LATEST.", "event")
LATENCY_TIME = _family("latency_event_timestamp_seconds", "When the last spike was, LATENCY LATEST.", "event")

# From the unit of the source to the base unit.
EXPONENTS = {
    NUMBERS[b"active_defrag_running"]: -2,
    NUMBERS[b"expired_stale_perc"]: -2,
    NUMBERS[b"expire_cycle_cpu_milliseconds"]: -3,
    NUMBERS[b"total_eviction_exceeded_time"]: -3,
    NUMBERS[b"total_active_defrag_time"]: -3,
    NUMBERS[b"latest_fork_usec"]: -6,
    COMMAND_SECONDS: -6,
    COMMAND_LATENCY: -6,
    KEYS_TTL: -3,
    SLOWLOG_LAST: -6,
    LATENCY_LAST: -3,
    LATENCY_MAX: -3,
}
SERVER = (*NUMBERS.values(), MAX_MEMORY, START, PRIMARY_IO)
OTHERS = (DATABASES, IO_THREADS, SLOWLOG, SLOWLOG_LOGGED, SLOWLOG_LAST)
COMMAND_STATISTICS = (COMMANDS, COMMAND_SECONDS, COMMAND_REJECTIONS, COMMAND_FAILURES)
KEYSPACE = (KEYS, KEYS_EXPIRING, KEYS_TTL)
REPLICAS = (REPLICA_OFFSET, REPLICA_LAG, REPLICA_ONLINE)
SENTINEL = (SENTINEL_OK, SENTINEL_REPLICAS, SENTINEL_SENTINELS)
LATENCY = (LATENCY_TIME, LATENCY_LAST, LATENCY_MAX)
FAMILIES: tuple[Family, ...] = (
    UP,
    INFO,
    *SERVER,
    *CLUSTER.values(),
    *OTHERS,
    *COMMAND_STATISTICS,
    COMMAND_LATENCY,
    ERRORS,
    *KEYSPACE,
    *REPLICAS,
    PRIMARY,
    *SENTINEL,
    *LATENCY,
)
