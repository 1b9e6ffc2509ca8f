"""What the exporter's command line says: how it serves, where the host's trees are, and whose names it takes."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from perfloop.model import THIS_HOST, Paths

# The exporters whose names --compat can show.
COMPATIBLE = ("node", "postgres", "redis")


class ExporterOptions(Struct, frozen=True, kw_only=True):
    """The options of `perfloop exporter`; without addresses, web.exporter_address of perfloop.yml is meant."""

    addresses: tuple[str, ...] = ()
    systemd_socket: bool = False
    web_config: Path | None = None
    telemetry_path: str = "/metrics"
    paths: Paths = THIS_HOST
    compat: frozenset[str] = frozenset()
    may_be_missing: bool = False
