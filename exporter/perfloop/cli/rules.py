"""`perfloop rules`: what perfloop.yml compiles to, why, what it would have done, and whether it holds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from perfloop.app.older import older_rules
from perfloop.app.rule_tests import RuleTests
from perfloop.app.rules import (
    Explained,
    Read,
    all_entries,
    compiled_entries,
    explain,
    receivers,
    recorded_by,
    repeat_seconds,
    rule_groups,
)
from perfloop.app.simulate import Simulated, Simulation
from perfloop.cli import config_file
from perfloop.cli.moments import Moment, length, local
from perfloop.cli.printing import cells, console, output, show_json
from perfloop.config import load
from perfloop.errors import PerfloopError
from perfloop.prometheus.history import PrometheusHistory
from perfloop.rules.comparison import Compared, compare, plain
from perfloop.rules.entries import Entry, find
from perfloop.rules.promql import duration

_FINDINGS = 3
_QUERY_SECONDS = 60.0
_MOST_OF_A_NAME = 4


@click.group("rules", context_settings={"help_option_names": ["-h", "--help"]})
@config_file
@click.pass_context
def command(context: click.Context, config_file: Path) -> None:
    """See what perfloop.yml compiles to, try it on history, and test it."""
    context.obj = config_file


@command.command("list")
@output
@click.pass_obj
def list_(config_path: Path, output: str) -> None:
    """List all alerts and recorded series."""
    entries = compiled_entries(load(config_path), config_path=config_path)
    listed = [
        {
            "name": entry.name,
            "kind": "alert" if entry.is_alert else "recorded series",
            "severity": entry.severity,
            "group": entry.group,
            "for_seconds": entry.rule.for_seconds,
            "receivers": receivers(entry),
            "cooldown_seconds": entry.rule.notice.cooldown_seconds if entry.rule.notice.channels else 0,
            "source": entry.rule.source,
        }
        for entry in entries
    ]
    _print(listed, output, lambda: _list_table(entries))


@command.command("explain")
@click.argument("name", metavar="NAME")
@output
@click.pass_obj
def explain_(config_path: Path, name: str, output: str) -> None:
    """Say what a rule is, and why.

    Its PromQL, the reason for each guard, who is told, when again, and where it comes from. NAME is an alert, a
    recorded series, or the word that policies match (label `rule`).
    """
    config = load(config_path)
    entries = all_entries(config, config_path=config_path)
    explained = [explain(entry, entries, config, config_path=config_path) for entry in find(entries, name)]
    if output == "json":
        show_json(explained)
        return
    for i, each in enumerate(explained):
        if i:
            click.echo()
        console().print(_facts(each))


@command.command("simulate")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--from", "start", type=Moment(), default="1d", show_default=True, help="Begin then, or so long ago.")
@click.option("--to", "end", type=Moment(), default="now", show_default=True, help="End then, or so long ago.")
@click.option(
    "--step", "step_seconds", type=click.FloatRange(min=1), help="Seconds between evaluations; by default the rule's."
)
@output
@click.pass_obj
def simulate(
    config_path: Path, names: tuple[str, ...], start: float, end: float, step_seconds: float | None, output: str
) -> None:
    """Say what alerts would have done in the past.

    Asks the configured Prometheus for its history. By default all alerts that are compiled; with NAMEs also those
    that are switched off. `flapping` counts firings within the cooldown after the one before; `notifications` are
    those of channels, without what mutes them. What is not recorded yet is computed from raw series.
    """
    if start > end:
        raise click.UsageError("--from is after --to")
    config = load(config_path)
    entries = all_entries(config, config_path=config_path)
    chosen = [entry for name in names for entry in find(entries, name)] if names else list(entries)
    alerts = _alerts(chosen, off_too=bool(names))
    if not alerts:
        raise PerfloopError(f"{', '.join(names)} is recorded, and no alert; perfloop query shows its values")
    simulation = Simulation(
        PrometheusHistory(config.prometheus.url, timeout_seconds=_QUERY_SECONDS),
        recorded=recorded_by(entries),
        group_by=config.alerts.group_by,
        repeat_seconds=repeat_seconds(config),
        start=start,
        end=end,
    )
    simulation.check_retention(now=time.time())
    with _progress("evaluations") as said:
        simulated = list(simulation.run(alerts, step_seconds=step_seconds, said=said))
    _print(simulated, output, lambda: _simulated_table(simulated))


@command.command("test")
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path, dir_okay=False))
@output
@click.pass_obj
def test(config_path: Path, files: tuple[Path, ...], output: str) -> None:
    """Test the compiled rules with promtool.

    Tries each alert of yours that is beyond a value (it fires past it after its time, and not short of it), then the
    FILEs, by default all below rules/tests beside perfloop.yml. In these, rule files called perfloop-alerts.yml and
    perfloop-recording.yml are what perfloop.yml compiles to now.
    """
    tests = RuleTests(load(config_path), config_path=config_path)
    chosen = files or tests.files()
    found = []
    with _progress("files") as said:
        for tested in tests.run(chosen):
            found.append(tested)
            said(len(found), 1 + len(chosen))
    if output == "json":
        show_json(found)
    else:
        for tested in found:
            click.echo(f"{'ok' if tested.passed else 'FAILED'} {tested.file}")
            if tested.output:
                click.echo(tested.output, err=True)
    sys.exit(0 if all(tested.passed for tested in found) else _FINDINGS)


@command.command("diff")
@click.argument("old", type=click.Path(path_type=Path, exists=True))
@output
@click.pass_obj
def diff(config_path: Path, old: Path, output: str) -> None:
    """Say how the rules differ from older ones.

    OLD is a folder of an older compile, or an older perfloop.yml. Exit codes: 0 the same, 1 error, 3 different.
    """
    now = plain(rule_groups(load(config_path), config_path=config_path))
    compared = compare(older_rules(old), now)
    if output == "json":
        show_json(compared)
    else:
        for each in compared:
            click.echo(_difference(each))
        if not compared:
            click.echo(f"the same {len(now)} rules")
    sys.exit(_FINDINGS if compared else 0)


def _alerts(chosen: list[Entry], *, off_too: bool) -> list[Entry]:
    """Return the alerts among the entries, each once; those that are switched off only where they were named."""
    found: list[Entry] = []
    for entry in chosen:
        if entry.is_alert and (entry.enabled or off_too) and entry not in found:
            found.append(entry)
    return found


def _print(entries: object, output: str, table: Callable[[], Table]) -> None:
    if output == "json":
        show_json(entries)
    else:
        console().print(table())


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal's stderr until the block ends; yield what moves it."""
    terminal = Console(stderr=True)
    with Progress(console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _list_table(entries: tuple[Entry, ...]) -> Table:
    table = Table("name", "kind", "severity", "for", "who is told", "cooldown", "from", box=None)
    for entry in entries:
        rule = entry.rule
        cooldown = rule.notice.cooldown_seconds if rule.notice.channels else 0
        table.add_row(
            *cells(
                entry.name,
                "alert" if entry.is_alert else "recorded",
                entry.severity,
                duration(rule.for_seconds) if rule.for_seconds else "",
                ", ".join(receivers(entry)),
                duration(cooldown) if cooldown else "",
                rule.source or "shipped",
            )
        )
    return table


def _simulated_table(simulated: list[Simulated]) -> Table:
    first = simulated[0]
    title = f"{local(first.began_at)} to {local(first.ended_at)}"
    names = ("alert", "severity", "firings", "series", "total", "longest", "flapping", "notifications", "")
    table = Table(*names, box=None, title=title, title_justify="left")
    for each in simulated:
        found = each.outcome
        fired = (length(found.total_seconds), length(found.longest_seconds)) if found.firings else ("", "")
        still = "fires still" if found.firing_at_the_end else ""
        table.add_row(
            *cells(
                each.alert,
                each.severity,
                str(found.firings),
                str(found.series),
                *fired,
                str(found.flaps),
                str(found.notifications),
                "; ".join(part for part in (still, each.note) if part),
            )
        )
    return table


def _facts(each: Explained) -> Table:
    off = "" if each.enabled else " (switched off: not compiled)"
    severity = f", {each.severity}" if each.severity else ""
    facts = {
        each.kind: f"{each.name}{severity}{off}",
        "means": each.meaning,
        "PromQL": each.expr.strip(),
        "why": "\n".join((*each.guards, *each.timing)),
        "reads": _reads(each.reads),
        "threshold": each.threshold,
        "evaluated": f"every {duration(each.interval_seconds)}, in the group {each.group}",
        "told": ", ".join(each.receivers),
        "again": "\n".join(each.repeats),
        "what to do": "\n".join(f"{i}. {action}" for i, action in enumerate(each.actions, 1)),
        "from": each.source,
        "page": each.runbook_url,
    }
    table = Table.grid(padding=(0, 2))
    for name, text in facts.items():
        if text:
            table.add_row(*cells(name, text))
    return table


def _reads(reads: Sequence[Read]) -> str:
    """Return how each is made; of a name that many rules record, one for each metric, the first."""
    told: list[str] = []
    for name, same in groupby(reads, key=attrgetter("name")):
        made = ["\n".join((f"{name} = {read.expr.strip()}", *(f"  {why}" for why in read.guards))) for read in same]
        if len(made) > _MOST_OF_A_NAME:
            made = [f"{made[0]}\n  and {len(made) - 1} more rules that record {name}"]
        told += made
    return "\n\n".join(told)


def _difference(each: Compared) -> str:
    lines = [f"{each.change} {each.kind} {each.rule}"]
    for difference in each.differences:
        lines += [f"  {difference.what}:", f"    - {difference.old}", f"    + {difference.new}"]
    return "\n".join(lines)
