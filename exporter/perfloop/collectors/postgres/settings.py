"""The settings of a PostgreSQL server as one metric each, in base units, read when they may have changed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence

from perfloop.collectors.postgres.question import Row
from perfloop.exposition.block import Block
from perfloop.exposition.text import number
from perfloop.model import Family, MetricType

# What this session itself has set says nothing of the server: there the value that it would return to. What is of a
# transaction says nothing but how we ask.
SETTINGS_SQL = r"""
SELECT name, CASE WHEN source = 'session' THEN reset_val ELSE setting END, coalesce(unit, ''), short_desc
  FROM pg_settings WHERE vartype IN ('bool', 'integer', 'real') AND name NOT LIKE 'transaction\_%' ORDER BY name"""
PREFIX = "perfloop_postgresql_setting_"

_UNIT = re.compile(r"(\d*)(\w+)")
_BASE_UNITS = {
    "B": ("bytes", 1),
    "kB": ("bytes", 1024),
    "MB": ("bytes", 1024**2),
    "GB": ("bytes", 1024**3),
    "TB": ("bytes", 1024**4),
    "us": ("seconds", 1e-6),
    "ms": ("seconds", 1e-3),
    "s": ("seconds", 1),
    "min": ("seconds", 60),
    "h": ("seconds", 3600),
    "d": ("seconds", 86400),
}
_NO_NAME = re.compile(r"[^a-z0-9_]")
# Endings that mean something else in Prometheus.
_RESERVED = re.compile(r"_(?:count|sum|bucket|total|info)$")


class Settings:
    """The settings as they stood when they were read; their tokens are taken once."""

    def __init__(self, rows: Iterable[Row], *, family: Callable[[str, str, str], Family], fixed: Sequence[str]) -> None:
        found: dict[str, tuple[Family, bytes]] = {}
        for name, setting, unit, text in (tuple(field.decode("utf-8", "replace") for field in row) for row in rows):
            suffix, token = in_base_unit(setting, unit)
            shown = family(name, suffix, text)
            # Names of extensions may differ in what a metric's name cannot hold: the first one counts.
            found.setdefault(shown.name, (shown, token))
        block = Block([shown for shown, _ in found.values()], fixed=fixed)
        self.samples = block.render_row([token for _, token in found.values()])


def setting_family(name: str, suffix: str, text: str) -> Family:
    """Return our family of a setting, by its name, the unit at its end, and what the server says of it."""
    plain = _RESERVED.sub(r"\g<0>_value", _NO_NAME.sub("_", name.lower()))
    return Family(
        name=f"{PREFIX}{plain}{suffix}",
        type=MetricType.GAUGE,
        help=f"The setting {name}: {text}",
        labels=("component",),
    )


def in_base_unit(setting: str, unit: str) -> tuple[str, bytes]:
    """Return the end of a setting's name, and its value; -1, which is no quantity, stays -1."""
    if not unit:
        return "", {"on": b"1", "off": b"0"}.get(setting) or _as_number(setting, 1)
    match = _UNIT.fullmatch(unit)
    if match is None or match[2] not in _BASE_UNITS:
        return "", _as_number(setting, 1)
    base, factor = _BASE_UNITS[match[2]]
    return f"_{base}", b"-1" if setting == "-1" else _as_number(setting, factor * int(match[1] or 1))


def _as_number(setting: str, factor: float) -> bytes:
    try:
        value = float(setting) if factor == 1 else round(float(setting) * factor, 9)
    except ValueError:
        return b""
    if not math.isfinite(value):
        return b""
    return number(int(value) if value == int(value) else value)
