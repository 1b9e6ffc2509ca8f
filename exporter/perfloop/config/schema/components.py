"""What is measured by logging in, and may be acted on; and the catalogue entries of the user."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, field

from perfloop.config.schema.base import PORT, MetricName, Secret, Section
from perfloop.model import Direction, Scale

ComponentAddress = Annotated[
    str,
    Meta(
        pattern=rf"^((\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):{PORT}|/[^\s:]+(:{PORT})?)$",
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


class QueryValue(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a column of numbers is."""

    #: Whether it only grows (`counter`; its name gets `_total` if it does not end so) or may fall.
    type: Literal["counter", "gauge"]
    #: What it is, in one sentence.
    help: str = ""


class QuerySection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A statement of your own, whose rows become metrics `perfloop_query_NAME_COLUMN`."""

    #: Name of the query: the middle of its metrics' names, and their label `query` where the query itself is meant.
    name: MetricName
    #: One SELECT; it runs in a read-only transaction.
    sql: Annotated[str, Meta(min_length=1)]
    #: Columns whose values become labels.
    labels: tuple[MetricName, ...] = ()
    #: Columns whose numbers become values.
    values: Annotated[dict[MetricName, QueryValue], Meta(min_length=1)]
    #: How long a result is good: within that time a scrape shows it again. 0 asks at each scrape.
    min_interval_seconds: Annotated[float, Meta(ge=0, le=86400)] = 0.0
    #: Rows that are shown; a result with more is cut, and counted.
    max_rows: Annotated[int, Meta(ge=1, le=10000)] = 100
    #: How long the statement may take.
    timeout_seconds: Annotated[float, Meta(gt=0, le=300)] = 5.0


class TablesSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which tables of a PostgreSQL server are shown one by one."""

    #: Databases whose tables are shown, besides the one in `database`; each costs a connection.
    databases: tuple[str, ...] = ()
    #: Tables of a database that are shown at most, the largest first; 0 shows none.
    max_tables: Annotated[int, Meta(ge=0, le=10000)] = 100


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
