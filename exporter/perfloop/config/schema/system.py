"""What is measured of the host itself."""

from __future__ import annotations

from perfloop.config.schema.base import Section


class SystemCollector(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The host's CPUs, memory, filesystems, disks, load and pressure."""

    #: Whether it measures.
    enabled: bool = True
