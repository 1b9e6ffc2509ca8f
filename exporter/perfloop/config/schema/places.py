"""Where things are: Prometheus, the listening addresses, the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta, field

from perfloop.config.schema.base import Address, Secret, Section, Url, WholeSeconds


class Prometheus(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The user's Prometheus and Alertmanager."""

    #: Where Prometheus answers; the optimizer measures effects there.
    url: Url = "http://127.0.0.1:9849"
    #: Where Prometheus sends alerts.
    alertmanager_url: Url = "http://127.0.0.1:9850"
    #: The perfloop exporters that Prometheus scrapes.
    exporters: tuple[Address, ...] = ("127.0.0.1:9847",)
    #: Range of rates; by default four collection intervals, at least 60. At least two intervals.
    rate_range_seconds: WholeSeconds | None = None
    #: How long thresholds must be passed that say no `duration`; by default two intervals, at least 60.
    for_seconds: Annotated[int, Meta(ge=0)] | None = None


class Web(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the exporter and the optimizer listen, and the token that the optimizer asks for."""

    #: Where the exporter listens.
    exporter_address: Address = "127.0.0.1:9847"
    #: Where the optimizer listens; Alertmanager and `perfloop actions` connect to it.
    optimizer_address: Address = "127.0.0.1:9848"
    #: Bearer token that the optimizer asks for. A file, as Alertmanager reads no environment variables.
    token: Secret = field(default_factory=lambda: Secret(file=Path(".perfloop/token")))


class StoreSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The optimizer's SQLite file."""

    #: The file; a relative path starts at the folder of perfloop.yml. One optimizer per file.
    path: Path = Path(".perfloop/perfloop.db")
