"""`perfloop up`: the whole stack on this machine, watched until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from perfloop.app.stack import Reading, Stack
from perfloop.cli import config_file
from perfloop.stack.supervisor import Supervisor

_REFRESH_SECONDS = 2.0
_SHOWN = ("cpu_usage", "memory_usage", "disk_usage", "bandwidth_usage")


class Stop(threading.Event):
    """Set by SIGINT and SIGTERM."""

    def listen(self) -> None:
        """Take the two signals over."""
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.set()


@click.command("up")
@config_file
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".perfloop"),
    show_default=True,
    help="Folder for data, logs and compiled configuration.",
)
def command(config_file: Path, state_dir: Path) -> None:
    """Start Prometheus, Alertmanager, the exporter and the optimizer on loopback, and watch them.

    What dies is started again. Ctrl-C or SIGTERM ends them all. Services that run on this machine already are
    not touched.
    """
    console = Console(highlight=False)
    stop = Stop()
    stop.listen()
    stack = Stack(config_file, state=state_dir)
    supervisor = Supervisor(stack.prepare(), say=lambda name, text: console.print(f"  {name:<14}{text}"))
    console.print(f"Starting perfloop; data and logs are in {state_dir}")
    supervisor.start()
    try:
        _await_first_values(stack, stop, console)
        _watch(stack, supervisor, stop, console)
    finally:
        console.print("Stopping")
        supervisor.stop()
    console.print("Everything has ended")


def _await_first_values(stack: Stack, stop: threading.Event, console: Console) -> None:
    interval = stack.config.performance_collection.collection_interval
    console.print(f"  {'measuring':<14}waits for the first values (scraped every {interval} s)")
    while not stop.is_set() and not (stack.scraped() and stack.readings(limit=1)):
        stop.wait(0.2)


def _watch(stack: Stack, supervisor: Supervisor, stop: threading.Event, console: Console) -> None:
    if not console.is_terminal:
        console.print(_overview(stack, supervisor))
        while not stop.wait(_REFRESH_SECONDS):
            supervisor.watch()
        return
    with Live(_overview(stack, supervisor), console=console, auto_refresh=False) as live:
        while not stop.wait(_REFRESH_SECONDS):
            supervisor.watch()
            live.update(_overview(stack, supervisor), refresh=True)


def _overview(stack: Stack, supervisor: Supervisor) -> Group:
    processes = Table("what", "address", "state", "pid", box=None)
    for child in supervisor.children:
        state = supervisor.state(child)
        processes.add_row(child.name, child.address, state, str(child.pid) if state != "restarting" else "")
    measured = Table("measured now", "of", "value", "", box=None)
    for reading in _shown(stack.readings()):
        measured.add_row(reading.metric, Text(reading.about), f"{reading.value:.1f}", reading.unit)
    return Group(Text(), processes, Text(), measured, Text("\nCtrl-C ends everything."))


def _shown(readings: list[Reading]) -> list[Reading]:
    """Return the host's own metrics first, then those of components; at most what fits a screen."""
    order = {name: i for i, name in enumerate(_SHOWN)}
    return sorted(readings, key=lambda r: (order.get(r.metric, len(order)), r.metric, r.about))[:20]
