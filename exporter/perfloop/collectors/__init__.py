"""Collectors: each measures this host or one target, and is named once, in the table below.

A new one needs a file with its families and a class, a line here, and a line in `perfloop.app.exporter`, which knows
what each is made from. docs/metrics.md and the tests find it by the table.
"""

from __future__ import annotations

from perfloop.collectors.access_log import AccessLogCollector
from perfloop.collectors.application import ApplicationCollector
from perfloop.collectors.benchmarks import BenchmarksCollector
from perfloop.collectors.cgroup import CgroupCollector
from perfloop.collectors.connect import ConnectCollector
from perfloop.collectors.dns import DnsCollector
from perfloop.collectors.exporter import ExporterCollector
from perfloop.collectors.filesystem import FilesystemCollector
from perfloop.collectors.guard import FAMILIES as GUARD_FAMILIES
from perfloop.collectors.links import LinksCollector
from perfloop.collectors.memcached import MemcachedCollector
from perfloop.collectors.mysql import MysqlCollector
from perfloop.collectors.network import NetworkCollector
from perfloop.collectors.pgbouncer import PgbouncerCollector
from perfloop.collectors.ping import PingCollector
from perfloop.collectors.postgresql import PostgresqlCollector
from perfloop.collectors.process import ProcessCollector
from perfloop.collectors.push import PushCollector
from perfloop.collectors.queries import QueriesCollector
from perfloop.collectors.redis import RedisCollector
from perfloop.collectors.sockets import SocketsCollector
from perfloop.collectors.system import SystemCollector
from perfloop.collectors.textfile import TextfileCollector
from perfloop.collectors.tls import TlsCollector
from perfloop.model import Family

COLLECTORS = {
    collector.name: collector
    for collector in (
        SystemCollector,
        FilesystemCollector,
        CgroupCollector,
        NetworkCollector,
        LinksCollector,
        SocketsCollector,
        ProcessCollector,
        ConnectCollector,
        PingCollector,
        DnsCollector,
        TlsCollector,
        ApplicationCollector,
        AccessLogCollector,
        PostgresqlCollector,
        PgbouncerCollector,
        MysqlCollector,
        RedisCollector,
        MemcachedCollector,
        QueriesCollector,
        BenchmarksCollector,
        TextfileCollector,
        PushCollector,
        ExporterCollector,
    )
}

FAMILIES: tuple[Family, ...] = (
    *(family for collector in COLLECTORS.values() for family in collector.families),
    *GUARD_FAMILIES,
)
