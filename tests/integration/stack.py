"""A whole stack on real servers: five caches that are too full, and optimizers that hear of it by Alertmanager."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis as redis_client
import yaml

from perfloop.app.stack import Stack
from perfloop.config import Config, load
from perfloop.stack import servers
from perfloop.stack.process import Child, free_port
from perfloop.stack.supervisor import Supervisor
from perfloop.web.client import OptimizerClient

# One for each story, so that they can happen at the same time.
CACHES = ("suggested", "twice", "killed", "absent", "unverified")
LIMIT_BYTES = 3 * 1024 * 1024
# Without noise, so that the verdict is the same each time: what noise does is the judge's affair and tested there.
CROWDING = {
    "expr": "1e6 * sum without (db) (perfloop_redis_keys) / perfloop_redis_memory_max_bytes",
    "unit": "keys per megabyte",
    "direction": "lower",
}


class Ground:
    """The stack as it runs, and what the stories need to know of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.caches = {name: servers.redis(_made(folder / name), port=free_port(), settings=_LIMIT) for name in CACHES}
        self.file = folder / "perfloop.yml"
        self.addresses = {name: f"127.0.0.1:{free_port()}" for name in (*_PARTS, *CACHES)}
        self.write("perfloop.yml", policies=[policy("suggested", mode="suggest")])
        self.stack = Stack(self.file, state=folder)

    def write(self, name: str, *, optimizer: str = "optimizer", policies: list[dict[str, Any]]) -> Path:
        """Write a configuration of the same Prometheus and caches."""
        at = self.addresses
        config = {
            "performance_collection": {
                "collection_interval": 1,
                "alert_thresholds": {"crowding": {"warning_threshold": 200, "duration": 0}},
            },
            "metrics": {"crowding": CROWDING},
            "components": {name: {"driver": "redis", "address": cache.address} for name, cache in self.caches.items()},
            "policies": policies,
            "prometheus": {
                "url": f"http://{at['prometheus']}",
                "alertmanager_url": f"http://{at['alertmanager']}",
                "exporters": [at["exporter"]],
                "rate_range_seconds": 2,
            },
            "web": {
                "exporter_address": at["exporter"],
                "optimizer_address": at[optimizer],
                "token": {"file": str(self.folder / "token")},
            },
            "store": {"path": str(self.folder / f"{name}.db")},
        }
        file = self.folder / name
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        return file

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start everything; Alertmanager sends the caches `twice` and `killed` to optimizers of their own as well."""
        supervisor = Supervisor([*self.caches.values(), *self.stack.prepare()], say=_quiet)
        self._add_receivers()
        supervisor.start()
        try:
            for cache in self.caches.values():
                client(cache).mset({f"key:{i}": "x" * 1000 for i in range(1000)})
            yield
        finally:
            supervisor.stop()

    def quick(self, name: str) -> Supervisor:
        """Return the optimizer of one cache, in a hurry, not yet started."""
        file = self.write(f"{name}.yml", optimizer=name, policies=[policy(name)])
        url = f"http://{self.addresses[name]}"
        argv = [sys.executable, "-m", "tests.integration.quick", str(file)]
        ready = f"{url}/-/ready"
        log = self.folder / f"{name}.log"
        return Supervisor(
            [Child(name, argv, log=log, ready=lambda: servers.http_ready(ready), address=url)], say=_quiet
        )

    def quick_config(self, name: str) -> Config:
        """Return the configuration of an optimizer that lives in the test itself."""
        return load(self.write(f"{name}.yml", optimizer=name, policies=[policy(name)]))

    def client(self, optimizer: str) -> OptimizerClient:
        """Return a client of an optimizer's API."""
        return OptimizerClient(self.addresses[optimizer], token=(self.folder / "token").read_text().strip())

    def prometheus(self) -> Child:
        """Return one more Prometheus with the same scrapes and rules, not yet started; it may be stopped."""
        compiled = self.folder / "compiled" / "prometheus.yml"
        return servers.prometheus(_made(self.folder / "second"), config=compiled, port=free_port())

    def limit(self, name: str) -> int:
        """Return what the cache itself says of its maxmemory."""
        return int(client(self.caches[name]).config_get("maxmemory")["maxmemory"])

    def _add_receivers(self) -> None:
        file = self.folder / "compiled" / "alertmanager.yml"
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
        (self.folder / "wrong-token").write_text("wrong", encoding="utf-8")
        own, token = self.addresses, str(self.folder / "token")
        receivers = {
            "twice": (own["twice"], token),
            "killed": (own["killed"], token),
            "intruder": (own["optimizer"], str(self.folder / "wrong-token")),
        }
        often = {"group_wait": "0s", "group_interval": "1s", "repeat_interval": "1s"}
        config["route"]["routes"] = [{"receiver": n, "matchers": [f'component="{n}"'], **often} for n in receivers]
        config["receivers"] += [
            {"name": name, "webhook_configs": [_webhook(address, token)]}
            for name, (address, token) in receivers.items()
        ]
        file.write_text(yaml.safe_dump(config), encoding="utf-8")


def policy(component: str, *, mode: str = "auto") -> dict[str, Any]:
    """A policy that doubles one cache."""
    return {
        "name": f"double-{component}",
        "match": ['rule="crowding"', f'component="{component}"'],
        "executor": "cache",
        "parameters": {"cache_size": {"increase_ratio": 1.0, "max": "64MB"}},
        "objective": {"metric": "crowding"},
        "mode": mode,
    }


def client(cache: Child) -> redis_client.Redis:
    """Return a connection to a cache."""
    host, _, port = cache.address.rpartition(":")
    return redis_client.Redis(host=host, port=int(port), decode_responses=True)


_PARTS = ("prometheus", "alertmanager", "exporter", "optimizer")
_LIMIT = {"maxmemory": str(LIMIT_BYTES)}


def _webhook(address: str, token_file: str) -> dict[str, Any]:
    authorization = {"type": "Bearer", "credentials_file": token_file}
    return {"url": f"http://{address}/api/v1/alerts", "http_config": {"authorization": authorization}}


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _quiet(who: str, what: str) -> None:
    del who, what
