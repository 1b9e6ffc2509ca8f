"""Settings of a running Redis by CONFIG GET and CONFIG SET, and the facts of INFO that bound them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.retry import Retry

from perfloop.errors import OutcomeUnknown, Rejected, Temporary, Unavailable
from perfloop.model import Component, Setting
from perfloop.protocols import Driver

# Read-only keys, answered by INFO.
FACTS = frozenset({"used_memory", "total_system_memory"})


# What Redis answers instead of doing anything, while it is busy with something else.
_LATER = ("BUSY", "Redis is busy", "LOADING", "TRYAGAIN", "MASTERDOWN", "CLUSTERDOWN")


class Redis(Driver):
    """Reads and writes what is in force; a restart brings back the file's. All values are explicit."""

    def __init__(self, component: Component, *, timeout_seconds: float = 5.0) -> None:
        self._component, self._timeout_seconds = component, timeout_seconds

    def get(self, key: str) -> Setting:
        """Read a setting, or one of `used_memory` and `total_system_memory`, in bytes."""
        with self._client() as client, self._translated(Unavailable):
            found = client.info("memory") if key in FACTS else client.config_get(key)
        if key not in found:
            raise Rejected(f"{self._component.name}: this Redis has no setting {key}")
        return Setting(value=str(found[key]))

    def set(self, key: str, value: str) -> None:
        """CONFIG SET the value until the next restart."""
        with self._client() as client, self._translated(OutcomeUnknown):
            client.config_set(key, value)

    def reset(self, key: str) -> None:
        """Redis keeps no default to go back to."""
        raise Rejected(f"{self._component.name}: Redis has no default of {key} to go back to")

    def obstacle(self, key: str) -> str | None:
        """Say that a replica ignores its own memory limit."""
        with self._client() as client, self._translated(Unavailable):
            if not key.startswith("maxmemory") or client.info("replication")["role"] == "master":
                return None
            ignored = client.config_get("replica-ignore-maxmemory").get("replica-ignore-maxmemory") == "yes"
        return f"this Redis is a replica, which ignores {key}" if ignored else None

    @contextmanager
    def _client(self) -> Iterator[redis.Redis]:
        with self._translated(Unavailable):
            client = redis.Redis(
                **_place(self._component),
                username=self._component.user or None,
                password=self._component.password or None,
                socket_timeout=self._timeout_seconds,
                socket_connect_timeout=self._timeout_seconds,
                # The library would send a write again after a lost answer.
                retry=Retry(NoBackoff(), 0),
                single_connection_client=True,
                decode_responses=True,
                protocol=2,
            )
        with client:
            with self._translated(Unavailable):
                client.ping()
            yield client

    @contextmanager
    def _translated(self, silence: type[Temporary]) -> Iterator[None]:
        """Turn an error that Redis answered into Rejected, and its silence into `silence`."""
        try:
            yield
        except (AuthenticationError, ResponseError) as error:
            if str(error).startswith(_LATER):
                raise Unavailable(f"{self._component.name}: {error}") from error
            raise Rejected(f"{self._component.name}: {error}") from error
        except (RedisError, OSError) as error:
            raise silence(f"{self._component.name}: {error}") from error


def _place(component: Component) -> dict[str, Any]:
    """Return where the library connects to, and how the connection is encrypted."""
    if component.address.startswith("/"):
        return {"unix_socket_path": component.address}
    host, _, port = component.address.rpartition(":")
    place = {"host": host.strip("[]"), "port": int(port)}
    if (wanted := component.encryption) is None:
        return place
    return {
        **place,
        "ssl": True,
        "ssl_ca_certs": wanted.ca_file or None,
        "ssl_certfile": wanted.certificate_file or None,
        "ssl_keyfile": wanted.key_file or wanted.certificate_file or None,
        "ssl_cert_reqs": "required" if wanted.verify else "none",
        "ssl_check_hostname": wanted.verify,
    }
