"""From `access_log` to the collectors that follow logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import structs

from perfloop.app.recipe import Recipe
from perfloop.collectors.access_log import AccessLogCollector
from perfloop.collectors.logs.formats import Format
from perfloop.config.schema import Collectors
from perfloop.config.schema.access_log import JsonKeys


def access_log(sections: Collectors, *, base: Path) -> Iterator[Recipe]:
    """Say which logs are followed."""
    for log in sections.access_log.files:
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
