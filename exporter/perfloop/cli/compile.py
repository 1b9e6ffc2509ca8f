"""`perfloop compile`: perfloop.yml into Prometheus and Alertmanager configuration."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from perfloop import config
from perfloop.app.compile import compile_all, write_all
from perfloop.cli import config_file
from perfloop.rules.lint import lint


@click.command("compile")
@config_file
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for the compiled files; made when it is missing.",
)
def command(config_file: Path, out: Path) -> None:
    """Compile perfloop.yml into Prometheus and Alertmanager configuration.

    Writes recording rules, alerting rules, alertmanager.yml, prometheus.yml and the flag of Prometheus' retention
    below --out. All or nothing: if anything is wrong, or promtool or amtool (where installed) find anything, nothing
    is written. Files that perfloop did not write are never touched.
    """
    files = compile_all(config.load(config_file), config_path=config_file, out=out)
    found = lint(files)
    if found.findings:
        click.echo("\n".join([*found.findings, "nothing was written"]), err=True)
        sys.exit(3)
    for name, result in write_all(files, out).items():
        click.echo(f"{result} {out / name}")
