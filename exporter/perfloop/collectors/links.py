"""Speed and state of the host's network devices, read from /sys/class/net."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from perfloop.collectors.net.links import FAMILIES, NUMBERS, Links
from perfloop.exposition.block import Aliases
from perfloop.exposition.text import Samples
from perfloop.model import THIS_HOST, Family, Paths


class LinksCollector:
    """Reads a file for each device and attribute; `numbers` are more attributes, with their families."""

    name: ClassVar[str] = "links"
    may_hang: ClassVar[bool] = False
    families: ClassVar[tuple[Family, ...]] = FAMILIES
    component: str = ""

    def __init__(
        self,
        paths: Paths = THIS_HOST,
        *,
        aliases: Aliases | None = None,
        numbers: Mapping[str, Family] | None = None,
    ) -> None:
        folder = paths.sysfs / "class" / "net"
        self._links = Links(folder, numbers={**NUMBERS, **(numbers or {})}, aliases=aliases)

    def collect(self) -> Samples:
        """Read the files. Raises OSError where there are none."""
        return self._links.read()

    def down(self) -> Samples:
        """Return nothing: a host has no `up` of its own."""
        return ()

    def close(self) -> None:
        """Close the files."""
        self._links.close()
