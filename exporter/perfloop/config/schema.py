"""The whole perfloop.yml as frozen structs: every key, its default and its bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct, field

from perfloop.model import Direction, Keep, Mode, Scale, Step
from perfloop.rules.thresholds import Operator

Seconds = Annotated[float, Meta(gt=0)]
WholeSeconds = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=1)]
Ratio = Annotated[float, Meta(gt=0, le=10)]
Share = Annotated[float, Meta(gt=0, lt=1)]
Name = Annotated[
    str,
    Meta(
        pattern=r"^[a-zA-Z_][a-zA-Z0-9_-]{0,62}$",
        description="a name of letters, digits, _ and -, beginning with a letter, of at most 63 characters",
    ),
]
MetricName = Annotated[
    str,
    Meta(pattern=r"^[a-z][a-z0-9_]{0,62}$", description="a metric name of lower-case letters, digits and _"),
]
Address = Annotated[
    str,
    Meta(
        pattern=r"^(\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+|/[^\s:]+):[0-9]{1,5}$",
        description="HOST:PORT (or the folder of a UNIX socket, a colon, and the port)",
    ),
]
Url = Annotated[
    str, Meta(pattern=r"^https?://[^\s@]+$", description="an http:// or https:// URL without credentials in it")
]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every mapping in perfloop.yml."""


class Secret(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A secret is never written into perfloop.yml: it stands in a file or in an environment variable."""

    EXPECTED: ClassVar[str] = "a mapping with `file` or `env`; a secret is never written into perfloop.yml"

    file: Path | None = None
    env: str | None = None


# -- the seeds' sections, key by key ----------------------------------------------------------------------------------


class AlertThreshold(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two severities of one condition on one catalogue metric, in the metric's unit."""

    warning_threshold: float | None = None
    critical_threshold: float | None = None
    operator: Operator = Operator.GREATER_THAN
    duration: Annotated[int, Meta(ge=0)] | None = None


class PerformanceCollection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often is measured, how long Prometheus remembers, and when it alerts. Times in seconds."""

    collection_interval: WholeSeconds = 15
    retention_period: WholeSeconds = 15 * 86400
    alert_thresholds: dict[str, AlertThreshold] = field(default_factory=dict)


class PerformanceAnalysis(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often and over how long recorded series are analysed. Times in seconds."""

    analysis_interval: WholeSeconds = 300
    retention_period: WholeSeconds = 7 * 86400
    confidence_threshold: Share = 0.8


class Optimization(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many actions may run at once, how long one may take to be made, and what counts as help."""

    max_concurrent_optimizations: Count = 3
    optimization_timeout: WholeSeconds = 300
    impact_threshold: Share = 0.10
    actions_per_hour: Count = 20


class Percentile(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`{Percentile: 95}`, the other way to write `Percentile(95)`."""

    percentile: Annotated[float, Meta(ge=0, le=100)] = field(name="Percentile")


class AggregationRule(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One recording rule over time.

    `metric_pattern` is a catalogue name, a metric name, or a pattern over catalogue names. How a metric counts is read
    from its name (`_total`, `_bucket`); `metric_type` says it where the name does not.
    """

    metric_pattern: str
    aggregation_type: (
        Annotated[
            str,
            Meta(
                pattern=r"^(Sum|Average|Min|Max|Count|Percentile\(\s*[0-9]+(\.[0-9]+)?\s*\))$",
                description="Sum, Average, Min, Max, Count or Percentile(p)",
            ),
        ]
        | Percentile
    )
    time_window: WholeSeconds
    output_metric: Annotated[str, Meta(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$", description="a metric name")]
    metric_type: Literal["gauge", "counter", "histogram"] | None = None


# -- what is measured --------------------------------------------------------------------------------------------------


class SystemCollector(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The host's CPUs, memory, filesystems, disks, load and pressure."""

    enabled: bool = True


class TcpTarget(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address whose connection time is measured at each scrape."""

    component: Name
    address: Address


class NetworkCollector(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The host's devices, and the time a TCP connection to each target takes."""

    enabled: bool = True
    targets: tuple[TcpTarget, ...] = ()


class HttpProbe(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A URL that is fetched at each scrape; any status below 400 is good unless one is expected."""

    component: Name
    url: Url
    expect_status: Annotated[int, Meta(ge=100, le=599)] | None = None


class ApplicationCollector(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """HTTP probes of applications."""

    enabled: bool = True
    probes: tuple[HttpProbe, ...] = ()


class Collectors(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`target_timeout_seconds` is what a dead or hung target may cost a scrape, at most."""

    target_timeout_seconds: Annotated[float, Meta(gt=0, le=0.5)] = 0.5
    system: SystemCollector = field(default_factory=SystemCollector)
    network: NetworkCollector = field(default_factory=NetworkCollector)
    application: ApplicationCollector = field(default_factory=ApplicationCollector)


class ComponentSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that is measured (`measure: true`) and that policies may act on."""

    driver: Literal["postgresql", "pgbouncer", "redis"]
    address: Address
    user: str = ""
    password: Secret | None = None
    database: str = ""
    measure: bool = True


class Metric(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A catalogue entry of the user's own; `$range` in `expr` becomes the range of rates."""

    expr: str
    unit: str
    direction: Direction
    help: str = ""
    across: Literal["avg", "sum", "max", "min"] = "max"
    scale: Scale = Scale.RATIO
    per: Literal["component", "host"] = "component"


# -- what is done ------------------------------------------------------------------------------------------------------


class ObjectiveSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The catalogue metric that an action must improve, and by which share at least.

    `match` says whose, as Alertmanager writes matchers; by default the component that is acted on.
    """

    metric: MetricName
    match: tuple[str, ...] = ()
    impact_threshold: Share | None = None


class GuardSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A catalogue metric that an action must not harm; `match` as in the objective."""

    metric: MetricName
    match: tuple[str, ...] = ()
    margin_ratio: Ratio = 0.10
    hard_limit: float | None = None


class LimitsSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a policy may act on one component."""

    actions_per_hour: Count = 3
    actions_per_day: Count = 7
    cooldown_seconds: Annotated[float, Meta(ge=0)] = 900.0
    retry_seconds: Annotated[float, Meta(ge=0)] = 86400.0


class PolicySection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which alerts lead to which action; `match` holds matchers as Alertmanager writes them."""

    name: Name
    match: Annotated[tuple[str, ...], Meta(min_length=1)]
    executor: str
    parameters: Annotated[dict[str, Step | str | int | float | bool], Meta(min_length=1)]
    objective: ObjectiveSection
    component: str | None = None
    guards: tuple[GuardSection, ...] = ()
    mode: Mode = Mode.SUGGEST
    limits: LimitsSection = field(default_factory=LimitsSection)
    settle_seconds: Seconds | None = None
    on_inconclusive: Keep = Keep.ROLLBACK
    on_unverifiable: Keep = Keep.KEEP
    approval_seconds: Seconds = 3600.0
    priority: int = 0


# -- where things are --------------------------------------------------------------------------------------------------


class Prometheus(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The user's Prometheus and Alertmanager; `exporters` are the perfloop exporters that it scrapes.

    `rate_range_seconds` is the range of rates; by default four collection intervals and at least one minute.
    """

    url: Url = "http://127.0.0.1:9849"
    alertmanager_url: Url = "http://127.0.0.1:9850"
    exporters: tuple[Address, ...] = ("127.0.0.1:9847",)
    rate_range_seconds: WholeSeconds | None = None
    for_seconds: Annotated[int, Meta(ge=0)] | None = None


class Web(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the exporter and the optimizer listen, and the token that the optimizer asks for."""

    exporter_address: Address = "127.0.0.1:9847"
    optimizer_address: Address = "127.0.0.1:9848"
    token: Secret = field(default_factory=lambda: Secret(file=Path(".perfloop/token")))


class StoreSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The optimizer's SQLite file."""

    path: Path = Path(".perfloop/perfloop.db")


class Config(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """perfloop.yml. Every section may be left out."""

    performance_collection: PerformanceCollection = field(default_factory=PerformanceCollection)
    performance_analysis: PerformanceAnalysis = field(default_factory=PerformanceAnalysis)
    optimization: Optimization = field(default_factory=Optimization)
    aggregation_rules: tuple[AggregationRule, ...] = ()
    collectors: Collectors = field(default_factory=Collectors)
    components: dict[Name, ComponentSection] = field(default_factory=dict)
    metrics: dict[MetricName, Metric] = field(default_factory=dict)
    policies: tuple[PolicySection, ...] = ()
    prometheus: Prometheus = field(default_factory=Prometheus)
    web: Web = field(default_factory=Web)
    store: StoreSection = field(default_factory=StoreSection)

    @property
    def rate_range_seconds(self) -> int:
        """Range of rates: as configured, else four collection intervals and at least one minute."""
        return self.prometheus.rate_range_seconds or max(4 * self.performance_collection.collection_interval, 60)
