"""From the configuration to the collectors it asks for: one function for each section."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from msgspec import structs

from perfloop.app.components import measure
from perfloop.app.foreign import foreign
from perfloop.app.recipe import Recipe
from perfloop.app.targets import fetch_of, question_of, trust_of
from perfloop.collectors.access_log import AccessLogCollector
from perfloop.collectors.application import ApplicationCollector
from perfloop.collectors.cgroup import CgroupCollector
from perfloop.collectors.compat import node
from perfloop.collectors.connect import ConnectCollector
from perfloop.collectors.dns import DnsCollector
from perfloop.collectors.filesystem import FilesystemCollector
from perfloop.collectors.links import LinksCollector
from perfloop.collectors.logs.formats import Format
from perfloop.collectors.network import NetworkCollector
from perfloop.collectors.ping import PingCollector
from perfloop.collectors.process import watch
from perfloop.collectors.process_groups import Group
from perfloop.collectors.pushes import PushStore
from perfloop.collectors.sockets import SocketsCollector
from perfloop.collectors.system import SystemCollector
from perfloop.collectors.tls import TlsCollector
from perfloop.config import Config, component_of
from perfloop.config.schema import Collectors
from perfloop.config.schema.access_log import JsonKeys
from perfloop.config.schema.process import ProcessGroup
from perfloop.errors import ConfigInvalid
from perfloop.model import THIS_HOST, Paths
from perfloop.protocols import Collector


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

    `compat` names the exporters whose names are shown besides ours: node. `store` outlives a reload: what jobs pushed.
    """
    sections = config.collectors
    return [
        *_system(sections, paths=paths, compat=compat),
        *_cgroup(sections, paths=paths),
        *_network(sections, base=base, paths=paths, compat=compat),
        *_process(sections, base=base, paths=paths),
        *_application(sections, base=base, environ=environ),
        *_access_log(sections, base=base),
        *_components(config, base=base, environ=environ, compat=compat),
        *foreign(sections, base=base, store=store or PushStore(), compat=compat),
    ]


def check_unique(sources: Iterable[Collector]) -> None:
    """Two collectors of one kind for one component would write the same series twice. Raises ConfigInvalid."""
    seen: set[tuple[str, str]] = set()
    for source in sources:
        key = (source.name, source.component)
        if key in seen:
            raise ConfigInvalid([f"the {source.name} collector has the component {source.component!r} twice"])
        seen.add(key)


def _system(sections: Collectors, *, paths: Paths, compat: frozenset[str]) -> Iterator[Recipe]:
    if not sections.system.enabled:
        return
    aliases, surveys = (node.ALIASES, node.SURVEYS) if "node" in compat else ({}, {})
    yield Recipe(SystemCollector, paths, without=sections.system.without, aliases=aliases, surveys=surveys)
    yield Recipe(FilesystemCollector, paths, aliases=aliases)


def _cgroup(sections: Collectors, *, paths: Paths) -> Iterator[Recipe]:
    if sections.cgroup.enabled:
        yield Recipe(CgroupCollector, sections.cgroup.groups, paths)


def _network(sections: Collectors, *, base: Path, paths: Paths, compat: frozenset[str]) -> Iterator[Recipe]:
    network = sections.network
    if not network.enabled:
        return
    aliases, surveys = (node.ALIASES, node.SURVEYS) if "node" in compat else ({}, {})
    yield Recipe(NetworkCollector, paths, aliases=aliases, surveys=surveys)
    yield Recipe(LinksCollector, paths, aliases=aliases, numbers=node.ATTRIBUTES if "node" in compat else {})
    yield Recipe(SocketsCollector, paths, max_connections=network.max_connections, aliases=aliases, surveys=surveys)
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


def _process(sections: Collectors, *, base: Path, paths: Paths) -> Iterator[Recipe]:
    if sections.process.enabled and sections.process.groups:
        groups = [_group(section, base=base) for section in sections.process.groups]
        yield Recipe(watch, groups, proportional=sections.process.proportional_memory, proc=paths.procfs)


def _group(section: ProcessGroup, *, base: Path) -> Group:
    said = {name: value for name, value in structs.asdict(section).items() if value is not None}
    if section.pid_file is not None:
        said["pid_file"] = base / section.pid_file
    # The workers of a daemon are meant, too, where only its own pid can be told.
    children = section.pid is not None or section.pid_file is not None
    return Group(**{"children": children, **said})


def _application(sections: Collectors, *, base: Path, environ: Mapping[str, str]) -> Iterator[Recipe]:
    if sections.application.enabled:
        for probe in sections.application.probes:
            wanted = fetch_of(probe, base=base, environ=environ)
            yield Recipe(
                ApplicationCollector, probe.component, probe.url, wanted, timeout_seconds=probe.timeout_seconds
            )


def _access_log(sections: Collectors, *, base: Path) -> Iterator[Recipe]:
    for log in sections.access_log.files if sections.access_log.enabled else ():
        keys = structs.asdict(log.keys or JsonKeys())
        yield Recipe(
            AccessLogCollector,
            log.component,
            base / log.path,
            state=base / sections.access_log.state / f"{log.component}.json",
            written=Format(name=log.format, keys=keys, pattern=log.pattern or "", unit=log.duration_unit),
            routes=log.routes,
            max_routes=log.max_routes,
            from_start=log.start == "beginning",
            max_read_bytes=log.max_read_bytes,
        )


def _components(config: Config, *, base: Path, environ: Mapping[str, str], compat: frozenset[str]) -> Iterator[Recipe]:
    for name, section in config.components.items():
        if section.measure:
            component = component_of(config, name, base=base, environ=environ)
            yield from measure(section, component, compat=compat)
