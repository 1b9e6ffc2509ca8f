"""Everything that is measured besides the components: one line for each section."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from perfloop.config.schema.application import ApplicationCollector
from perfloop.config.schema.base import Section
from perfloop.config.schema.network import NetworkCollector
from perfloop.config.schema.system import SystemCollector


class Collectors(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is measured besides the components."""

    #: What a dead or hung target may cost a scrape, at most.
    target_timeout_seconds: Annotated[float, Meta(gt=0, le=0.5)] = 0.5
    #: The host: CPUs, memory, filesystems, disks, load, pressure.
    system: SystemCollector = field(default_factory=SystemCollector)
    #: Network devices, and the time to connect to targets.
    network: NetworkCollector = field(default_factory=NetworkCollector)
    #: HTTP probes.
    application: ApplicationCollector = field(default_factory=ApplicationCollector)
