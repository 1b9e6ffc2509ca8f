"""What is measured of the network."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from perfloop.config.schema.base import Address, Name, Section
from perfloop.config.schema.probes import DnsTarget, PingTarget, ProbeSeconds, TlsTarget


class TcpTarget(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address whose connection time is measured at each scrape."""

    #: Label `component` of what is measured here.
    component: Name
    #: Where to connect to.
    address: Address
    #: How long a connection may take.
    timeout_seconds: ProbeSeconds = 5.0


class NetworkCollector(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The host's devices, and how long targets take to answer TCP, ICMP, DNS and TLS."""

    #: Whether it measures.
    enabled: bool = True
    #: TCP sockets counted by state; where there are more, none are. Dear: see [sockets](collectors/sockets.md).
    max_connections: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    #: Addresses that are connected to at each scrape.
    targets: tuple[TcpTarget, ...] = ()
    #: Hosts that are pinged at each scrape.
    ping: tuple[PingTarget, ...] = ()
    #: Questions that DNS servers are asked at each scrape.
    dns: tuple[DnsTarget, ...] = ()
    #: Addresses with which a TLS handshake is made at each scrape.
    tls: tuple[TlsTarget, ...] = ()
