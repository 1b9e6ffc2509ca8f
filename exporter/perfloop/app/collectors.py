"""From the configuration to the collectors it asks for; each group of sections has a file in sections/.

The imports stand where they are needed, so that an exporter holds in memory only what it measures.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from perfloop.app.recipe import Recipe
from perfloop.app.sections.host import host
from perfloop.config import Config, component_of
from perfloop.config.schema import Collectors
from perfloop.errors import ConfigInvalid
from perfloop.model import THIS_HOST, Paths
from perfloop.protocols import Collector

if TYPE_CHECKING:
    from perfloop.collectors.others.pushes import PushStore


def build_collectors(
    config: Config,
    *,
    base: Path,
    environ: Mapping[str, str],
    paths: Paths = THIS_HOST,
    compat: frozenset[str] = frozenset(),
    store: PushStore | None = None,
) -> list[Recipe]:
    """Say which collectors the configuration asks for, and how to make each. Raises ConfigInvalid.

    `compat` names the exporters whose names are shown besides ours. `store` outlives a reload: what jobs pushed.
    """
    sections = config.collectors
    return [
        *host(sections, paths=paths, compat=compat),
        *_elsewhere(sections, base=base, environ=environ, paths=paths),
        *_components(config, base=base, environ=environ, compat=compat),
        *_foreign(sections, base=base, store=store, compat=compat),
    ]


def check_unique(sources: Iterable[Collector]) -> None:
    """Two collectors of one kind for one component would write the same series twice. Raises ConfigInvalid."""
    seen: set[tuple[str, str]] = set()
    for source in sources:
        key = (source.name, source.component)
        if key in seen:
            raise ConfigInvalid([f"the {source.name} collector has the component {source.component!r} twice"])
        seen.add(key)


def _elsewhere(sections: Collectors, *, base: Path, environ: Mapping[str, str], paths: Paths) -> Iterator[Recipe]:
    network = sections.network
    if network.targets or network.ping or network.dns or network.tls or sections.application.probes:
        from perfloop.app.sections.probes import probes

        yield from probes(sections, base=base, environ=environ)
    if sections.process.enabled and sections.process.groups:
        from perfloop.app.sections.process import process

        yield from process(sections, base=base, paths=paths)
    if sections.access_log.enabled and sections.access_log.files:
        from perfloop.app.sections.access_log import access_log

        yield from access_log(sections, base=base)


def _components(config: Config, *, base: Path, environ: Mapping[str, str], compat: frozenset[str]) -> Iterator[Recipe]:
    measured = {name: section for name, section in config.components.items() if section.measure}
    if measured:
        from perfloop.app.sections.components import measure

        for name, section in measured.items():
            yield from measure(section, component_of(config, name, base=base, environ=environ), compat=compat)


def _foreign(sections: Collectors, *, base: Path, store: PushStore | None, compat: frozenset[str]) -> Iterator[Recipe]:
    if sections.benchmarks.sources or sections.textfile.folders or sections.push.token is not None:
        from perfloop.app.sections.foreign import foreign
        from perfloop.collectors.others.pushes import PushStore

        yield from foreign(sections, base=base, store=store or PushStore(), compat=compat)
