"""What the kernel says of this host: CPUs, memory, disks, load, pressure, clock; each subject in a file of host/."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import ClassVar

from perfloop.collectors.host import cpu, disks, identity, load, memory, timex
from perfloop.collectors.host.family import gauge
from perfloop.collectors.host.portable import PortableHost
from perfloop.collectors.kernel import KernelFile
from perfloop.collectors.sources import Sources
from perfloop.collectors.table import Source, Survey, Table, TableFile
from perfloop.exposition.block import Aliases
from perfloop.exposition.text import Samples
from perfloop.model import THIS_HOST, Family, Paths

logger = logging.getLogger(__name__)

SUCCESS = gauge(
    "source_success", "Whether a source was read and understood; none for what this kernel does not have.", "source"
)


class SystemCollector:
    """Reads one source after another; a broken one costs its own samples, an absent one nothing.

    Those in `without` are not read. `aliases` and `surveys` (by source) add another exporter's names and what only that
    one shows.
    """

    name: ClassVar[str] = "system"
    may_hang: ClassVar[bool] = False
    families: ClassVar[tuple[Family, ...]] = (
        *cpu.FAMILIES,
        *memory.FAMILIES,
        *disks.FAMILIES,
        *load.FAMILIES,
        *identity.FAMILIES,
        *timex.FAMILIES,
        SUCCESS,
    )
    component: str = ""

    def __init__(
        self,
        paths: Paths = THIS_HOST,
        *,
        without: Collection[str] = (),
        aliases: Aliases | None = None,
        surveys: Mapping[str, Sequence[Survey]] | None = None,
    ) -> None:
        make = _kernel_sources
        if not (paths.procfs / "stat").exists():
            logger.warning("nothing to read; psutil is asked instead", extra={"path": str(paths.procfs)})
            make = _portable_sources
        sources = make(paths, aliases=aliases, surveys=surveys or {})
        read = {name: source for name, source in sources.items() if name.partition("/")[0] not in without}
        self._sources = Sources(read, success=SUCCESS, aliases=aliases)

    def collect(self) -> Samples:
        """Read all sources."""
        return self._sources.read()

    def down(self) -> Samples:
        """Return nothing: a host has no `up` of its own."""
        return ()

    def close(self) -> None:
        """Close the files."""
        self._sources.close()


def _kernel_sources(
    paths: Paths, *, aliases: Aliases | None, surveys: Mapping[str, Sequence[Survey]]
) -> dict[str, Source]:
    proc, root = paths.procfs, paths.rootfs

    def table(
        name: str, survey: Survey, *, name_column: int = 0, separators: bytes = b"", keys: Sequence[bytes] = ()
    ) -> Source:
        surveyed = Table(
            [survey],
            more=surveys.get(name, ()),
            name_column=name_column,
            separators=separators,
            may_be_empty=name == "diskstats",
            aliases=aliases,
        )
        return TableFile(KernelFile(proc / name), surveyed, keys=keys)

    pressure = partial(table, separators=b"=")
    return {
        "stat": cpu.StatFile(KernelFile(proc / "stat"), aliases=aliases),
        "meminfo": table("meminfo", memory.survey_memory),
        "vmstat": table("vmstat", memory.survey_paging, keys=memory.PAGING_KEYS),
        "diskstats": table("diskstats", disks.survey_disks(root / "run" / "udev" / "data"), name_column=2),
        "loadavg": load.LoadFile(KernelFile(proc / "loadavg"), aliases=aliases),
        **{f"pressure/{name}": pressure(f"pressure/{name}", load.survey_pressure(name)) for name in load.RESOURCES},
        "file-nr": table("sys/fs/file-nr", load.survey_files, name_column=3),
        "schedstat": table("schedstat", cpu.survey_schedstat),
        "uname": identity.Uname(KernelFile(proc / "sys" / "kernel" / "domainname"), aliases=aliases),
        "os-release": identity.OsRelease([root / "etc" / "os-release", root / "usr/lib/os-release"], aliases=aliases),
        "time": identity.Now(aliases=aliases),
        "clocksource": identity.Clocksource(paths.sysfs / "devices" / "system" / "clocksource", aliases=aliases),
        "timex": timex.Timex(aliases=aliases),
    }


def _portable_sources(
    paths: Paths,  # noqa: ARG001 - psutil knows where to ask
    *,
    aliases: Aliases | None,
    surveys: Mapping[str, Sequence[Survey]],  # noqa: ARG001 - there is no table
) -> dict[str, Source]:
    return {"psutil": PortableHost(aliases=aliases), "time": identity.Now(aliases=aliases)}
