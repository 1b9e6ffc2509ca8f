"""From the configuration to the collectors it asks for: one function for each section."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from perfloop.collectors import COLLECTORS
from perfloop.collectors.application import ApplicationCollector
from perfloop.collectors.connect import ConnectCollector
from perfloop.collectors.filesystem import FilesystemCollector
from perfloop.collectors.network import NetworkCollector
from perfloop.collectors.system import SystemCollector
from perfloop.config import Config, component_of
from perfloop.config.schema import Collectors
from perfloop.errors import ConfigInvalid
from perfloop.protocols import Collector


def build_collectors(config: Config, *, base: Path, environ: Mapping[str, str]) -> list[Collector]:
    """Make the collectors that the configuration asks for. Raises ConfigInvalid."""
    sections = config.collectors
    sources = [
        *_system(sections),
        *_network(sections),
        *_application(sections),
        *_components(config, base=base, environ=environ),
    ]
    _check_unique(sources)
    return sources


def _system(sections: Collectors) -> Iterator[Collector]:
    if sections.system.enabled:
        yield SystemCollector()
        yield FilesystemCollector()


def _network(sections: Collectors) -> Iterator[Collector]:
    if sections.network.enabled:
        yield NetworkCollector()
        yield from (ConnectCollector(target.component, target.address) for target in sections.network.targets)


def _application(sections: Collectors) -> Iterable[Collector]:
    if not sections.application.enabled:
        return ()
    return [
        ApplicationCollector(probe.component, probe.url, expect_status=probe.expect_status)
        for probe in sections.application.probes
    ]


def _components(config: Config, *, base: Path, environ: Mapping[str, str]) -> Iterator[Collector]:
    for name, section in config.components.items():
        if section.measure:
            make: Callable[..., Collector] = COLLECTORS[section.driver]
            yield make(component_of(config, name, base=base, environ=environ))


def _check_unique(sources: Sequence[Collector]) -> None:
    """Two collectors of one kind for one component would write the same series twice."""
    seen: set[tuple[str, str]] = set()
    for source in sources:
        key = (source.name, source.component)
        if key in seen:
            raise ConfigInvalid([f"the {source.name} collector has the component {source.component!r} twice"])
        seen.add(key)
