"""The sections about alerts: rules of one's own, channels, shipped alerts that are changed, service levels."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, field

from perfloop.config.schema.base import Address, Cooldown, Count, Name, Seconds, Secret, Section, Url

Severity = Literal["info", "warning", "critical"]
Minutes = Annotated[int, Meta(ge=0)]
LabelName = Annotated[str, Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$", description="the name of a label")]
EmailAddress = Annotated[str, Meta(pattern=r"^[^\s,{}][^,{}\n]*@[^\s,{}]+$", description="an e-mail address")]


class Comparison(StrEnum):
    """The comparison of a rule; `Equals` and `NotEquals` are other words for `Equal` and `NotEqual`."""

    GREATER_THAN = "GreaterThan"
    LESS_THAN = "LessThan"
    EQUAL = "Equal"
    NOT_EQUAL = "NotEqual"
    EQUALS = "Equals"
    NOT_EQUALS = "NotEquals"


class ChangeDirection(StrEnum):
    """Which change is bad."""

    INCREASE = "Increase"
    DECREASE = "Decrease"
    ANY = "Any"


class ThresholdCondition(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The metric stands beyond a value."""

    #: A name of the catalogue.
    metric: str
    #: Which side of the value is bad.
    operator: Comparison = Comparison.GREATER_THAN
    #: In the metric's unit.
    value: float
    #: How long it must last before the alert fires.
    duration_minutes: Minutes = 0


class PercentChangeCondition(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The metric changed against its own past. Without half of that, or if that was mostly zero, nothing fires."""

    #: A name of the catalogue.
    metric: str
    #: Hours that the past goes back.
    baseline_hours: Count
    #: By how much, in percent of the past's mean.
    change_percent: Seconds
    #: Which change is bad.
    direction: ChangeDirection = ChangeDirection.ANY
    #: `mean` of the hours before, or the `same_time` that many hours ago, for what has a daily or weekly rhythm.
    baseline: Literal["mean", "same_time"] = "mean"
    #: How long it must last before the alert fires.
    duration_minutes: Minutes = 5


class StatisticalCondition(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The metric is further from its own mean than it mostly is; of its past the same is asked as for PercentChange.

    The window ends an hour ago, or six times `duration_minutes`, so that nothing is measured by itself.
    """

    #: A name of the catalogue.
    metric: str
    #: How many standard deviations are too far.
    deviation_threshold: Seconds
    #: Hours over which mean and deviation are taken.
    window_hours: Count
    #: How long it must last before the alert fires.
    duration_minutes: Minutes = 5


class Condition(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Exactly one of three kinds."""

    #: Beyond a value.
    threshold: ThresholdCondition | None = field(default=None, name="Threshold")
    #: Changed against its own past.
    percent_change: PercentChangeCondition | None = field(default=None, name="PercentChange")
    #: Unlike its own past.
    statistical: StatisticalCondition | None = field(default=None, name="Statistical")


class AlertRule(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An alert of one's own."""

    #: Its name; the alert is called the same in CamelCase: `slow_checkout` is `SlowCheckout`.
    name: Name
    #: What is wrong when it fires, in one sentence.
    description: str = ""
    #: When it fires.
    condition: Condition
    #: How bad it is.
    severity: Severity = "warning"
    #: Who is told; by default `alerts.channels`.
    channels: tuple[str, ...] | None = None
    #: At most one notification in this time, however often it comes and goes; by default `alerts.cooldown_minutes`.
    cooldown_minutes: Cooldown | None = None
    #: Whether it is compiled at all.
    enabled: bool = True


class Override(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of a shipped alert is different here; the rest stays."""

    #: Another condition, in PromQL; `$range` is the range of rates.
    expr: str | None = None
    #: Another severity, for all that the alert has.
    severity: Severity | None = None
    #: How many seconds it must last before the alert fires.
    duration: Annotated[int, Meta(ge=0)] | None = None
    #: Who is told.
    channels: tuple[str, ...] | None = None
    #: At most one notification in this time.
    cooldown_minutes: Cooldown | None = None


class Alerts(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for all alerts, and which of the shipped ones are off or different."""

    #: Who is told of alerts that name no channels themselves; the optimizer is told of all in any case.
    channels: tuple[str, ...] = ()
    #: At most one notification of one alert in this time, however often it comes and goes.
    cooldown_minutes: Cooldown = 60
    #: Alerts that are equal in these labels share a notification to people. More labels: more and smaller ones.
    group_by: tuple[LabelName, ...] = ("alertname", "severity")
    #: Shipped alerts that are not compiled, by name.
    disable: tuple[str, ...] = ()
    #: Shipped alerts that differ here, by name.
    override: dict[str, Override] = field(default_factory=dict)
    #: Where the pages of docs/alerts are; each alert links its own.
    runbook_base_url: Url = "https://github.com/perfloop/perfloop/blob/main/docs/alerts"
    #: Where Grafana is; with it, alerts link their board.
    grafana_url: Url | None = None


class Email(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """E-mail through a mail server, by Alertmanager."""

    #: Who gets it.
    recipients: Annotated[tuple[EmailAddress, ...], Meta(min_length=1)]
    #: The sender.
    sender: EmailAddress
    #: The mail server.
    smarthost: Address
    #: Who logs in there.
    user: str | None = None
    #: The password, in a file that Alertmanager can read.
    password_file: Path | None = None
    #: Whether the connection must be encrypted.
    require_tls: bool = True


class Slack(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Slack channel, by Alertmanager."""

    #: A file with the URL of the incoming webhook, which is a secret.
    webhook_url_file: Path
    #: The channel, with its #.
    channel: str


class Webhook(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Any receiver of Alertmanager's webhooks."""

    #: Where it is; without credentials in it.
    url: Url
    #: A bearer token, in a file that Alertmanager can read.
    token_file: Path | None = None
    #: More headers; Alertmanager 0.28 and newer only, and no secrets.
    headers: dict[str, str] = field(default_factory=dict)


class GitHub(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One issue for each group of alerts, by the optimizer: opened, commented, closed."""

    #: `owner/name`.
    repository: Annotated[str, Meta(pattern=r"^[\w.-]+/[\w.-]+$", description="owner/name")]
    #: Labels of new issues, beside `perfloop`, by which they are found again.
    labels: tuple[str, ...] = ()
    #: A token that may write issues and set labels; a reload reads it again.
    token: Secret
    #: The API; another one for GitHub Enterprise.
    api_url: Url = "https://api.github.com"


class Channel(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where notifications go: exactly one of four kinds."""

    #: E-mail.
    email: Email | None = None
    #: Slack.
    slack: Slack | None = None
    #: A webhook.
    webhook: Webhook | None = None
    #: GitHub issues.
    github: GitHub | None = None


class ServiceLevel(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A share of requests that must go well, and alerts when the rest is used up too fast."""

    #: Percent that must go well.
    objective: Annotated[float, Meta(gt=0, lt=100)]
    #: Days over which it must; by default 30, or as many as Prometheus keeps.
    window_days: Count | None = None
    #: PromQL of what went wrong per second; `$window` stands for the range.
    errors: str
    #: PromQL of all per second; `$window` stands for the range.
    total: str
    #: What is promised, in one sentence.
    description: str = ""
    #: Who is told; by default `alerts.channels`.
    channels: tuple[str, ...] | None = None
    #: At most one notification in this time; by default `alerts.cooldown_minutes`.
    cooldown_minutes: Cooldown | None = None
