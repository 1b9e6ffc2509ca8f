"""Alerts as GitHub's markdown. What labels and annotations say stands in code: there no mention, link or tag works."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from perfloop.model import Alert, AlertGroup, AlertStatus
from perfloop.wording import printable

LONGEST_TITLE = 120
# GitHub takes 65536 characters.
_MOST_ALERTS = 20
_LONGEST_WORD, _LONGEST_TEXT = 100, 1000
_MOST_LABELS = 30
_SAID_BY_THE_NAME = {"alertname", "rule", "severity"}
_LINK = re.compile(r"https?://[\w.~:/?#&=%+,;-]{1,1000}", re.ASCII)
_LINKS = {"runbook_url": "what to do", "dashboard_url": "board"}


def title_of(group: AlertGroup) -> str:
    """Return a line that says what the group is about: the alert's name, and the values by which it is grouped."""
    first = group.alerts[0].labels if group.alerts else {}
    labels = group.labels or first
    about = [value for name, value in sorted(labels.items()) if value and name not in _SAID_BY_THE_NAME]
    name = labels.get("alertname") or first.get("alertname") or "Alerts"
    return _plain(f"{name}: {', '.join(about)}" if about else name, LONGEST_TITLE)


def describe(group: AlertGroup) -> str:
    """Return how many fire and have ended, and the first of them, those that fire in front."""
    ordered = sorted(group.alerts, key=lambda alert: (alert.status is AlertStatus.RESOLVED, alert.starts_at))
    left_out = len(ordered[_MOST_ALERTS:]) + group.truncated
    parts = [f"{_counts(group)}.", *(_describe(alert) for alert in ordered[:_MOST_ALERTS])]
    if left_out > 0:
        parts.append(f"And {left_out} more.")
    return "\n\n".join(parts)


def _counts(group: AlertGroup) -> str:
    firing = len(group.firing)
    ended = len(group.alerts) - firing
    counts = [f"{firing} {'alert fires' if firing == 1 else 'alerts fire'}"] if firing else []
    counts += [f"{ended} {'alert has' if ended == 1 else 'alerts have'} ended"] if ended else []
    return ", ".join(counts) or "Nothing is known of its alerts"


def _describe(alert: Alert) -> str:
    ended_at = alert.ends_at if alert.status is AlertStatus.RESOLVED else None
    when = f"since {_time(alert.starts_at)}" + (f", until {_time(ended_at)}" if ended_at else "")
    head = [_code(alert.labels.get("alertname", "")), _code(alert.labels.get("severity", "")), when]
    texts = [alert.annotations.get("summary", ""), alert.annotations.get("description", ""), _labels(alert.labels)]
    parts = [" · ".join(part for part in head if part), _block([text for text in texts if text])]
    return "\n".join([*parts, *_links(alert.annotations)])


def _labels(labels: Mapping[str, str]) -> str:
    known = [f"{name}={_plain(value, _LONGEST_WORD)}" for name, value in sorted(labels.items())]
    return ", ".join(known[:_MOST_LABELS])


def _links(annotations: Mapping[str, str]) -> list[str]:
    """Return the links of an alert. A text that could be more than an address is left out."""
    found = [f"[{name}]({url})" for key, name in _LINKS.items() if _LINK.fullmatch(url := annotations.get(key, ""))]
    return ["", " · ".join(found)] if found else []


def _code(text: str) -> str:
    plain = _plain(text, _LONGEST_WORD).replace("`", "'")
    return f"`{plain}`" if plain.strip() else ""


def _block(texts: Sequence[str]) -> str:
    """Return texts as a block of code that none of them can end."""
    lines = [_plain(line, _LONGEST_TEXT) for text in texts for line in text.splitlines()[:20]]
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}text", *lines, fence])


def _plain(text: str, most: int) -> str:
    """Return one bounded line without control characters, in which no hidden comment, as perfloop's own are, begins."""
    line = printable(text).replace("<!--", "<! --")
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
