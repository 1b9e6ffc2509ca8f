"""`perfloop alerts`: see what fires, acknowledge it, and try whether a channel works, over Alertmanager's API."""

from __future__ import annotations

import getpass
import re
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from perfloop.app.alerts import ChannelTest, Delivery, ListedAlert, listed, matchers_for, selected, silences_of
from perfloop.cli import config_file
from perfloop.cli.printing import console, output, show_json
from perfloop.config import Config, load
from perfloop.prometheus.alertmanager import AlertmanagerClient, KnownAlert
from perfloop.rules.promql import seconds_of
from perfloop.wording import printable

_SHORTEST_SECONDS = 60
_LONGEST_SECONDS = 90 * 86400
_ABOUT = ("component", "instance", "mountpoint", "device")
_MOST_NAMED = 10


def _seconds(context: click.Context, parameter: click.Parameter, value: str) -> int:
    """Return the seconds of 30m, 2h, 1d12h."""
    try:
        seconds = int(seconds_of(value))
    except ValueError:
        seconds = 0
    if not _SHORTEST_SECONDS <= seconds <= _LONGEST_SECONDS:
        expected = f"expected a duration from 1m to 90d, like 30m, 2h or 1d12h, got {value!r}"
        raise click.BadParameter(expected, ctx=context, param=parameter)
    return seconds


def _labels(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    """Return labels and values of `label=value`."""
    found = [re.fullmatch(r"([a-zA-Z_]\w*)=([^~].*)", value) for value in values]
    for value, label in zip(values, found, strict=True):
        if label is None:
            raise click.BadParameter(f"expected label=value, got {value!r}", ctx=context, param=parameter)
    return {label[1]: label[2] for label in found if label is not None}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "perfloop"


def _client(config: Config) -> AlertmanagerClient:
    return AlertmanagerClient(config.prometheus.alertmanager_url)


@click.group("alerts", context_settings={"help_option_names": ["-h", "--help"]})
@config_file
@click.pass_context
def command(context: click.Context, config_file: Path) -> None:
    """See what fires, acknowledge it, and try whether channels work."""
    context.obj = config_file


@command.command("list")
@output
@click.pass_obj
def list_(config_path: Path, output: str) -> None:
    """List the alerts that fire, acknowledged or not, the worst first."""
    found = listed(_client(load(config_path)))
    if output == "json":
        show_json(found)
    else:
        console().print(_table(found))


@command.command("ack")
@click.argument("name")
@click.option(
    "--match",
    "more",
    callback=_labels,
    multiple=True,
    metavar="LABEL=VALUE",
    help="Only with this label, too. Repeatable.",
)
@click.option(
    "--for", "seconds", callback=_seconds, default="2h", show_default=True, metavar="DURATION", help="How long."
)
@click.option("--comment", required=True, help="Why; others read it in Alertmanager.")
@click.option("--by", "who", default=_user, show_default="you", help="Who is on it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output
@click.pass_obj
def ack(
    config_path: Path,
    name: str,
    more: dict[str, str],
    seconds: int,
    comment: str,
    who: str,
    yes: bool,
    output: str,
) -> None:
    """Acknowledge an alert: nobody is told of it for a while.

    NAME is the alert's name or that of its rule. It becomes a silence of Alertmanager: alerts of this name that begin
    meanwhile are muted, too, and the optimizer is not told either.
    """
    config = load(config_path)
    client = _client(config)
    firing = client.alerts()
    matchers = matchers_for(name, more, firing=firing, config=config, config_path=config_path)
    muted = selected(matchers, firing)
    now = time.time()
    words = ", ".join(str(matcher) for matcher in matchers)
    if not yes:
        click.echo(f"Until {_time(now + seconds)} nobody is told of {printable(words)}: {_named(muted)}.", err=True)
        click.confirm("Go on?", abort=True, err=True)
    found = client.silence(matchers, starts_at=now, ends_at=now + seconds, created_by=who, comment=comment)
    if output == "json":
        answer = {"id": found, "until": now + seconds, "matchers": [str(m) for m in matchers], "alerts": len(muted)}
        show_json(answer)
    else:
        click.echo(f"{found}: {printable(words)} until {_time(now + seconds)}")


@command.command("unack")
@click.argument("word", metavar="ID|NAME")
@output
@click.pass_obj
def unack(config_path: Path, word: str, output: str) -> None:
    """Tell people again of what was acknowledged.

    By the silence's id or the beginning of it, or by the name of the alert or rule: then all of its silences end.
    """
    client = _client(load(config_path))
    found = silences_of(word, client.silences())
    for silence in found:
        client.expire(silence.id)
    if output == "json":
        show_json([silence.id for silence in found])
        return
    for silence in found:
        words = ", ".join(str(matcher) for matcher in silence.matchers)
        click.echo(printable(f"{silence.id}: {words} is told again (was muted by {silence.created_by})"))


@command.command("send-test")
@click.argument("channel")
@click.option("--wait", "wait_seconds", type=click.IntRange(1, 600), default=30, show_default=True, help="Seconds.")
@output
@click.pass_obj
def send_test(config_path: Path, channel: str, wait_seconds: int, output: str) -> None:
    """Send a test alert; say whether the channel was told.

    It goes through Alertmanager to CHANNEL and to nobody else, and is ended at once, so that the channel is told of its
    end, too. Exit codes: 0 delivered, 1 not.
    """
    config = load(config_path)
    client = _client(config)
    test = ChannelTest(client, config, channel)
    test.check_route()
    columns = (TextColumn("waiting for Alertmanager's counters"), BarColumn(), TimeElapsedColumn())
    terminal = Console(stderr=True)
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
        task = progress.add_task("wait", total=wait_seconds)
        found = test.run(wait_seconds=wait_seconds, tick=lambda passed: progress.update(task, completed=passed))
    if output == "json":
        show_json(found)
    else:
        click.echo(f"Alertmanager at {client.url} took the test alert")
        click.echo(_verdict(found, test.integration), err=not found.delivered)
    if not found.delivered:
        sys.exit(1)


def _verdict(found: Delivery, integration: str) -> str:
    to = f"{found.channel} ({integration})"
    if found.delivered:
        tried = f", at the {found.attempts}. attempt" if found.refused else ""
        return f"delivered to {to} after {found.seconds:.1f} s{tried}"
    if found.given_up:
        return f"not delivered to {to}: Alertmanager gave up after {found.refused} attempts; its log says why"
    if found.refused:
        failed = f"not delivered to {to} in {found.seconds:.1f} s: {found.refused} attempts failed"
        return f"{failed}; Alertmanager's log says why"
    return f"no attempt to deliver to {to} in {found.seconds:.1f} s; is it muted, or does it hang?"


def _table(alerts: list[ListedAlert]) -> Table:
    table = Table("alert", "severity", "about", "since", "state", "summary", box=None)
    for each in alerts:
        about = next((each.labels[name] for name in _ABOUT if each.labels.get(name)), "")
        cells = (each.alert, each.severity, about, _time(each.since.timestamp()), _state(each))
        table.add_row(*(Text(printable(cell)) for cell in (*cells, each.annotations.get("summary", ""))))
    return table


def _state(alert: ListedAlert) -> str:
    acks = (f"{ack.id[:8]} by {ack.by} until {_time(ack.until.timestamp())}: {ack.comment}" for ack in alert.acks)
    return "; ".join([alert.state, *acks]) if alert.acks else alert.state


def _named(alerts: list[KnownAlert]) -> str:
    if not alerts:
        return "none fires now"
    about = [next((a.labels[name] for name in _ABOUT if a.labels.get(name)), "no component") for a in alerts]
    more = f" and {len(alerts) - _MOST_NAMED} more" if len(alerts) > _MOST_NAMED else ""
    return printable(f"{len(alerts)} now ({', '.join(sorted(about)[:_MOST_NAMED])}{more})")


def _time(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
