"""The whole perfloop.yml as frozen structs: every key, its default and its bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct, field

from perfloop.model import Direction, Keep, Mode, Scale
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

    #: File that holds the secret and nothing else; a relative path starts at the folder of perfloop.yml.
    file: Path | None = None
    #: Environment variable that holds the secret.
    env: str | None = None


# -- the seeds' sections, key by key ----------------------------------------------------------------------------------


class AlertThreshold(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two severities of one condition on one catalogue metric, in the metric's unit."""

    #: Value beyond which the alert is a warning, in the metric's unit. One of the two is needed.
    warning_threshold: float | None = None
    #: Value beyond which it is critical; its alert mutes the warning.
    critical_threshold: float | None = None
    #: Which side of the value is bad. `Equal` and `NotEqual` are for states, not for measurements.
    operator: Operator = Operator.GREATER_THAN
    #: Seconds that it must last before the alert fires; by default `prometheus.for_seconds`.
    duration: Annotated[int, Meta(ge=0)] | None = None


class PerformanceCollection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often is measured, how long Prometheus remembers, and when it alerts. Times in seconds."""

    #: How often Prometheus scrapes and evaluates the rules; at most 240, as it forgets a sample after 300.
    collection_interval: WholeSeconds = 15
    #: How long Prometheus remembers; compiled to its flag in prometheus.flags.
    retention_period: WholeSeconds = 15 * 86400
    #: One alert for each catalogue metric, by the metric's name.
    alert_thresholds: dict[str, AlertThreshold] = field(default_factory=dict)


class PerformanceAnalysis(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often and over how long recorded series are analysed. Times in seconds."""

    #: Accepted, but without effect yet: analysis comes later.
    analysis_interval: WholeSeconds = 300
    #: Accepted, but without effect yet.
    retention_period: WholeSeconds = 7 * 86400
    #: Accepted, but without effect yet.
    confidence_threshold: Share = 0.8


class Optimization(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many actions may run at once, how long one may take to be made, and what counts as help."""

    #: Actions at work at once, over all components; one component never has two.
    max_concurrent_optimizations: Count = 3
    #: Seconds in which a change must be made and read back, else it is undone; verifying has its own time.
    optimization_timeout: WholeSeconds = 300
    #: Share by which an objective must improve to count as help, unless the policy says another.
    impact_threshold: Share = 0.10
    #: Changes within an hour, over all policies.
    actions_per_hour: Count = 20


class Percentile(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`{Percentile: 95}`, the other way to write `Percentile(95)`."""

    #: Which percentile.
    percentile: Annotated[float, Meta(ge=0, le=100)] = field(name="Percentile")


class AggregationRule(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One recording rule over time."""

    #: A catalogue name, a pattern over catalogue names such as `db_*`, or any metric in Prometheus.
    metric_pattern: str
    #: What is computed over the window; `{Percentile: 95}` is another way to write `Percentile(95)`.
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
    #: Seconds to look back; at most the retention.
    time_window: WholeSeconds
    #: Name of the recorded series.
    output_metric: Annotated[str, Meta(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$", description="a metric name")]
    #: What the source is, where its name does not say it (`_total` is a counter, `_bucket` a histogram).
    metric_type: Literal["gauge", "counter", "histogram"] | None = None


# -- what is measured --------------------------------------------------------------------------------------------------


class SystemCollector(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The host's CPUs, memory, filesystems, disks, load and pressure."""

    #: Whether it measures.
    enabled: bool = True


class TcpTarget(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address whose connection time is measured at each scrape."""

    #: Label `component` of what is measured here.
    component: Name
    #: Where to connect to.
    address: Address


class NetworkCollector(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The host's devices, and the time a TCP connection to each target takes."""

    #: Whether it measures.
    enabled: bool = True
    #: Addresses that are connected to at each scrape.
    targets: tuple[TcpTarget, ...] = ()


class HttpProbe(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A URL that is fetched at each scrape; any status below 400 is good unless one is expected."""

    #: Label `component` of what is measured here.
    component: Name
    #: What is fetched, with GET.
    url: Url
    #: The one status that counts as good; by default every one below 400 does.
    expect_status: Annotated[int, Meta(ge=100, le=599)] | None = None


class ApplicationCollector(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """HTTP probes of applications."""

    #: Whether it measures.
    enabled: bool = True
    #: URLs that are fetched at each scrape.
    probes: tuple[HttpProbe, ...] = ()


class Collectors(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is measured besides the components."""

    #: What a dead or hung target may cost a scrape, at most.
    target_timeout_seconds: Annotated[float, Meta(gt=0, le=0.5)] = 0.5
    #: The host: CPUs, memory, filesystems, disks, load, pressure.
    system: SystemCollector = field(default_factory=SystemCollector)
    #: Network devices, and the time to connect to targets.
    network: NetworkCollector = field(default_factory=NetworkCollector)
    #: HTTP probes.
    application: ApplicationCollector = field(default_factory=ApplicationCollector)


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


# -- what is done ------------------------------------------------------------------------------------------------------


class ObjectiveSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The catalogue metric that an action must improve, and by which share at least.

    `match` says whose, as Alertmanager writes matchers; by default the component that is acted on.
    """

    #: Catalogue name of what must improve.
    metric: MetricName
    #: Which series, as matchers; by default those of the component that is acted on.
    match: tuple[str, ...] = ()
    #: Series of the same metric that the action does not touch, as matchers: a sibling under the same load. What
    #: happens to them at the same time is taken out of the effect, and the verdict gets grade B.
    control: tuple[str, ...] = ()
    #: Share by which it must improve; by default `optimization.impact_threshold`.
    impact_threshold: Share | None = None


class GuardSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A catalogue metric that an action must not harm; `match` as in the objective."""

    #: Catalogue name of what must not get worse.
    metric: MetricName
    #: Which series, as matchers; by default those of the component that is acted on.
    match: tuple[str, ...] = ()
    #: Share by which it may get worse.
    margin_ratio: Ratio = 0.10
    #: Value that it may not pass twice in a row, in the metric's unit; none by default.
    hard_limit: float | None = None


class LimitsSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a policy may act on one component."""

    #: Changes within an hour.
    actions_per_hour: Count = 3
    #: Changes within a day.
    actions_per_day: Count = 7
    #: Rest after an action on the component has ended.
    cooldown_seconds: Annotated[float, Meta(ge=0)] = 900.0
    #: Rest after an action of this policy was ineffective or harmful there.
    retry_seconds: Annotated[float, Meta(ge=0)] = 86400.0


class StepSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a parameter moves: to a value, or by a share of what is there. A value alone is the same as `set`."""

    #: The value, in the words and units of its system.
    set: str | int | float | bool | None = None
    #: Share of what is there, by which it grows; at least one step of the setting.
    increase_ratio: float | None = None
    #: Values below it are refused.
    min: str | int | float | None = None
    #: Where growth ends, so `increase_ratio` needs it; larger values are refused.
    max: str | int | float | None = None


class PolicySection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which alerts lead to which action; `match` holds matchers as Alertmanager writes them."""

    #: Name of the policy, unique; a label of metrics.
    name: Name
    #: Matchers on the alert's labels, all of which must hold; the first policy that matches answers.
    match: Annotated[tuple[str, ...], Meta(min_length=1)]
    #: What acts: `database` or `cache`.
    executor: str
    #: What it moves, and how far; see [executors](executors.md#parameters-of-a-policy).
    parameters: Annotated[dict[str, StepSection | str | int | float | bool], Meta(min_length=1)]
    #: What must improve.
    objective: ObjectiveSection
    #: What is acted on; by default the alert's label `component`.
    component: str | None = None
    #: What must not get worse.
    guards: tuple[GuardSection, ...] = ()
    #: How far it goes: note it, say what it would do, ask a person first, or act.
    mode: Mode = Mode.SUGGEST
    #: How often it acts.
    limits: LimitsSection = field(default_factory=LimitsSection)
    #: Time before the effect counts; by default two ranges of rates and one interval, for `cache` at least 300.
    settle_seconds: Seconds | None = None
    #: What becomes of a change when the samples decide nothing.
    on_inconclusive: Keep = Keep.ROLLBACK
    #: What becomes of a change when samples are missing.
    on_unverifiable: Keep = Keep.KEEP
    #: How long `approve` waits for a person; after that the action is cancelled.
    approval_seconds: Seconds = 3600.0
    #: Accepted, but without effect yet: episodes are served in the order of their beginning.
    priority: int = 0


# -- where things are --------------------------------------------------------------------------------------------------


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
