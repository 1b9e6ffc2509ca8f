"""`perfloop demo`: watch the loop close on real databases."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from perfloop.app.demo import Demo, Report
from perfloop.cli.up import Stop
from perfloop.errors import StackFailed
from perfloop.model import Effect, Execution
from perfloop.stack.scenarios import SCENARIOS, Scenario, remove

TIMEOUT_SECONDS = 360.0


@click.command("demo")
@click.option(
    "--scenario",
    "names",
    type=click.Choice(list(SCENARIOS)),
    multiple=True,
    help="Only this one; may be given several times. All of them by default.",
)
@click.option("--keep", is_flag=True, help="Keep the folder with data, logs and compiled configuration.")
def command(names: tuple[str, ...], keep: bool) -> None:
    """Find a real bottleneck, change one setting, prove that it helped; and undo the next change because it did not.

    Starts PostgreSQL, PgBouncer, Redis, Prometheus and Alertmanager of its own, on free ports of loopback, with data
    in a temporary folder. Each scenario ends within 6 minutes. Exit code 0 only if what it promises was seen in
    Prometheus and in the servers themselves.
    """
    console = Console(highlight=False, soft_wrap=True)
    stop = Stop()
    stop.listen()
    failed = []
    for name in names or SCENARIOS:
        if not _run(SCENARIOS[name], stop, console, keep=keep):
            failed.append(name)
        if stop.is_set():
            console.print("Interrupted; everything has ended.", style="bold red")
            sys.exit(1)
    if failed:
        console.print(f"Not as promised: {', '.join(failed)}", style="bold red")
        sys.exit(1)
    console.print("Everything went as promised.", style="bold green")


def _run(scenario: Scenario, stop: Stop, console: Console, *, keep: bool) -> bool:
    folder = Path(tempfile.mkdtemp(prefix=f"perfloop-demo-{scenario.name}-"))
    folder.chmod(0o755)
    began = time.monotonic()

    def say(who: str, what: str) -> None:
        console.print(Text(f"{time.monotonic() - began:6.1f} s  {who:<17} {what}"))

    console.print(Text(f"\nScenario {scenario.name}: {scenario.story}", style="bold"))
    console.print(Text(f"            data and logs in {folder}\n"))
    try:
        report = Demo(scenario, folder, say=say, stop=stop).run(timeout_seconds=TIMEOUT_SECONDS)
    except StackFailed as error:
        say("failed", str(error))
        return False
    finally:
        if not keep:
            remove(folder)
    _print_report(scenario, report, console)
    return not report.complaints


def _print_report(scenario: Scenario, report: Report, console: Console) -> None:
    execution, evaluation = report.execution, report.execution.evaluation
    console.print()
    if evaluation is not None and evaluation.effect is not None:
        console.print(_effect_table(evaluation.effect))
        console.print(
            Text(f"Verdict: {evaluation.verdict}, grade {evaluation.grade}. {evaluation.reason}", style="bold")
        )
    console.print(
        Text(f"The change was {_fate(execution)}; the server itself says {scenario.key} = {report.setting_now}.")
    )
    for complaint in report.complaints:
        console.print(Text(f"Not as promised: {complaint}", style="bold red"))


def _effect_table(effect: Effect) -> Table:
    confidence = f"{100 * (1 - 2 * effect.alpha):.0f} % interval"
    table = Table("metric", "before", "after", "effect", confidence, "samples", "effective", box=None)
    table.add_row(
        effect.metric,
        f"{effect.before_mean:.4g}",
        f"{effect.after_mean:.4g}",
        f"{100 * effect.ratio:+.0f} %",
        f"{100 * effect.lower:+.0f} .. {100 * effect.upper:+.0f} %",
        f"{effect.before_samples} / {effect.after_samples}",
        f"{effect.before_effective_samples:.0f} / {effect.after_effective_samples:.0f}",
    )
    return table


def _fate(execution: Execution) -> str:
    words = {"completed": "kept", "rolled_back": "rolled back"}
    return words.get(execution.state, str(execution.state))
