"""What is read from *.prom files."""

from __future__ import annotations

from pathlib import Path

from perfloop.config.schema.base import Count, Seconds, Section


class TextfileCollector(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Metrics that others write into files; see [textfile](collectors/textfile.md)."""

    #: Folders whose `*.prom` files are shown; a relative one starts at the folder of perfloop.yml.
    folders: tuple[Path, ...] = ()
    #: Age at which the samples of a file disappear; by default they never do.
    max_age_seconds: Seconds | None = None
    #: Size of the largest file that is read.
    max_file_bytes: Count = 8_388_608
    #: Series of all files together; a file that does not fit is left out.
    max_series: Count = 50_000
