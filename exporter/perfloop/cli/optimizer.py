"""`perfloop optimizer`: receive alerts, decide, act, verify, keep or undo."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import click

from perfloop import logs
from perfloop.cli import config_file, log_level


@click.command("optimizer")
@config_file
@click.option("--web.listen-address", "address", metavar="HOST:PORT", help="Instead of web.optimizer_address.")
@log_level
def command(config_file: Path, address: str | None, log_level: str) -> None:
    """Receive alerts from Alertmanager, decide, drive the executors, and judge the effect by Prometheus.

    SIGHUP or POST /-/reload reads the configuration again; a broken file leaves the running one in force.
    """
    from perfloop.app.optimizer import Optimizer, on_signal

    logs.configure(log_level)
    optimizer = Optimizer(config_file, environ=os.environ)
    reload = on_signal(optimizer)
    signal.signal(signal.SIGHUP, lambda *_: reload())
    # uvicorn has handlers of its own while it serves; afterwards it raises what it caught again, for these.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: optimizer.stop())
    optimizer.serve(address=address)
