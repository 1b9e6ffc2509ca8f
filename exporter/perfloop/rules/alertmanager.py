"""alertmanager.yml: everything goes to the optimizer's webhook; critical mutes warning of the same thing."""

from __future__ import annotations

from perfloop.rules.groups import to_yaml
from perfloop.rules.promql import duration

# Labels that name one thing; those that an alert lacks are equal, as they are empty on both sides.
_SAME_THING = ["rule", "component", "instance", "device", "mountpoint"]


def compile_alertmanager(*, webhook_url: str, credentials_file: str, interval_seconds: int) -> str:
    """Return alertmanager.yml without its header, in the syntax of 0.25 and newer.

    Waiting follows the collection interval: a notification is not worth waiting for longer than for the next samples.
    A group keeps one alert of one component of one host, with both severities: small enough for one delivery, however
    many hosts there are. `repeat_interval` only tells the optimizer that an
    alert still fires; what it missed, Alertmanager sends again at the next group_interval.
    """
    route = {
        "receiver": "perfloop",
        "group_by": ["alertname", "component", "instance"],
        "group_wait": duration(min(interval_seconds, 10)),
        "group_interval": duration(min(2 * interval_seconds, 60)),
        "repeat_interval": duration(min(240 * interval_seconds, 3600)),
    }
    inhibition = {
        "source_matchers": ['severity="critical"'],
        "target_matchers": ['severity="warning"'],
        "equal": _SAME_THING,
    }
    webhook = {
        "url": webhook_url,
        "send_resolved": True,
        "max_alerts": 0,
        "http_config": {"authorization": {"type": "Bearer", "credentials_file": credentials_file}},
    }
    receivers = [{"name": "perfloop", "webhook_configs": [webhook]}]
    return to_yaml({"route": route, "inhibit_rules": [inhibition], "receivers": receivers})
