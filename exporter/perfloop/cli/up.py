"""`perfloop up`: the whole stack on this machine, watched until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
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
from perfloop.wording import printable

_REFRESH_SECONDS = 1.0
_FIRST_SCRAPE_SECONDS = 5  # so long Prometheus collects its targets before it begins
_FIRST = ("cpu_usage", "memory_usage", "disk_usage", "bandwidth_usage")
_MOST_ROWS = 20
_OTHER_LINES = 11  # of the overview, beside its rows
_STYLES = {"ready": "green", "not ready": "yellow", "restarting": "red"}


class Stop(threading.Event):
    """Set by SIGINT and SIGTERM."""

    def listen(self) -> None:
        """Take the two signals over."""
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        # In a thread: the signal may find the main thread inside wait(), holding the lock that set() needs.
        threading.Thread(target=self.set, name="stop").start()


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

    def say(who: str, what: str) -> None:
        console.print(Text(f"  {who:<14}{what}"), soft_wrap=True)

    supervisor = Supervisor(stack.prepare(), say=say)
    console.print(Text(f"Starting perfloop; data and logs are in {state_dir}"), soft_wrap=True)
    try:
        supervisor.start(stop=stop)
        if not stop.is_set():
            say("measuring", _patience(stack))
            _watch(stack, supervisor, stop, console)
        console.print("Stopping")
    finally:
        supervisor.stop()
    console.print("Everything has ended")


def _watch(stack: Stack, supervisor: Supervisor, stop: threading.Event, console: Console) -> None:
    """Keep the children alive and show them, until told to stop: in place on a terminal, else when there is news."""
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            _each_second(
                stack,
                supervisor,
                stop,
                lambda rows: live.update(_overview(stack, supervisor, rows, console), refresh=True),
            )
        return
    seen: set[str] = set()

    def show(readings: Sequence[Reading]) -> None:
        names = {reading.metric for reading in readings}
        if names - seen:
            seen.update(names)
            console.print(_overview(stack, supervisor, readings, console))

    _each_second(stack, supervisor, stop, show)


def _each_second(
    stack: Stack, supervisor: Supervisor, stop: threading.Event, show: Callable[[Sequence[Reading]], None]
) -> None:
    while not stop.is_set():
        supervisor.watch()
        show(stack.readings())
        stop.wait(_REFRESH_SECONDS)


def _overview(stack: Stack, supervisor: Supervisor, readings: Sequence[Reading], console: Console) -> Group:
    processes = Table("what", "address", "state", "pid", box=None)
    for child in supervisor.children:
        state = supervisor.state(child)
        pid = str(child.pid) if child.is_alive() else ""
        processes.add_row(child.name, Text(child.address), Text(state, style=_STYLES[state]), pid)
    return Group("", processes, "", _measured(stack, readings, console), "\nCtrl-C ends everything.")


def _measured(stack: Stack, readings: Sequence[Reading], console: Console) -> Table | Text:
    if not readings:
        return Text(f" nothing is measured now; {stack.prometheus_url}/targets says why", style="dim")
    most = min(_MOST_ROWS, max(4, console.height - _OTHER_LINES)) if console.is_terminal else _MOST_ROWS
    table = Table("measured now", "of", box=None)
    table.add_column("value", justify="right")
    table.add_column("")
    for reading in _in_order(readings)[:most]:
        table.add_row(reading.metric, Text(printable(reading.about)), f"{reading.value:,.1f}", Text(reading.unit))
    if len(readings) > most:
        table.add_row(f"and {len(readings) - most} more: {stack.prometheus_url}/graph", style="dim")
    return table


def _in_order(readings: Sequence[Reading]) -> list[Reading]:
    """Return the host's own metrics first, then those of components."""
    order = {name: i for i, name in enumerate(_FIRST)}
    return sorted(readings, key=lambda r: (order.get(r.metric, len(order)), r.metric, r.about))


def _patience(stack: Stack) -> str:
    """Say when values come: a scrape, then an evaluation, each at its own moment of the interval."""
    interval = stack.config.performance_collection.collection_interval
    within = _FIRST_SCRAPE_SECONDS + 2 * interval
    return f"first values within {within} s (scraped and recorded every {interval} s), rates one scrape later"
