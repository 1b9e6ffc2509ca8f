"""The perfloop command. Exit codes: 0 ok, 1 error, 2 usage, 3 findings."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click

from perfloop import __version__
from perfloop.errors import ConfigInvalid, PerfloopError

# Imported when they are called, so that the exporter stays light.
COMMANDS = {
    "exporter": ("perfloop.cli.exporter", "Measure this host and its targets; serve /metrics."),
    "optimizer": ("perfloop.cli.optimizer", "Receive alerts, decide, act, verify, keep or undo."),
    "compile": ("perfloop.cli.compile", "Compile perfloop.yml into Prometheus and Alertmanager configuration."),
    "check": ("perfloop.cli.check", "Check perfloop.yml; say every mistake with its place."),
    "rules": ("perfloop.cli.rules", "See what the rules are, try them on history, test them."),
    "doctor": ("perfloop.cli.doctor", "Ask whether Prometheus and Alertmanager run what was compiled."),
    "query": ("perfloop.cli.query", "Show what was recorded, newest first."),
    "actions": ("perfloop.cli.actions", "See and steer what the optimizer does."),
    "alerts": ("perfloop.cli.alerts", "See what fires, acknowledge it, try whether channels work."),
    "up": ("perfloop.cli.up", "Start the whole stack on this machine and watch it."),
    "demo": ("perfloop.cli.demo", "Watch the loop close on real databases."),
}

config_file = click.option(
    "--config.file",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("perfloop.yml"),
    show_default=True,
    help="Configuration file.",
)

log_level = click.option(
    "--log.level",
    "log_level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="Log from this level on, on stderr.",
)

log_format = click.option(
    "--log.format",
    "log_format",
    type=click.Choice(["logfmt", "json"]),
    default="logfmt",
    show_default=True,
    help="How log lines are written.",
)


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command and return its `command`."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="perfloop")
def group() -> None:
    """Act on performance alerts, prove through Prometheus that it helped, undo what did not.

    Exit codes: 0 ok, 1 error, 2 usage, 3 findings.
    """


def main() -> None:
    """Run the command line; known errors become one clear message each and exit code 1."""
    try:
        group(auto_envvar_prefix="PERFLOOP")
    except ConfigInvalid as error:
        click.echo("\n".join(error.problems), err=True)
        sys.exit(1)
    except PerfloopError as error:
        click.echo(f"perfloop: {error}", err=True)
        sys.exit(1)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("perfloop"):
            raise
        click.echo(f"perfloop: the library {error.name} is missing; type: pip install 'perfloop[all]'", err=True)
        sys.exit(1)
