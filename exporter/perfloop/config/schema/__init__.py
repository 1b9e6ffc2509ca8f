"""The whole perfloop.yml as frozen structs: every key, default and bound; a file for each group of sections."""

from __future__ import annotations

from msgspec import field

from perfloop.config.schema.alerting import AlertRule, Alerts, Channel, ServiceLevel
from perfloop.config.schema.base import MetricName, Name, Secret, Section
from perfloop.config.schema.collection import (
    AggregationRule,
    AlertThreshold,
    Optimization,
    Percentile,
    PerformanceAnalysis,
    PerformanceCollection,
)
from perfloop.config.schema.collectors import Collectors
from perfloop.config.schema.components import ComponentSection, Metric, Tls
from perfloop.config.schema.places import Prometheus, StoreSection, Web
from perfloop.config.schema.policies import GuardSection, ObjectiveSection, PolicySection, StepSection

__all__ = [
    "AggregationRule",
    "AlertRule",
    "AlertThreshold",
    "Alerts",
    "Channel",
    "Collectors",
    "ComponentSection",
    "Config",
    "GuardSection",
    "Metric",
    "ObjectiveSection",
    "Percentile",
    "PolicySection",
    "Secret",
    "Section",
    "ServiceLevel",
    "StepSection",
    "Tls",
]


class Config(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """perfloop.yml. Every section may be left out."""

    performance_collection: PerformanceCollection = field(default_factory=PerformanceCollection)
    performance_analysis: PerformanceAnalysis = field(default_factory=PerformanceAnalysis)
    optimization: Optimization = field(default_factory=Optimization)
    aggregation_rules: tuple[AggregationRule, ...] = ()
    alert_rules: tuple[AlertRule, ...] = ()
    alerts: Alerts = field(default_factory=Alerts)
    channels: dict[Name, Channel] = field(default_factory=dict)
    slos: dict[Name, ServiceLevel] = field(default_factory=dict)
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
