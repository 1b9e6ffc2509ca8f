"""`perfloop exporter`: measure this host and its targets; serve /metrics."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import click

from perfloop import logs
from perfloop.cli import config_file, log_level


@click.command("exporter")
@config_file
@click.option("--web.listen-address", "address", metavar="HOST:PORT", help="Instead of web.exporter_address.")
@log_level
def command(config_file: Path, address: str | None, log_level: str) -> None:
    """Measure this host and the configured targets at each scrape of /metrics; nothing runs in between.

    SIGHUP reads the configuration again; a broken file leaves the running one in force.
    """
    from perfloop.app.exporter import Exporter

    logs.configure(log_level)
    exporter = Exporter(config_file, base=config_file.resolve().parent, environ=os.environ, address=address)
    signal.signal(signal.SIGHUP, lambda *_: exporter.reload())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: exporter.stop())
    exporter.serve()
