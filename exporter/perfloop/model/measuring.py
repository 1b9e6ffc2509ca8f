"""What is measured: metric families, catalogue entries, samples."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Literal

from msgspec import Struct


class MetricType(StrEnum):
    """The types of the text format; `info` is a gauge that is always one, `untyped` is what others did not declare."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"
    SUMMARY = "summary"
    UNTYPED = "untyped"


class Family(Struct, frozen=True, kw_only=True):
    """One metric family as it is declared, once: full name, type, help that names the source, and label names."""

    name: str
    type: MetricType
    help: str
    labels: tuple[str, ...] = ()


class Alias(Struct, frozen=True, kw_only=True):
    """Another exporter's name for the samples of a family of ours; `renamed` maps its labels to ours where they differ.

    Labels that neither of the two says are constants of `fixed`.
    """

    family: Family
    renamed: Mapping[str, str] = {}
    fixed: Mapping[str, str] = {}


class Paths(Struct, frozen=True, kw_only=True):
    """Where the host's own trees are mounted, as a container sees them."""

    procfs: Path = Path("/proc")
    sysfs: Path = Path("/sys")
    rootfs: Path = Path("/")


THIS_HOST = Paths()


class Direction(StrEnum):
    """Which way is better for a metric."""

    LOWER = "lower"
    HIGHER = "higher"


class Operator(StrEnum):
    """The comparison of a threshold; Equal and NotEqual are for states, not for measurements."""

    GREATER_THAN = "GreaterThan"
    LESS_THAN = "LessThan"
    EQUAL = "Equal"
    NOT_EQUAL = "NotEqual"


class Scale(StrEnum):
    """How a metric is compared: `ratio` by its logarithm (latency, throughput), `raw` by differences (counts)."""

    RATIO = "ratio"
    RAW = "raw"


class CatalogueMetric(Struct, frozen=True, kw_only=True):
    """One entry of the catalogue: a name users know, the PromQL behind it, and how to read it.

    `expr` may hold `$range`, which the compiler replaces with the range of rates. `across` joins the series of one
    component into the single one that an objective needs. `per` says what the series are labelled with. The recorded
    series is `perfloop:<name>`.
    """

    name: str
    expr: str
    unit: str
    direction: Direction
    help: str
    across: Literal["avg", "sum", "max", "min"] = "max"
    scale: Scale = Scale.RATIO
    per: Literal["component", "host"] = "component"

    @property
    def series(self) -> str:
        """Name of the recorded series."""
        return f"perfloop:{self.name}"


class Sample(Struct, frozen=True, kw_only=True):
    """One value of one series at one time."""

    at: float
    value: float


class Measurement(Struct, frozen=True, kw_only=True):
    """One sample of a recorded series, with the series' labels."""

    at: float
    labels: Mapping[str, str]
    value: float
