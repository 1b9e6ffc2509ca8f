"""prometheus.yml: scrapes what is configured, evaluates the compiled rules, alerts through Alertmanager."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from perfloop.rules.groups import to_yaml
from perfloop.rules.promql import duration

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "*": "127.0.0.1"}  # noqa: S104 - it is replaced, not bound


def compile_prometheus(
    *,
    interval_seconds: int,
    exporters: Sequence[str],
    optimizer: str,
    prometheus_url: str,
    alertmanager_url: str,
    rule_files: Sequence[str],
    retention_seconds: int | None = None,
) -> str:
    """Return prometheus.yml without its header; `rule_files` are relative to it.

    With `retention_seconds` it says the retention too, which Prometheus before 3.11 does not take from there.
    """
    interval = duration(interval_seconds)
    jobs = [
        _job("perfloop", exporters),
        _job("perfloop-optimizer", [reachable(optimizer)]),
        _job_at("prometheus", prometheus_url),
        _job_at("alertmanager", alertmanager_url),
    ]
    document = {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": duration(scrape_timeout_seconds(interval_seconds)),
            "evaluation_interval": interval,
        },
        **({"storage": {"tsdb": {"retention": {"time": duration(retention_seconds)}}}} if retention_seconds else {}),
        "rule_files": list(rule_files),
        "alerting": {"alertmanagers": [_alertmanager(alertmanager_url)]},
        "scrape_configs": [job for job in jobs if job["static_configs"][0]["targets"]],
    }
    return to_yaml(document)


def scrape_timeout_seconds(interval_seconds: int) -> int:
    """Return how long Prometheus waits for a page."""
    return min(interval_seconds, 10)


def retention_flag(seconds: int) -> str:
    """Return the flag that sets Prometheus' retention; 2.42 takes it from the command line only."""
    return f"--storage.tsdb.retention.time={duration(seconds)}"


def reachable(address: str) -> str:
    """Return an address to connect to for an address to listen on."""
    host, _, port = address.rpartition(":")
    return f"{_ANYWHERE.get(host, host)}:{port}"


def _job(name: str, targets: Sequence[str]) -> dict[str, Any]:
    return {"job_name": name, "static_configs": [{"targets": list(targets)}]}


def _job_at(name: str, url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    extra = {"scheme": "https"} if parts.scheme == "https" else {}
    extra |= {"metrics_path": f"{path}/metrics"} if path else {}
    return {"job_name": name, **extra, "static_configs": [{"targets": [_target(url)]}]}


def _alertmanager(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    extra = {"scheme": "https"} if parts.scheme == "https" else {}
    extra |= {"path_prefix": path} if path else {}
    return {**extra, "static_configs": [{"targets": [_target(url)]}]}


def _target(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc if parts.port else f"{parts.netloc}:{443 if parts.scheme == 'https' else 80}"
