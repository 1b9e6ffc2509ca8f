"""`perfloop query`: what was measured, by the names of the catalogue."""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.table import Table

from perfloop.app.history import RecordedHistory
from perfloop.cli import config_file
from perfloop.cli.moments import Moment, local
from perfloop.cli.printing import cells, console, output, show_json
from perfloop.config import load
from perfloop.model import Measurement
from perfloop.prometheus.history import PrometheusHistory


@click.command("query")
@click.argument("name", metavar="NAME")
@config_file
@click.option("--from", "start", type=Moment(), help="Begin then, or so long ago; by default an hour before --to.")
@click.option("--to", "end", type=Moment(), default="now", show_default=True, help="End then, or so long ago.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="At most so many.")
@output
def command(name: str, config_file: Path, start: float | None, end: float, limit: int, output: str) -> None:
    """Show what was recorded as NAME, newest first.

    NAME is one of the catalogue (`cpu_usage`), or an output_metric of perfloop.yml. Prometheus is asked directly; the
    optimizer answers the same at /api/v1/metrics.
    """
    if start is not None and start > end:
        raise click.UsageError("--from is after --to")
    config = load(config_file)
    history = RecordedHistory(config, client=PrometheusHistory(config.prometheus.url), clock=time.time)
    found = history.measurements(name, start=start, end=end, limit=limit)
    if output == "json":
        show_json(found)
    else:
        console().print(_table(found))


def _table(found: list[Measurement]) -> Table:
    table = Table("time", "value", "of", box=None)
    table.columns[1].justify = "right"
    for each in found:
        labels = ", ".join(f"{name}={value}" for name, value in sorted(each.labels.items()))
        table.add_row(*cells(local(each.at), f"{each.value:.6g}", labels))
    return table
