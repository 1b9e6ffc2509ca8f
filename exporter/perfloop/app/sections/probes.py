"""From `network` and `application` to the probes of other hosts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from perfloop.app.recipe import Recipe
from perfloop.app.sections.targets import fetch_of, question_of, trust_of
from perfloop.collectors.application import ApplicationCollector
from perfloop.collectors.connect import ConnectCollector
from perfloop.collectors.dns import DnsCollector
from perfloop.collectors.ping import PingCollector
from perfloop.collectors.tls import TlsCollector
from perfloop.config.schema import Collectors


def probes(sections: Collectors, *, base: Path, environ: Mapping[str, str]) -> Iterator[Recipe]:
    """Say which targets are probed, and how."""
    if sections.network.enabled:
        yield from _network(sections, base=base)
    if sections.application.enabled:
        yield from _application(sections, base=base, environ=environ)


def _network(sections: Collectors, *, base: Path) -> Iterator[Recipe]:
    network = sections.network
    for target in network.targets:
        yield Recipe(ConnectCollector, target.component, target.address, timeout_seconds=target.timeout_seconds)
    for host in network.ping:
        options = {"ip_version": host.ip_version or 0, "timeout_seconds": host.timeout_seconds}
        yield Recipe(PingCollector, host.component, host.host, **options)
    for question in network.dns:
        asked = question_of(question, server=question.server or "")
        yield Recipe(DnsCollector, question.component, asked, timeout_seconds=question.timeout_seconds)
    for peer in network.tls:
        trust = trust_of(peer, base=base)
        yield Recipe(TlsCollector, peer.component, peer.address, trust=trust, timeout_seconds=peer.timeout_seconds)


def _application(sections: Collectors, *, base: Path, environ: Mapping[str, str]) -> Iterator[Recipe]:
    for probe in sections.application.probes:
        wanted = fetch_of(probe, base=base, environ=environ)
        yield Recipe(ApplicationCollector, probe.component, probe.url, wanted, timeout_seconds=probe.timeout_seconds)
