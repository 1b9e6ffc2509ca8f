"""Everything that is measured besides the components: one line for each section."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from perfloop.config.schema.access_log import AccessLogCollector
from perfloop.config.schema.application import ApplicationCollector
from perfloop.config.schema.base import Count, Section
from perfloop.config.schema.benchmarks import BenchmarksCollector
from perfloop.config.schema.network import NetworkCollector
from perfloop.config.schema.probes import Probing
from perfloop.config.schema.process import ProcessCollector
from perfloop.config.schema.push import PushCollector
from perfloop.config.schema.system import CgroupCollector, SystemCollector
from perfloop.config.schema.textfile import TextfileCollector


class Collectors(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is measured besides the components."""

    #: What a dead or hung target may cost a scrape, at most.
    target_timeout_seconds: Annotated[float, Meta(gt=0, le=0.5)] = 0.5
    #: Seconds that a scrape may wait for the collectors of one name instead, for those that need longer:
    #: `benchmarks: 2`. Prometheus' own timeout, less 0.5, bounds them all.
    timeouts: dict[str, Annotated[float, Meta(gt=0, le=60)]] = field(default_factory=dict)
    #: Series of one family that a collector may show; what is beyond is counted and left out.
    max_series_per_family: Count = 10_000
    #: The host: CPUs, memory, filesystems, disks, load, pressure.
    system: SystemCollector = field(default_factory=SystemCollector)
    #: Control groups: the exporter's own, and those that are named.
    cgroup: CgroupCollector = field(default_factory=CgroupCollector)
    #: Network devices, and the time to connect to targets.
    network: NetworkCollector = field(default_factory=NetworkCollector)
    #: Watched groups of processes.
    process: ProcessCollector = field(default_factory=ProcessCollector)
    #: HTTP probes.
    application: ApplicationCollector = field(default_factory=ApplicationCollector)
    #: Access logs of web servers.
    access_log: AccessLogCollector = field(default_factory=AccessLogCollector)
    #: Result files of benchmarks.
    benchmarks: BenchmarksCollector = field(default_factory=BenchmarksCollector)
    #: Metrics that others write into files.
    textfile: TextfileCollector = field(default_factory=TextfileCollector)
    #: Metrics that jobs push.
    push: PushCollector = field(default_factory=PushCollector)
    #: Probes of targets that Prometheus names.
    probe: Probing = field(default_factory=Probing)

    def budget_seconds(self, name: str) -> float:
        """Return how long a scrape may wait for a collector."""
        return self.timeouts.get(name, self.target_timeout_seconds)
