"""The whole stack on one machine: compiled configuration in a state folder, and the processes that use it."""

from __future__ import annotations

import fcntl
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from perfloop.app.compile import compile_all, retention_flag, write_all
from perfloop.config import Config, load
from perfloop.errors import PerfloopError, StackFailed
from perfloop.prometheus.client import PrometheusClient
from perfloop.rules.catalogue import catalogue
from perfloop.stack import servers
from perfloop.stack.process import Child, port_is_taken


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One recorded series now, for people."""

    metric: str
    about: str
    value: float
    unit: str


class Stack:
    """Prometheus, Alertmanager, the exporter and the optimizer, as the configuration describes them."""

    def __init__(self, config_file: Path, *, state: Path) -> None:
        self.config = load(config_file)
        self.file, self.state = config_file.resolve(), state.resolve()
        self.prometheus_url = self.config.prometheus.url
        self._client = PrometheusClient(self.prometheus_url)

    def prepare(self) -> list[Child]:
        """Make the token, compile the configuration, and return the children, not yet started.

        Raises StackFailed if the folder is in use or cannot be written, a port is taken, or a program is missing.
        """
        try:
            self.state.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self.state)
            self._check_ports()
            make_token(self.file.parent, self.config)
        except OSError as error:
            raise StackFailed(f"cannot write {error.filename}: {error.strerror}") from error
        compiled = self.state / "compiled"
        write_all(compile_all(self.config, config_path=self.file, out=compiled), compiled)
        retention = retention_flag(self.config).rpartition("=")[2]
        return [
            servers.prometheus(
                self.state, config=compiled / "prometheus.yml", port=_port(self.prometheus_url), retention=retention
            ),
            servers.alertmanager(
                self.state,
                config=compiled / "alertmanager.yml",
                port=_port(self.config.prometheus.alertmanager_url),
            ),
            self._own("exporter", self.config.web.exporter_address),
            self._own("optimizer", self.config.web.optimizer_address),
        ]

    def readings(self) -> list[Reading]:
        """Return what is measured now: every recorded catalogue series. Empty while no exporter answers Prometheus."""
        entries = catalogue(self.config.metrics)
        # A plain selector would look back five minutes, to before the last restart, and call that "now".
        recent = f"[{2 * self.config.performance_collection.collection_interval}s]"
        measured, answers = f'last_over_time({{__name__=~"perfloop:.+"}}{recent})', f'up{{job="perfloop"}}{recent}'
        try:
            found = self._client.query(f"{measured} and on () (last_over_time({answers}) == 1)")
        except PerfloopError:
            return []
        readings = [
            Reading(metric=name, about=_about(series.labels), value=series.sample.value, unit=entries[name].unit)
            for series in found
            if (name := series.labels["__name__"].removeprefix("perfloop:")) in entries
        ]
        return sorted(readings, key=lambda reading: (reading.metric, reading.about))

    def _own(self, name: str, address: str) -> Child:
        argv = [sys.executable, "-P", "-m", "perfloop", name, "--config.file", str(self.file)]
        ready = f"http://{address}/-/ready"
        return Child(
            name,
            argv,
            log=self.state / f"{name}.log",
            ready=lambda: servers.http_ready(ready),
            address=f"http://{address}",
        )

    def _check_ports(self) -> None:
        addresses = {
            "prometheus.url": urlsplit(self.prometheus_url).netloc,
            "prometheus.alertmanager_url": urlsplit(self.config.prometheus.alertmanager_url).netloc,
            "web.exporter_address": self.config.web.exporter_address,
            "web.optimizer_address": self.config.web.optimizer_address,
        }
        for key, address in addresses.items():
            host, _, port = address.rpartition(":")
            if host not in {"127.0.0.1", "localhost"}:
                raise StackFailed(f"{key} is {address}: the stack runs on loopback only; use 127.0.0.1:PORT")
            if list(addresses.values()).count(address) > 1:
                raise StackFailed(f"{key} is {address}, and so is another address in {self.file}; each needs its own")
            if port_is_taken("127.0.0.1", int(port)):
                raise StackFailed(f"{address} is taken by another process; end that, or change {key} in {self.file}")


def make_token(base: Path, config: Config) -> None:
    """Write a random token to web.token.file if there is none; readable by the owner only, and whole or not at all."""
    if config.web.token.file is None:
        return
    path = base / config.web.token.file
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    part.write_text(secrets.token_urlsafe(32) + "\n", encoding="utf-8")
    part.replace(path)


def _lock(state: Path) -> IO[str]:
    """Hold the folder until this process ends, however it ends."""
    lock = (state / "up.lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        owner = lock.read().strip()
        raise StackFailed(f"{state} is in use by another perfloop (pid {owner}); it serves one stack") from error
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _about(labels: Mapping[str, str]) -> str:
    for key in ("component", "mountpoint", "device", "instance"):
        if labels.get(key):
            return labels[key]
    return ""


def _port(url: str) -> int:
    port = urlsplit(url).port
    if port is None:
        raise StackFailed(f"{url} has no port")
    return port
