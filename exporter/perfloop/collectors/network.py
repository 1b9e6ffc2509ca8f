"""Traffic of the host's network devices, read from /proc/net/dev."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from perfloop.collectors.kernel import KernelFile
from perfloop.collectors.net import devices
from perfloop.collectors.net.place import net_folder
from perfloop.collectors.table import Survey, Table, TableFile
from perfloop.exposition.block import Aliases
from perfloop.exposition.text import Samples
from perfloop.model import THIS_HOST, Family, Paths


class NetworkCollector:
    """Reads one table of all devices; `aliases` and `surveys` (of `dev`) add another exporter's names."""

    name: ClassVar[str] = "network"
    may_hang: ClassVar[bool] = False
    families: ClassVar[tuple[Family, ...]] = devices.FAMILIES
    component: str = ""

    def __init__(
        self,
        paths: Paths = THIS_HOST,
        *,
        aliases: Aliases | None = None,
        surveys: Mapping[str, Sequence[Survey]] | None = None,
    ) -> None:
        more = (surveys or {}).get("dev", ())
        table = Table([devices.survey_devices], more=more, separators=b":", may_be_empty=True, aliases=aliases)
        self._devices = TableFile(KernelFile(net_folder(paths.procfs) / "dev"), table)

    def collect(self) -> Samples:
        """Read the table. Raises OSError and Garbled."""
        return self._devices.read()

    def down(self) -> Samples:
        """Return nothing: a host has no `up` of its own."""
        return ()

    def close(self) -> None:
        """Close the file."""
        self._devices.close()
