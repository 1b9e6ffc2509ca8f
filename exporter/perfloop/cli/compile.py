"""`perfloop compile`: perfloop.yml into Prometheus and Alertmanager configuration."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from perfloop import config
from perfloop.app.compile import Targets, compile_all, write_all
from perfloop.cli import config_file
from perfloop.errors import ConfigInvalid
from perfloop.rules.lint import Lint, lint
from perfloop.rules.targets import parse_targets


def _targets(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> Targets:
    del context, parameter
    try:
        return parse_targets(values)
    except ConfigInvalid as error:
        raise click.BadParameter(str(error)) from error


target = click.option(
    "--target",
    "targets",
    metavar="PROGRAM=VERSION",
    multiple=True,
    callback=_targets,
    help="Compile for a newer Prometheus than 2.42 or a newer Alertmanager than 0.25, as prometheus=3.14.",
)


def unchecked(found: Lint) -> str:
    """Say in one line which tools did not check the files, and why; nothing if all did."""
    parts = (
        f"{' and '.join(found.missing)} not installed, not asked" if found.missing else "",
        f"{' and '.join(found.too_old)} older than the target, not asked" if found.too_old else "",
    )
    return "; ".join(part for part in parts if part)


@click.command("compile")
@config_file
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for the compiled files; made when it is missing.",
)
@target
def command(config_file: Path, out: Path, targets: Targets) -> None:
    """Compile perfloop.yml into Prometheus and Alertmanager configuration.

    Writes recording rules, alerting rules, alertmanager.yml, prometheus.yml and the flag of Prometheus' retention
    below --out. All or nothing: if anything is wrong, or promtool or amtool (where installed) find anything, nothing
    is written. Files that perfloop did not write are never touched.
    """
    files = compile_all(config.load(config_file), config_path=config_file, out=out, targets=targets)
    found = lint(files, targets=targets)
    if found.findings:
        click.echo("\n".join([*found.findings, "nothing was written"]), err=True)
        sys.exit(3)
    for name, result in write_all(files, out).items():
        click.echo(f"{result} {out / name}")
    if found.too_old:
        click.echo(unchecked(found), err=True)
