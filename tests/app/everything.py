"""A perfloop.yml that asks for everything, of real servers and real files that have something to tell."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg2
from msgspec import Struct

from perfloop.stack import servers
from perfloop.stack.process import Child, free_port
from tests.collectors.name_server import NameServer
from tests.collectors.web_server import WebServer

COMPAT = frozenset({"node", "postgres", "redis"})
RESULTS = Path(__file__).parent.parent / "collectors" / "results"
TOKEN = "a-token-of-the-tests"
PUSH = "# HELP rows_processed Rows of the last run.\n# TYPE rows_processed gauge\nrows_processed 7\n"

# What it has to tell more with these.
_REDIS = {"slowlog-log-slower-than": "0", "appendonly": "yes", "maxmemory": "64mb"}
_TEXTFILE = """# HELP backup_duration_seconds How long the backup took.
# TYPE backup_duration_seconds histogram
backup_duration_seconds_bucket{le="1"} 1
backup_duration_seconds_bucket{le="+Inf"} 2
backup_duration_seconds_sum 3.5
backup_duration_seconds_count 2
"""
_LOG = """127.0.0.1 - - [01/Jan/2026:00:00:00 +0000] "GET /orders/17 HTTP/1.1" 200 512 "-" "curl" 0.012
127.0.0.1 - - [01/Jan/2026:00:00:01 +0000] "POST /orders HTTP/1.1" 503 64 "-" "curl" 0.250
"""
_YML = """
collectors:
  network:
    max_connections: 100000
    targets:
    - {{component: cache, address: "{redis}"}}
    ping:
    - {{component: loopback, host: 127.0.0.1}}
    dns:
    - {{component: names, name: a.test, server: "{names}"}}
    tls:
    - {{component: shop, address: "{https}", ca_file: ca.pem}}
  process:
    proportional_memory: true
    groups:
    - {{name: caches, names: [redis-server, memcached]}}
    - {{name: databases, names: [postgres, mariadbd], children: true}}
  application:
    probes:
    - {{component: shop, url: "https://{https}/", tls: {{ca_file: ca.pem}}}}
    - {{component: shop-plain, url: "http://{http}/404", expect_status: 404}}
  access_log:
    files:
    - {{component: shop, path: access.log, start: beginning, routes: ["/orders", "/orders/{{id}}"]}}
  benchmarks:
    sources:
    - {{component: parser, path: bench.txt, tool: go}}
    - {{component: parser, path: hyperfine.json, tool: hyperfine}}
    - {{component: parser, path: pytest_benchmark.json, tool: pytest-benchmark}}
  textfile: {{folders: [textfile]}}
  push: {{token: {{file: push-token}}}}
components:
  db:
    driver: postgresql
    address: "{postgresql}"
    user: postgres
    database: everything
    tables: {{databases: [postgres]}}
    queries:
    - {{name: relations, sql: "select relkind::text as kind, count(*) as amount from pg_class group by relkind",
       labels: [kind], values: {{amount: {{type: gauge, help: Relations by kind.}}}}}}
  db-too: {{driver: postgresql, address: "{postgresql}", user: postgres}}
  pool: {{driver: pgbouncer, address: "{pgbouncer}", user: postgres}}
  sql:
    driver: mysql
    address: "{mariadb}"
    user: root
    queries:
    - {{name: engines, sql: "select count(*) as amount from information_schema.engines",
       values: {{amount: {{type: gauge, help: Engines.}}}}}}
  cache: {{driver: redis, address: "{redis}"}}
  cache-too: {{driver: redis, address: "{redis}"}}
  memory: {{driver: memcached, address: "{memcached}"}}
"""


class Everyone(Struct, frozen=True, kw_only=True):
    """All servers that the exporter can measure."""

    postgresql: Child
    pgbouncer: Child
    mariadb: Child
    redis: Child
    memcached: Child
    web: WebServer
    names: NameServer


@contextmanager
def busy_servers(folder: Path, *, postgresql: Child, pgbouncer: Child, mariadb: Child) -> Iterator[Everyone]:
    """Start what is missing, and use each server a little, so that it has something to tell."""
    web = WebServer(folder)
    redis = servers.redis(folder, port=free_port(), settings=_REDIS)
    memcached = servers.memcached(folder / "memcached", port=free_port())
    with ExitStack() as running:
        for child in (web.child, redis, memcached):
            child.start()
            running.callback(child.stop)
        names = running.enter_context(NameServer())
        running.enter_context(_database(postgresql))
        running.enter_context(closing(_connect(pgbouncer, "everything"))).cursor().execute("select 1")
        for child in (web.child, redis, memcached):
            child.wait_ready()
        _say(redis, b"set a 1 ex 3600\r\nnonsense\r\nquit\r\n")
        _say(memcached, b"set a 0 3600 1\r\n1\r\nget a\r\nquit\r\n")
        yield Everyone(
            postgresql=postgresql,
            pgbouncer=pgbouncer,
            mariadb=mariadb,
            redis=redis,
            memcached=memcached,
            web=web,
            names=names,
        )


@contextmanager
def _database(postgresql: Child) -> Iterator[None]:
    with closing(_connect(postgresql, "postgres")) as admin:
        admin.cursor().execute("create database everything")
        with closing(_connect(postgresql, "everything")) as connection:
            for statement in (
                "create extension pg_stat_statements",
                "create table parts (id int primary key, name text); insert into parts values (1, 'bolt')",
                "vacuum analyze parts",
            ):
                connection.cursor().execute(statement)
        yield
        admin.cursor().execute("drop database everything with (force)")


def _connect(server: Child, database: str) -> psycopg2.extensions.connection:
    host, _, port = server.address.rpartition(":")
    connection = psycopg2.connect(host=host, port=port, user="postgres", dbname=database)
    connection.autocommit = True
    return connection


def _say(server: Child, words: bytes) -> None:
    host, _, port = server.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as client:
        client.sendall(words)
        while client.recv(1 << 16):
            pass


def write_files(folder: Path, everyone: Everyone) -> str:
    """Put the files that are read into the folder, and return the perfloop.yml."""
    shutil.copy(everyone.web.ca_file, folder / "ca.pem")
    for name in ("hyperfine.json", "pytest_benchmark.json"):
        shutil.copy(RESULTS / name, folder / name)
    (folder / "bench.txt").write_text("BenchmarkParse 10 2000 ns/op 64.5 MB/s 16 B/op 2 allocs/op\n")
    (folder / "access.log").write_text(_LOG)
    (folder / "push-token").write_text(TOKEN)
    (folder / "textfile").mkdir()
    (folder / "textfile" / "backup.prom").write_text(_TEXTFILE)
    return _YML.format(
        http=everyone.web.http,
        https=everyone.web.good,
        names=everyone.names.address,
        **{
            name: getattr(everyone, name).address
            for name in ("postgresql", "pgbouncer", "mariadb", "redis", "memcached")
        },
    )
