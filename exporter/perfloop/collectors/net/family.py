"""How the network's families are declared: `perfloop_network_<what>`."""

from __future__ import annotations

from perfloop.model import Family, MetricType


def counter(name: str, text: str, *labels: str) -> Family:
    """Declare `perfloop_network_<name>_total`."""
    return Family(name=f"perfloop_network_{name}_total", type=MetricType.COUNTER, help=text, labels=labels)


def gauge(name: str, text: str, *labels: str) -> Family:
    """Declare `perfloop_network_<name>`."""
    return Family(name=f"perfloop_network_{name}", type=MetricType.GAUGE, help=text, labels=labels)


def info(name: str, text: str, *labels: str) -> Family:
    """Declare `perfloop_network_<name>_info`, which is always 1."""
    return Family(name=f"perfloop_network_{name}_info", type=MetricType.INFO, help=text, labels=labels)
