"""What is measured by logging in, and may be acted on; and the catalogue entries of the user."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from perfloop.config.schema.base import Secret, Section
from perfloop.model import Direction, Scale


ComponentAddress = Annotated[
    str,
    Meta(
        pattern=r"^((\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):[0-9]{1,5}|/[^\s:]+(:[0-9]{1,5})?)$",
        description="HOST:PORT or a UNIX socket",
    ),
]


class Tls(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the connection to a component is encrypted; relative files are looked up beside perfloop.yml."""

    #: Certificates of the authorities that are trusted; by default the host's.
    ca_file: Path | None = None
    #: Certificate that perfloop shows to the server.
    certificate_file: Path | None = None
    #: Its private key, where that is not in the same file.
    key_file: Path | None = None
    #: Name that the server's certificate must hold; by default the host of the address.
    server_name: str = ""
    #: Whether the server's certificate is checked.
    verify: bool = True


class ComponentSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that is measured (`measure: true`) and that policies may act on."""

    #: What it is; it decides what is measured and what can be changed.
    driver: Literal["postgresql", "pgbouncer", "mysql", "redis", "memcached"]
    #: HOST:PORT; or the path of a UNIX socket, or for PostgreSQL and PgBouncer its folder, a colon, and the port.
    address: ComponentAddress
    #: Whom to log in as; see [executors](executors.md) for the least rights that are enough.
    user: str = ""
    #: Where the password stands.
    password: Secret | None = None
    #: Database to connect to; for PgBouncer the one whose pool is meant, by default all.
    database: str = ""
    #: How the connection is encrypted; without this section it is not, for PostgreSQL if the server offers it.
    tls: Tls | None = None
    #: Whether the exporter measures it.
    measure: bool = True
    #: How the connection is encrypted; by default PostgreSQL and PgBouncer are asked for TLS, but not made to have it.
    tls: TlsSection | None = None
    #: How long a measuring statement may take.
    timeout_seconds: Annotated[float, Meta(gt=0, le=60)] = 5.0
    #: PostgreSQL: whether its settings are shown, each as a metric.
    settings: bool = True
    #: PostgreSQL: which tables are shown.
    tables: TablesSection = field(default_factory=TablesSection)
    #: Statements of your own, whose rows become metrics.
    queries: tuple[QuerySection, ...] = ()


class Metric(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A catalogue entry of the user's own; `$range` in `expr` becomes the range of rates."""

    #: PromQL; `$range` becomes the range of rates. Series of a component need the label `component`.
    expr: str
    #: Unit of the values, as people read it.
    unit: str
    #: Which way is better.
    direction: Direction
    #: What it is, in one sentence.
    help: str = ""
    #: How the series of one component become the one that an objective compares.
    across: Literal["avg", "sum", "max", "min"] = "max"
    #: How two times are compared: by their ratio (latency, throughput) or by their difference (counts).
    scale: Scale = Scale.RATIO
    #: Whether its series carry the label `component`, or belong to a host; those need a `match` in policies.
    per: Literal["component", "host"] = "component"
