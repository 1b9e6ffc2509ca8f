"""From the configuration to the collectors it asks for: one function for each section."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from perfloop.app.recipe import Recipe
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


def build_collectors(config: Config, *, base: Path, environ: Mapping[str, str]) -> list[Recipe]:
    """Say which collectors the configuration asks for, and how to make each. Raises ConfigInvalid."""
    sections = config.collectors
    return [
        *_system(sections),
        *_network(sections),
        *_application(sections),
        *_components(config, base=base, environ=environ),
    ]


def check_unique(sources: Iterable[Collector]) -> None:
    """Two collectors of one kind for one component would write the same series twice. Raises ConfigInvalid."""
    seen: set[tuple[str, str]] = set()
    for source in sources:
        key = (source.name, source.component)
        if key in seen:
            raise ConfigInvalid([f"the {source.name} collector has the component {source.component!r} twice"])
        seen.add(key)


def _system(sections: Collectors) -> Iterator[Recipe]:
    if sections.system.enabled:
        yield Recipe(SystemCollector)
        yield Recipe(FilesystemCollector)


def _network(sections: Collectors) -> Iterator[Recipe]:
    if sections.network.enabled:
        yield Recipe(NetworkCollector)
        for target in sections.network.targets:
            yield Recipe(ConnectCollector, target.component, target.address)


def _application(sections: Collectors) -> Iterator[Recipe]:
    if sections.application.enabled:
        for probe in sections.application.probes:
            yield Recipe(ApplicationCollector, probe.component, probe.url, expect_status=probe.expect_status)


def _components(config: Config, *, base: Path, environ: Mapping[str, str]) -> Iterator[Recipe]:
    for name, section in config.components.items():
        if section.measure:
            yield Recipe(COLLECTORS[section.driver], component_of(config, name, base=base, environ=environ))
