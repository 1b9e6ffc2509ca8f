"""The vocabulary: frozen structs that travel between the parts.

Times are Unix seconds and end in `_at`; durations end in `_seconds`; shares of one end in `_ratio`.
"""

from __future__ import annotations

from perfloop.model.alerts import Alert, AlertGroup, AlertStatus, Episode, Receipt, RuleState
from perfloop.model.changes import Change, Component, Encryption, Probe, Reversibility, Setting, Step
from perfloop.model.counts import LatestEffect, StoreCounts
from perfloop.model.executions import (
    Baseline,
    Effect,
    Evaluation,
    Execution,
    Grade,
    GuardResult,
    LogEntry,
    Phase,
    State,
    Verdict,
)
from perfloop.model.measuring import (
    THIS_HOST,
    Alias,
    CatalogueMetric,
    Direction,
    Family,
    Measurement,
    MetricType,
    Operator,
    Paths,
    Sample,
    Scale,
)
from perfloop.model.policies import (
    Action,
    Decision,
    Guard,
    Keep,
    Limits,
    Mode,
    Objective,
    Outcome,
    Policy,
    RecordedDecision,
    Timing,
)

__all__ = [
    "THIS_HOST",
    "Action",
    "Alert",
    "AlertGroup",
    "AlertStatus",
    "Alias",
    "Baseline",
    "CatalogueMetric",
    "Change",
    "Component",
    "Decision",
    "Direction",
    "Effect",
    "Encryption",
    "Episode",
    "Evaluation",
    "Execution",
    "Family",
    "Grade",
    "Guard",
    "GuardResult",
    "Keep",
    "LatestEffect",
    "Limits",
    "LogEntry",
    "Measurement",
    "MetricType",
    "Mode",
    "Objective",
    "Operator",
    "Outcome",
    "Paths",
    "Phase",
    "Policy",
    "Probe",
    "Receipt",
    "RecordedDecision",
    "Reversibility",
    "RuleState",
    "Sample",
    "Scale",
    "Setting",
    "State",
    "Step",
    "StoreCounts",
    "Timing",
    "Verdict",
]
