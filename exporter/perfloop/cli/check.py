"""`perfloop check`: every mistake in perfloop.yml, with its place."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from msgspec import Struct

from perfloop import config
from perfloop.app.compile import Targets, compile_all
from perfloop.cli.compile import target, unchecked
from perfloop.cli.mistakes import Refused, as_json
from perfloop.cli.printing import output, show_json
from perfloop.config import Config
from perfloop.rules.lint import Lint, lint


class Checked(Struct, frozen=True, kw_only=True):
    """What is said of a file without mistakes: how many of each thing it holds, and who has looked at it."""

    file: str
    counts: dict[str, int]
    checked_by: tuple[str, ...]
    unchecked: str
    ok: bool = True


@click.command("check")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default=Path("perfloop.yml"))
@target
@output
def command(file: Path, targets: Targets, output: str) -> None:
    """Check FILE (by default perfloop.yml); say every mistake with its place.

    What it compiles to is checked by promtool and amtool too, where they are installed. Exit codes: 0 ok, 1 mistakes
    in the file, 3 findings of the tools.
    """
    with as_json(file, output):
        loaded = config.load(file)
        files = compile_all(loaded, config_path=file, targets=targets)
    found = lint(files, targets=targets)
    if found.findings:
        if output == "json":
            show_json(Refused(file=str(file), findings=found.findings))
        else:
            click.echo("\n".join(f"{file}: {finding}" for finding in found.findings), err=True)
        sys.exit(3)
    counts = _counts(loaded, files)
    if output == "json":
        show_json(Checked(file=str(file), counts=counts, checked_by=found.ran, unchecked=unchecked(found)))
        return
    click.echo(f"{file}: ok")
    click.echo(f"  {', '.join(f'{count} {_plural(word, count)}' for word, count in counts.items())}")
    click.echo(f"  {_tools(found)}")


def _counts(loaded: Config, files: dict[str, str]) -> dict[str, int]:
    """Return how much the configuration holds and compiles to."""
    text = "\n".join(files.values())
    return {
        "component": len(loaded.components),
        "threshold": len(loaded.performance_collection.alert_thresholds),
        "aggregation rule": len(loaded.aggregation_rules),
        "policy": len(loaded.policies),
        "recording rule": text.count("- record: "),
        "alerting rule": text.count("- alert: "),
    }


def _plural(word: str, count: int) -> str:
    if count == 1:
        return word
    return f"{word.removesuffix('y')}ies" if word.endswith("y") else f"{word}s"


def _tools(found: Lint) -> str:
    ran = f"checked by {' and '.join(found.ran)}" if found.ran else ""
    return "; ".join(part for part in (ran, unchecked(found)) if part)
