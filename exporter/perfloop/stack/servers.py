"""The real servers that perfloop can start for itself: each on loopback, with its own data folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import requests

from perfloop.errors import StackFailed
from perfloop.stack.process import Child, as_user, find_binary

HOST = "127.0.0.1"
_MARIADB_SCRIPTS = Path("/usr/share/mysql")


def http_ready(url: str) -> bool:
    """Say whether the URL answers with 200."""
    try:
        return bool(requests.get(url, timeout=1).status_code == requests.codes.ok)
    except requests.RequestException:
        return False


def tcp_ready(port: int) -> bool:
    """Say whether a connection to the loopback port is accepted."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def database_user() -> str:
    """Return whom database servers run as: `postgres` when we are root (they refuse root), else ourselves."""
    return "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def prometheus(folder: Path, *, config: Path, port: int, retention: str = "15d", options: Sequence[str] = ()) -> Child:
    """Prometheus with its own data folder; reloads on POST /-/reload."""
    data = folder / "prometheus"
    data.mkdir(parents=True, exist_ok=True)
    argv = [
        find_binary("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        f"--storage.tsdb.retention.time={retention}",
        f"--web.listen-address={HOST}:{port}",
        "--web.enable-lifecycle",
        *options,
    ]
    url = f"http://{HOST}:{port}"
    return Child(
        "prometheus", argv, log=folder / "prometheus.log", ready=lambda: http_ready(f"{url}/-/ready"), address=url
    )


def alertmanager(folder: Path, *, config: Path, port: int) -> Child:
    """Alertmanager, alone (no cluster), with its own data folder."""
    data = folder / "alertmanager"
    data.mkdir(parents=True, exist_ok=True)
    argv = [
        find_binary("prometheus-alertmanager"),
        f"--config.file={config}",
        f"--storage.path={data}",
        f"--web.listen-address={HOST}:{port}",
        "--cluster.listen-address=",
    ]
    url = f"http://{HOST}:{port}"
    return Child(
        "alertmanager", argv, log=folder / "alertmanager.log", ready=lambda: http_ready(f"{url}/-/ready"), address=url
    )


def postgresql(folder: Path, *, port: int, settings: dict[str, str] | None = None) -> Child:
    """PostgreSQL with trust on loopback, superuser `postgres`; the cluster is made when it is not there yet.

    As root it runs as `postgres`, so `folder` must be reachable by that user (not below /root).
    """
    data = folder / "postgresql"
    if not (data / "PG_VERSION").exists():
        _init_postgresql(data)
    options = {"port": str(port), "listen_addresses": HOST, "unix_socket_directories": "", **(settings or {})}
    argv = [find_binary("postgres"), "-D", str(data), *(f"--{key}={value}" for key, value in options.items())]
    return Child(
        "postgresql",
        argv,
        log=folder / "postgresql.log",
        ready=lambda: _postgresql_ready(port),
        user=database_user(),
        stop_signal=signal.SIGINT,
        address=f"{HOST}:{port}",
    )


def pgbouncer(
    folder: Path,
    *,
    port: int,
    database_port: int,
    pool_size: int = 20,
    settings: dict[str, str] | None = None,
    name: str = "pgbouncer",
) -> Child:
    """PgBouncer in transaction mode before a PostgreSQL on loopback; `postgres` is its admin, without a password."""
    config = folder / f"{name}.ini"
    options = {
        "listen_addr": HOST,
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "any",
        "admin_users": "postgres",
        "pool_mode": "transaction",
        "default_pool_size": str(pool_size),
        "max_client_conn": "200",
        "ignore_startup_parameters": "extra_float_digits",
        **(settings or {}),
    }
    lines = [f"{key} = {value}" for key, value in options.items()]
    config.write_text(
        "\n".join(["[databases]", f"* = host={HOST} port={database_port} user=postgres", "[pgbouncer]", *lines, ""]),
        encoding="utf-8",
    )
    return Child(
        name,
        [find_binary("pgbouncer"), str(config)],
        log=folder / f"{name}.log",
        ready=lambda: tcp_ready(port),
        user=database_user(),
        stop_signal=signal.SIGINT,
        address=f"{HOST}:{port}",
    )


def redis(folder: Path, *, port: int, settings: dict[str, str] | None = None) -> Child:
    """Redis in memory only."""
    data = folder / "redis"
    data.mkdir(parents=True, exist_ok=True)
    options = {"port": str(port), "bind": HOST, "dir": str(data), "save": "", "appendonly": "no", **(settings or {})}
    argv = [find_binary("redis-server"), *(part for key, value in options.items() for part in (f"--{key}", value))]
    return Child("redis", argv, log=folder / "redis.log", ready=lambda: tcp_ready(port), address=f"{HOST}:{port}")


def mariadb(folder: Path, *, port: int, settings: dict[str, str] | None = None) -> Child:
    """MariaDB with superuser `root` without a password on loopback; its files are made when they are not there yet.

    As root it runs as `postgres`, so `folder` must be reachable by that user. Its UNIX socket is mariadb.sock.
    """
    data = folder / "mariadb"
    if not (data / "mysql").exists():
        _init_mariadb(data)
    options = {
        "port": str(port),
        "bind-address": HOST,
        "socket": str(data / "mariadb.sock"),
        "pid-file": str(data / "mariadb.pid"),
        "skip-name-resolve": "ON",
        "innodb-buffer-pool-size": "16M",
        "innodb-flush-log-at-trx-commit": "0",
        **(settings or {}),
    }
    argv = [find_binary("mariadbd"), "--no-defaults", f"--datadir={data}"]
    return Child(
        "mariadb",
        [*argv, *(f"--{key}={value}" for key, value in options.items())],
        log=folder / "mariadb.log",
        ready=lambda: tcp_ready(port),
        user=database_user(),
        address=f"{HOST}:{port}",
    )


def memcached(folder: Path, *, port: int, options: tuple[str, ...] = ()) -> Child:
    """Memcached with 16 MiB."""
    folder.mkdir(parents=True, exist_ok=True)
    argv = [find_binary("memcached"), "-l", HOST, "-p", str(port), "-m", "16", "-U", "0", *options]
    return Child(
        "memcached",
        argv,
        log=folder / "memcached.log",
        ready=lambda: tcp_ready(port),
        user=database_user(),
        address=f"{HOST}:{port}",
    )


def _init_mariadb(data: Path) -> None:
    data.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        shutil.chown(data, database_user(), database_user())
    # What mariadb-install-db runs; that itself needs programs of another package.
    tables = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")
    statements = "create database mysql;\nuse mysql;\nset @auth_root_socket=NULL;\n"
    statements += "".join((_MARIADB_SCRIPTS / name).read_text(encoding="utf-8") for name in tables)
    argv = [find_binary("mariadbd"), "--no-defaults", "--bootstrap", f"--datadir={data}"]
    argv += [
        "--innodb-buffer-pool-size=16M",
        "--innodb-log-file-size=4M",
        "--max-allowed-packet=8M",
        "--log-warnings=0",
    ]
    done = subprocess.run(
        [find_binary("setpriv"), *as_user(database_user()), *argv],
        input=statements,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    if done.returncode != 0:
        raise StackFailed(f"mariadbd --bootstrap failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}")


def _init_postgresql(data: Path) -> None:
    data.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        shutil.chown(data, database_user(), database_user())
    argv = [find_binary("initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
    done = subprocess.run(
        [find_binary("setpriv"), *as_user(database_user()), *argv], capture_output=True, text=True, check=False, cwd="/"
    )
    if done.returncode != 0:
        raise StackFailed(f"initdb failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}")


def _postgresql_ready(port: int) -> bool:
    probe = subprocess.run(
        [find_binary("pg_isready"), "-q", "-h", HOST, "-p", str(port)], capture_output=True, check=False, timeout=5
    )
    return probe.returncode == 0
