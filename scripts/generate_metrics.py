"""Writes the table of the exporter's metrics from the collectors' own declarations: generate_metrics.py FILE."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from perfloop.collectors import COLLECTORS
from perfloop.collectors.guard import FAMILIES
from perfloop.model import Family

INTRODUCTION = """\
# Metrics of the exporter

<!-- Generated from the collectors by scripts/generate_metrics.py; do not edit. -->

Everything `perfloop exporter` can show. What a source does not say has no sample: absent is never zero. Every metric of
a target has the label `component`, the name under which perfloop.yml knows it. An info metric is a gauge that is
always 1. A number like `1200e-3` is the source's own (1200 ms) in seconds, without a detour through arithmetic.
"""


def page() -> str:
    """Return the document."""
    sections = [_section(name, collector.families) for name, collector in COLLECTORS.items()]
    return "\n".join([INTRODUCTION, *sections, _section("about collectors", FAMILIES)])


def _section(name: str, families: Iterable[Family]) -> str:
    rows = [f"| `{f.name}` | {f.type} | {_labels(f)} | {f.help} |" for f in families]
    return "\n".join([f"## {name}", "", "| metric | type | labels | meaning |", "|---|---|---|---|", *rows, ""])


def _labels(family: Family) -> str:
    return " ".join(f"`{label}`" for label in family.labels)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
