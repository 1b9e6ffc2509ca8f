"""What is measured by logging in, and may be acted on; and the catalogue entries of the user."""

from __future__ import annotations

from typing import Literal

from perfloop.config.schema.base import Address, Secret, Section
from perfloop.model import Direction, Scale


class ComponentSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that is measured (`measure: true`) and that policies may act on."""

    #: What it is; it decides what is measured and what can be changed.
    driver: Literal["postgresql", "pgbouncer", "redis"]
    #: Where it listens; for PgBouncer also where its admin console is.
    address: Address
    #: Whom to log in as; see [executors](executors.md) for the least rights that are enough.
    user: str = ""
    #: Where the password stands.
    password: Secret | None = None
    #: Database to connect to; for PgBouncer the one whose pool is meant, by default all.
    database: str = ""
    #: Whether the exporter measures it.
    measure: bool = True


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
