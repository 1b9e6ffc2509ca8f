"""alertmanager.yml: the optimizer is told of everything, people by their channels and at most once in a cooldown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from perfloop.rules.channels import TEST_LABEL, Channel, Email, GitHub, Slack, Webhook
from perfloop.rules.groups import Rule, to_yaml
from perfloop.rules.inhibition import inhibit_rules
from perfloop.rules.promql import duration
from perfloop.rules.routing import OPTIMIZER, Route, one_of, routes
from perfloop.rules.targets import Targets

# The optimizer answers in milliseconds, and a receiver of somebody else's ought to.
_ATTEMPT_SECONDS = 10
_ISSUE = ("rule", "component", "instance")
# Slack shows no annotation by itself.
_SLACK_TEXT = (
    "{{ range .Alerts }}{{ .Annotations.description }}"
    "{{ with .Annotations.runbook_url }} <{{ . }}|what to do>{{ end }}"
    "{{ with .Annotations.dashboard_url }} <{{ . }}|board>{{ end }}\n{{ end }}"
)


def compile_alertmanager(
    *,
    webhook_url: str,
    credentials_file: str,
    interval_seconds: int,
    alerts: Sequence[Rule],
    channels: Mapping[str, Channel],
    group_by: Sequence[str],
    expressions: Iterable[str],
    targets: Targets,
) -> str:
    """Return alertmanager.yml without its header, in the syntax of 0.25 unless the target is newer.

    `group_by` is for people; `expressions` are those of the recorded series: the labels in them tell things apart.

    Waiting follows the collection interval: a notification is not worth waiting for longer than for the next samples.
    A group of the optimizer keeps one alert of one component of one host, with both severities: small enough for one
    delivery, however many hosts there are. Its `repeat_interval` only tells it that an alert still fires; what it
    missed, Alertmanager sends again at the next group_interval.
    """
    to_github, to_people = routes(alerts, channels)
    wait_seconds = min(interval_seconds, 10)
    route: dict[str, Any] = {
        "receiver": OPTIMIZER,
        "group_by": ["alertname", "component", "instance"],
        "group_wait": duration(wait_seconds),
        "group_interval": duration(min(2 * interval_seconds, 60)),
        "repeat_interval": duration(min(240 * interval_seconds, 3600)),
    }
    if channels:
        issues = [_route(each, _ISSUE, least_seconds=wait_seconds) | {"continue": True} for each in to_github]
        people = [_route(each, group_by, least_seconds=wait_seconds) for each in to_people]
        tests = [_test_route(name) for name in sorted(channels)]
        # The optimizer first, and for every alert but tests: no route to people comes between.
        route["routes"] = [*tests, {"receiver": OPTIMIZER, "continue": True}, *issues, *people]
    optimizer = Webhook(url=webhook_url, token_file=credentials_file)
    receivers = [
        {"name": OPTIMIZER, "webhook_configs": [_webhook(optimizer, targets)]},
        *_receivers((*to_github, *to_people), channels, optimizer, targets),
    ]
    return to_yaml({"route": route, "inhibit_rules": inhibit_rules(alerts, expressions), "receivers": receivers})


def _route(route: Route, group_by: Sequence[str], *, least_seconds: int) -> dict[str, Any]:
    found = {"receiver": route.receiver, "matchers": route.matchers, "group_by": list(group_by)}
    if not route.cooldown_seconds:
        return found
    return {
        **found,
        "group_interval": duration(route.group_interval_seconds(least=least_seconds)),
        "repeat_interval": duration(route.cooldown_seconds),
    }


def _test_route(channel: str) -> dict[str, Any]:
    """Return the route of `perfloop alerts send-test`: at once, and to this channel alone."""
    return {
        "receiver": channel,
        "matchers": [one_of(TEST_LABEL, (channel,))],
        "group_by": ["alertname", TEST_LABEL],
        "group_wait": "0s",
        "group_interval": "10s",
    }


def _receivers(
    every: Iterable[Route], channels: Mapping[str, Channel], optimizer: Webhook, targets: Targets
) -> Iterator[dict[str, Any]]:
    """Return a receiver for each channel and for each set of them; those of one kind stand in one list."""
    told = {(route.channels, route.receiver) for route in every}
    for names, receiver in sorted(told | {((name,), name) for name in channels}):
        found: dict[str, Any] = {"name": receiver}
        for name in names:
            kind, config = _config(name, channels[name], optimizer, targets)
            found.setdefault(kind, []).append(config)
        yield found


def _config(name: str, channel: Channel, optimizer: Webhook, targets: Targets) -> tuple[str, dict[str, Any]]:
    """Return the key of Alertmanager's list for this kind of channel, and what stands there."""
    match channel:
        case Email():
            return "email_configs", _email(channel, targets)
        case Slack():
            slack = {"api_url_file": channel.webhook_url_file, "channel": channel.channel, "send_resolved": True}
            return "slack_configs", {**slack, "text": _SLACK_TEXT}
        case Webhook():
            return "webhook_configs", _webhook(channel, targets)
        case GitHub():
            through = replace(optimizer, url=f"{optimizer.url}/github/{name}")
            return "webhook_configs", _webhook(through, targets)


def _email(email: Email, targets: Targets) -> dict[str, Any]:
    login = {"auth_username": email.user, "auth_password_file": email.password_file} if email.user else {}
    return {
        "to": ", ".join(email.recipients),
        "from": email.sender,
        "smarthost": email.smarthost,
        **login,
        "require_tls": email.require_tls,
        "send_resolved": True,
        # By group, over days: what fires and what ends belong together.
        **({"threading": {"enabled": True, "thread_by_date": "none"}} if targets.email_threading else {}),
    }


def _webhook(webhook: Webhook, targets: Targets) -> dict[str, Any]:
    http: dict[str, Any] = {}
    if webhook.token_file:
        http["authorization"] = {"type": "Bearer", "credentials_file": webhook.token_file}
    if webhook.headers:
        http["http_headers"] = {name: {"values": [value]} for name, value in webhook.headers.items()}
    return {
        "url": webhook.url,
        "send_resolved": True,
        "max_alerts": 0,
        **({"timeout": duration(_ATTEMPT_SECONDS)} if targets.webhook_timeout else {}),
        **({"http_config": http} if http else {}),
    }
