"""`perfloop compile`: perfloop.yml into Prometheus and Alertmanager configuration."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click
from msgspec import Struct

from perfloop import config
from perfloop.app.compile import Namespace, Targets, compile_all, compile_manifests, write_all
from perfloop.cli import config_file
from perfloop.cli.mistakes import Refused, as_json
from perfloop.cli.printing import output, show_json
from perfloop.errors import ConfigInvalid
from perfloop.rules.lint import Lint, lint
from perfloop.rules.operator import secrets
from perfloop.rules.targets import parse_targets
from perfloop.rules.write import Written

_LABEL = re.compile(r"[\w./-]+=[\w.-]*")


def _targets(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> Targets:
    del context, parameter
    try:
        return parse_targets(values)
    except ConfigInvalid as error:
        raise click.BadParameter(str(error)) from error


def _labels(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    del context, parameter
    for value in values:
        if not _LABEL.fullmatch(value):
            raise click.BadParameter(f"expected KEY=VALUE, got {value!r}")
    return {key: text for key, _, text in (value.partition("=") for value in values)}


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


class Compiled(Struct, frozen=True, kw_only=True):
    """What became of each file, and which Secrets the operator's objects ask for."""

    files: dict[str, Written]
    secrets: tuple[str, ...]
    unchecked: str
    ok: bool = True


@click.command("compile")
@config_file
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for the compiled files; made when it is missing.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["files", "prometheus-operator"]),
    default="files",
    show_default=True,
    help="Files for servers, or objects for the Prometheus Operator.",
)
@click.option("--namespace", default="monitoring", show_default=True, help="Where the operator's objects are made.")
@click.option(
    "--label",
    "labels",
    metavar="KEY=VALUE",
    multiple=True,
    callback=_labels,
    help="A label of the operator's objects, by which Prometheus selects them, as release=monitoring.",
)
@target
@output
def command(
    config_file: Path,
    out: Path,
    form: str,
    namespace: str,
    labels: dict[str, str],
    targets: Targets,
    output: str,
) -> None:
    """Compile perfloop.yml into Prometheus and Alertmanager configuration.

    Writes recording rules, alerting rules, alertmanager.yml, prometheus.yml and the flag of Prometheus' retention
    below --out. All or nothing: if anything is wrong, or promtool or amtool (where installed) find anything, nothing
    is written. Files that perfloop did not write are never touched.
    """
    with as_json(config_file, output):
        loaded = config.load(config_file)
        files = compile_all(loaded, config_path=config_file, out=out, targets=targets)
    found = lint(files, targets=targets)
    if found.findings:
        if output == "json":
            show_json(Refused(file=str(config_file), findings=found.findings))
        else:
            click.echo("\n".join([*found.findings, "nothing was written"]), err=True)
        sys.exit(3)
    if form == "prometheus-operator":
        where = Namespace(namespace=namespace, labels=labels)
        files = compile_manifests(loaded, config_path=config_file, namespace=where, targets=targets)
    written = {str(out / name): result for name, result in write_all(files, out).items()}
    asked = tuple(secrets(files)) if form == "prometheus-operator" else ()
    if output == "json":
        show_json(Compiled(files=written, secrets=asked, unchecked=unchecked(found)))
        return
    for path, result in written.items():
        click.echo(f"{result} {path}")
    if asked:
        click.echo(f"needs the Secrets {', '.join(asked)}", err=True)
    if found.too_old or "promql-parser" in found.missing:
        click.echo(unchecked(found), err=True)
