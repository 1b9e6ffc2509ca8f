"""Collectors: each measures this host or one target, and is named once, in the table below.

A new one needs a file with its families and a class, a line here, and a line in `perfloop.app.collectors`, which knows
what each is made from. docs/metrics.md and the tests find it by the table.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from perfloop.model import Family

# Name: module and class. Imported when it is configured, so that an exporter holds in memory only what it measures.
COLLECTORS = {
    "system": "system:SystemCollector",
    "filesystem": "filesystem:FilesystemCollector",
    "cgroup": "cgroup:CgroupCollector",
    "network": "network:NetworkCollector",
    "links": "links:LinksCollector",
    "sockets": "sockets:SocketsCollector",
    "process": "process:ProcessCollector",
    "connect": "connect:ConnectCollector",
    "ping": "ping:PingCollector",
    "dns": "dns:DnsCollector",
    "tls": "tls:TlsCollector",
    "application": "application:ApplicationCollector",
    "access_log": "access_log:AccessLogCollector",
    "postgresql": "postgresql:PostgresqlCollector",
    "pgbouncer": "pgbouncer:PgbouncerCollector",
    "mysql": "mysql:MysqlCollector",
    "redis": "redis:RedisCollector",
    "memcached": "memcached:MemcachedCollector",
    "queries": "queries:QueriesCollector",
    "benchmarks": "benchmarks:BenchmarksCollector",
    "textfile": "textfile:TextfileCollector",
    "push": "push:PushCollector",
    "exporter": "exporter:ExporterCollector",
}


def collector(name: str) -> Any:  # noqa: ANN401 - classes with constructors of their own
    """Return the class of a collector."""
    module, _, cls = COLLECTORS[name].partition(":")
    return getattr(import_module(f"perfloop.collectors.{module}"), cls)


def all_families() -> tuple[Family, ...]:
    """Return every family that an exporter can show, whatever is configured."""
    guard = import_module("perfloop.collectors.guard")
    return (*(family for name in COLLECTORS for family in collector(name).families), *guard.FAMILIES)
