"""What is exported of a Memcached server: the families, and the statistic each comes from."""

from __future__ import annotations

from perfloop.model import Family, MetricType


def _family(name: str, text: str, *labels: str, kind: MetricType | None = None) -> Family:
    by_name = MetricType.COUNTER if name.endswith("_total") else MetricType.GAUGE
    return Family(name=f"perfloop_memcached_{name}", type=kind or by_name, help=text, labels=("component", *labels))


def _table(source: str, *rows: tuple[str, str, str], labels: tuple[str, ...] = ()) -> dict[bytes, Family]:
    return {key.encode(): _family(name, f"{text}, {key} of {source}.", *labels) for name, key, text in rows}


UP = _family("up", "Whether the Memcached server answered in time.")
INFO = _family("info", "Version of the server; always 1.", "version", kind=MetricType.INFO)
START = _family("start_timestamp_seconds", "When the server was started, time less uptime of stats.")

STATISTICS: dict[bytes, Family] = _table(
    "stats",
    ("connections", "curr_connections", "Open connections"),
    ("max_connections", "max_connections", "Connections that the server accepts at once"),
    ("connections_received_total", "total_connections", "Connections accepted"),
    ("connections_rejected_total", "rejected_connections", "Connections refused at the limit"),
    ("connections_yielded_total", "conn_yields", "Times that a connection had to let others go first"),
    ("accepting_connections", "accepting_conns", "Whether new connections are accepted"),
    ("listen_disabled_total", "listen_disabled_num", "Times that the limit of connections was reached"),
    ("listen_disabled_seconds_total", "time_in_listen_disabled_us", "Time spent at the limit"),
    ("sets_total", "cmd_set", "Values stored"),
    ("flushes_total", "cmd_flush", "Calls of flush_all"),
    ("gets_expired_total", "get_expired", "Misses as the item had expired"),
    ("gets_flushed_total", "get_flushed", "Misses as the item had been flushed"),
    ("stores_too_large_total", "store_too_large", "Values refused as too large"),
    ("stores_without_memory_total", "store_no_memory", "Values refused for want of memory"),
    ("logins_total", "auth_cmds", "Logins"),
    ("logins_failed_total", "auth_errors", "Logins refused"),
    ("received_bytes_total", "bytes_read", "Bytes received"),
    ("sent_bytes_total", "bytes_written", "Bytes sent"),
    ("items_max_bytes", "limit_maxbytes", "Memory that items may take"),
    ("items_bytes", "bytes", "Memory that items take"),
    ("items", "curr_items", "Items"),
    ("items_stored_total", "total_items", "Items ever stored"),
    ("evictions_total", "evictions", "Items evicted for want of memory, though they were valid"),
    ("evictions_unfetched_total", "evicted_unfetched", "Those that nobody had asked for"),
    ("evictions_active_total", "evicted_active", "Those that had been asked for lately"),
    ("expired_unfetched_total", "expired_unfetched", "Items that expired and that nobody had asked for"),
    ("reclaimed_total", "reclaimed", "Items stored in the place of an expired one"),
    ("slabs_moved_total", "slabs_moved", "Pages moved from one slab class to another"),
    ("crawler_reclaimed_total", "crawler_reclaimed", "Expired items that the crawler freed"),
    ("crawler_items_checked_total", "crawler_items_checked", "Items that the crawler looked at"),
    ("lru_moves_to_cold_total", "moves_to_cold", "Items moved from the hot or warm list to the cold one"),
    ("lru_moves_to_warm_total", "moves_to_warm", "Items moved from the cold list to the warm one"),
    ("lru_moves_within_total", "moves_within_lru", "Items moved within the hot or warm list"),
    ("direct_reclaims_total", "direct_reclaims", "Times that a store had to free memory itself"),
    ("threads", "threads", "Threads that serve connections"),
    ("hash_bytes", "hash_bytes", "Memory of the hash table"),
    ("hash_expanding", "hash_is_expanding", "Whether the hash table is growing"),
    ("cpu_user_seconds_total", "rusage_user", "User CPU time of the server"),
    ("cpu_system_seconds_total", "rusage_system", "System CPU time of the server"),
)
SETTINGS: dict[bytes, Family] = _table(
    "stats settings",
    ("item_max_bytes", "item_size_max", "Size that an item may have"),
    ("evictions_enabled", "evictions", "Whether valid items are evicted for want of memory"),
    ("lru_crawler_enabled", "lru_crawler", "Whether expired items are looked for"),
)
TOTALS: dict[bytes, Family] = _table(
    "stats slabs",
    ("slab_classes", "active_slabs", "Slab classes in use"),
    ("slab_bytes", "total_malloced", "Memory of all slab pages"),
)
SLABS: dict[bytes, Family] = _table(
    "stats slabs",
    ("slab_chunk_bytes", "chunk_size", "Size of a chunk"),
    ("slab_page_chunks", "chunks_per_page", "Chunks in a page"),
    ("slab_pages", "total_pages", "Pages"),
    ("slab_chunks", "total_chunks", "Chunks"),
    ("slab_chunks_used", "used_chunks", "Chunks with an item"),
    ("slab_chunks_free", "free_chunks", "Chunks without"),
    ("slab_requested_bytes", "mem_requested", "Memory that items asked for"),
    ("slab_sets_total", "cmd_set", "Values stored"),
    labels=("slab",),
)
ITEMS: dict[bytes, Family] = _table(
    "stats items",
    ("slab_items", "number", "Items"),
    ("slab_oldest_item_age_seconds", "age", "Age of the item that is next to be evicted"),
    ("slab_last_eviction_idle_seconds", "evicted_time", "How long the item evicted last had not been asked for"),
    ("slab_evictions_total", "evicted", "Items evicted, though they were valid"),
    ("slab_evictions_expiring_total", "evicted_nonzero", "Those that would have expired by themselves"),
    ("slab_evictions_unfetched_total", "evicted_unfetched", "Those that nobody had asked for"),
    ("slab_out_of_memory_total", "outofmemory", "Values refused for want of memory"),
    ("slab_reclaimed_total", "reclaimed", "Items stored in the place of an expired one"),
    ("slab_expired_unfetched_total", "expired_unfetched", "Items that expired and that nobody had asked for"),
    ("slab_tail_repairs_total", "tailrepairs", "Items with a lost reference that were freed"),
    labels=("slab",),
)
COMMANDS = _family("commands_total", "Commands by what they found, of stats.", "command", "status")
# By the key of stats: command and status.
COMMAND_LABELS: dict[bytes, tuple[str, str]] = {
    f"{command}_{key}".encode(): (command, status)
    for command in ("get", "delete", "incr", "decr", "cas", "touch")
    for key, status in (("hits", "hit"), ("misses", "miss"), ("badval", "changed"))
    if key != "badval" or command == "cas"
}
EXPONENTS = {STATISTICS[b"time_in_listen_disabled_us"]: -6}
SERVER = (*STATISTICS.values(), START)
OTHERS = (*SETTINGS.values(), *TOTALS.values())
FAMILIES: tuple[Family, ...] = (UP, INFO, *SERVER, *OTHERS, COMMANDS, *SLABS.values(), *ITEMS.values())
