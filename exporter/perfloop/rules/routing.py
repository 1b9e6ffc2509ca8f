"""Who is told of which alerts: one route for each set of channels and cooldown, so that a file stays short."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

from msgspec import Struct

from perfloop.errors import ConfigInvalid
from perfloop.rules.channels import Channel, GitHub
from perfloop.rules.groups import Rule

# The optimizer's own receiver; no channel may be called so.
OPTIMIZER = "perfloop"

_SPECIAL = re.compile(r"([\\.+*?()|\[\]{}^$])")
_LONGEST_GROUP_INTERVAL = 300


class Route(Struct, frozen=True, kw_only=True, order=True):
    """The alerts with these values of the label `rule` go to these channels, at most once in the cooldown.

    `alerts` is set where alerts of one rule have different channels: then the names of the alerts decide as well.
    """

    channels: tuple[str, ...]
    cooldown_seconds: int
    rules: tuple[str, ...]
    alerts: tuple[str, ...] = ()

    @property
    def receiver(self) -> str:
        """The name of the receiver; `+` is in no channel's name, so that no two sets have the same."""
        return "+".join(self.channels)

    @property
    def matchers(self) -> list[str]:
        """The conditions on an alert's labels, as Alertmanager reads them in all its versions."""
        named = [one_of("alertname", self.alerts)] if self.alerts else []
        return [one_of("rule", self.rules), *named]

    def group_interval_seconds(self, *, least: int) -> int:
        """Return how often a group is looked at: four times in a cooldown, so that a repetition is hardly late.

        Never below `least`, the time that new groups wait: an alert that ends and comes back in between would be told
        too early. Never above 5 minutes, as more alerts of a group wait for it.
        """
        return min(_LONGEST_GROUP_INTERVAL, max(least, self.cooldown_seconds // 4))


def routes(alerts: Iterable[Rule], channels: Mapping[str, Channel]) -> tuple[tuple[Route, ...], tuple[Route, ...]]:
    """Return the routes to GitHub and those to people, each sorted. Raises ConfigInvalid for alerts that are alike."""
    told = _told(alerts)
    github = {name for name, channel in channels.items() if isinstance(channel, GitHub)}
    return _routes(told, lambda name: name in github), _routes(told, lambda name: name not in github)


def one_of(label: str, values: Sequence[str]) -> str:
    """Return the matcher that selects exactly these values; whatever is in them means itself."""
    if len(values) == 1:
        return f'{label}="{_quoted(values[0])}"'
    pattern = "|".join(_SPECIAL.sub(r"\\\1", value) for value in values)
    return f'{label}=~"{_quoted(pattern)}"'


_Destination = tuple[tuple[str, ...], int]
# The alerts' names by their rule, and by channels and cooldown.
_Told = dict[str, dict[_Destination, set[str]]]


def _told(alerts: Iterable[Rule]) -> _Told:
    told: _Told = defaultdict(lambda: defaultdict(set))
    for alert in alerts:
        channels = tuple(sorted(set(alert.notice.channels)))
        told[alert.labels["rule"]][channels, alert.notice.cooldown_seconds].add(alert.alert)
    for rule, by_notice in told.items():
        names = sorted(name for each in by_notice.values() for name in each)
        for name, following in pairwise(names):
            if name == following:
                raise ConfigInvalid([f"the alerts {name} of {rule} differ in channels or cooldown; expected the same"])
    return told


def _routes(told: _Told, wanted: Callable[[str], bool]) -> tuple[Route, ...]:
    """Return the routes to the wanted channels. Rules with one destination share a route, others have their own."""
    together: dict[_Destination, list[str]] = defaultdict(list)
    apart: list[Route] = []
    for rule, by_notice in told.items():
        narrowed = _narrowed(by_notice, wanted)
        for (channels, cooldown_seconds), alerts in narrowed.items():
            if channels and len(narrowed) == 1:
                together[channels, cooldown_seconds].append(rule)
            elif channels:
                names = tuple(sorted(alerts))
                apart.append(Route(channels=channels, cooldown_seconds=cooldown_seconds, rules=(rule,), alerts=names))
    joined = [
        Route(channels=channels, cooldown_seconds=cooldown_seconds, rules=tuple(sorted(rules)))
        for (channels, cooldown_seconds), rules in together.items()
    ]
    return tuple(sorted([*joined, *apart]))


def _narrowed(
    by_notice: Mapping[_Destination, set[str]], wanted: Callable[[str], bool]
) -> Mapping[_Destination, set[str]]:
    narrowed: dict[_Destination, set[str]] = defaultdict(set)
    for (channels, cooldown_seconds), alerts in by_notice.items():
        kept = tuple(filter(wanted, channels))
        narrowed[kept, cooldown_seconds if kept else 0] |= alerts
    return narrowed


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
