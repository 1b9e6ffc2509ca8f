"""node_exporter's names (`--compat node`). What it shows and we do not stands in docs/collectors/system.md."""

from __future__ import annotations

from perfloop.collectors.compat import node_host, node_network

ALIASES = {**node_host.ALIASES, **node_network.ALIASES}
# Families of its alone, by the source that they are read from.
SURVEYS = {**node_host.SURVEYS, **node_network.SURVEYS}
# The same of /sys/class/net.
ATTRIBUTES = node_network.ATTRIBUTES
