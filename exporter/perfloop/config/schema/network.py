"""What is measured of the network."""

from __future__ import annotations

from perfloop.config.schema.base import Address, Name, Section


class TcpTarget(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address whose connection time is measured at each scrape."""

    #: Label `component` of what is measured here.
    component: Name
    #: Where to connect to.
    address: Address


class NetworkCollector(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The host's devices, and the time a TCP connection to each target takes."""

    #: Whether it measures.
    enabled: bool = True
    #: Addresses that are connected to at each scrape.
    targets: tuple[TcpTarget, ...] = ()
