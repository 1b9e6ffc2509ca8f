"""What the network's protocols count, sockets, queues and neighbours, read from /proc/net and sock_diag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from perfloop.collectors.kernel import KernelFile
from perfloop.collectors.net import diag, protocols, queues, sockets
from perfloop.collectors.net.family import gauge
from perfloop.collectors.net.place import is_our_own, net_folder
from perfloop.collectors.sources import Sources
from perfloop.collectors.table import Source, Survey, Table, TableFile, keyed
from perfloop.exposition.block import Aliases
from perfloop.exposition.text import Samples
from perfloop.model import THIS_HOST, Family, Paths

SUCCESS = gauge(
    "source_success", "Whether a source was read and understood; none for what this kernel does not have.", "source"
)
Surveys = Mapping[str, Sequence[Survey]]


class SocketsCollector:
    """Reads one source after another; a broken one costs its own samples, an absent one nothing.

    `aliases` and `surveys` (by source) add another exporter's names and what only that one shows. Up to
    `max_connections` TCP sockets are counted by state at each scrape, none by default: the kernel searches its whole
    table of connections for them.
    """

    name: ClassVar[str] = "sockets"
    may_hang: ClassVar[bool] = False
    families: ClassVar[tuple[Family, ...]] = (
        *protocols.FAMILIES,
        *sockets.FAMILIES,
        *diag.FAMILIES,
        *queues.FAMILIES,
        SUCCESS,
    )
    component: str = ""

    def __init__(
        self,
        paths: Paths = THIS_HOST,
        *,
        max_connections: int = 0,
        aliases: Aliases | None = None,
        surveys: Surveys | None = None,
    ) -> None:
        sources = _tables(paths, aliases=aliases, surveys=surveys or {})
        sources |= _others(paths, aliases=aliases)
        # sock_diag answers for the network that we are in, whatever the paths say.
        if is_our_own(paths.procfs):
            sources |= _listed(paths, max_connections=max_connections, aliases=aliases)
        self._sources = Sources(sources, success=SUCCESS, aliases=aliases)

    def collect(self) -> Samples:
        """Read all sources."""
        return self._sources.read()

    def down(self) -> Samples:
        """Return nothing: a host has no `up` of its own."""
        return ()

    def close(self) -> None:
        """Close the files."""
        self._sources.close()


def _tables(paths: Paths, *, aliases: Aliases | None, surveys: Surveys) -> dict[str, Source]:
    def table(name: str, own: Survey, *more: Survey, keys: Sequence[bytes] = ()) -> Source:
        surveyed = Table([own], more=(*more, *surveys.get(name, ())), aliases=aliases)
        return TableFile(KernelFile(net_folder(paths.procfs) / name), surveyed, keys=keys)

    sockets_and_pages = (
        sockets.survey_sockets(sockets.SOCKSTAT),
        sockets.survey_sockets(sockets.PAGES, factor=sockets.PAGE_BYTES),
    )
    return {
        "snmp": table("snmp", protocols.survey_fields(protocols.SNMP)),
        "netstat": table("netstat", protocols.survey_fields(protocols.NETSTAT)),
        "snmp6": table("snmp6", keyed(protocols.SNMP6_KEYS), keys=tuple(protocols.SNMP6_KEYS)),
        "sockstat": table("sockstat", *sockets_and_pages),
        "sockstat6": table("sockstat6", sockets.survey_sockets(sockets.SOCKSTAT6)),
    }


def _others(paths: Paths, *, aliases: Aliases | None) -> dict[str, Source]:
    net, netfilter = net_folder(paths.procfs), paths.procfs / "sys" / "net" / "netfilter"
    return {
        "softnet_stat": queues.Softnet(KernelFile(net / "softnet_stat"), aliases=aliases),
        "nf_conntrack": queues.Conntrack(
            KernelFile(net / "stat" / "nf_conntrack"),
            count=KernelFile(netfilter / "nf_conntrack_count"),
            limit=KernelFile(netfilter / "nf_conntrack_max"),
            aliases=aliases,
        ),
        "arp": queues.Neighbours(KernelFile(net / "arp"), aliases=aliases),
    }


def _listed(paths: Paths, *, max_connections: int, aliases: Aliases | None) -> dict[str, Source]:
    def sockstat() -> tuple[KernelFile, KernelFile]:
        net = net_folder(paths.procfs)
        return KernelFile(net / "sockstat"), KernelFile(net / "sockstat6")

    sources: dict[str, Source] = {"udp_diag": diag.UdpQueues(*sockstat(), aliases=aliases)}
    if max_connections:
        sources["tcp_diag"] = diag.TcpStates(*sockstat(), most=max_connections, aliases=aliases)
    return sources
