"""`perfloop exporter`: measure this host and its targets; serve /metrics."""

from __future__ import annotations

from pathlib import Path

import click

from perfloop.app.options import COMPATIBLE, ExporterOptions
from perfloop.cli import config_file, log_format, log_level
from perfloop.model import Paths

_FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)


@click.command("exporter")
@config_file
@click.option(
    "--web.listen-address",
    "addresses",
    metavar="HOST:PORT",
    multiple=True,
    help="Instead of web.exporter_address; :PORT is every address. May stand there more than once.",
)
@click.option("--web.systemd-socket", "systemd_socket", is_flag=True, help="Serve on the sockets that systemd opened.")
@click.option(
    "--web.config.file",
    "web_config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TLS, users and headers, in the form of the Prometheus exporters.",
)
@click.option(
    "--web.telemetry-path", "telemetry_path", default="/metrics", show_default=True, help="Where the page is."
)
@click.option("--path.procfs", "procfs", type=_FOLDER, default="/proc", show_default=True, help="The host's /proc.")
@click.option("--path.sysfs", "sysfs", type=_FOLDER, default="/sys", show_default=True, help="The host's /sys.")
@click.option("--path.rootfs", "rootfs", type=_FOLDER, default="/", show_default=True, help="The host's /.")
@click.option(
    "--compat",
    metavar="NAME,…",
    default="",
    callback=lambda _, __, value: _names(value),
    help=f"Show the names of these exporters too: {', '.join(COMPATIBLE)}.",
)
@log_level
@log_format
@click.pass_context
def command(
    context: click.Context,
    config_file: Path,
    addresses: tuple[str, ...],
    systemd_socket: bool,
    web_config: Path | None,
    telemetry_path: str,
    procfs: Path,
    sysfs: Path,
    rootfs: Path,
    compat: frozenset[str],
    log_level: str,
    log_format: str,
) -> None:
    """Measure this host and the configured targets at each scrape of /metrics; nothing runs in between.

    Without a perfloop.yml in the current folder it measures the host. SIGHUP and POST /-/reload read the configuration
    again; a broken file leaves the running one in force.
    """
    from perfloop.app.serve import Command, become

    if not telemetry_path.startswith("/"):
        raise click.BadParameter("expected a path that begins with /", param_hint="--web.telemetry-path")
    options = ExporterOptions(
        addresses=addresses,
        systemd_socket=systemd_socket,
        web_config=web_config,
        telemetry_path=telemetry_path,
        paths=Paths(procfs=procfs, sysfs=sysfs, rootfs=rootfs),
        compat=compat,
        may_be_missing=context.get_parameter_source("config_file") is click.core.ParameterSource.DEFAULT,
    )
    become(Command(config_file=config_file, options=options, log_level=log_level, log_format=log_format))


def _names(text: str) -> frozenset[str]:
    names = frozenset(filter(None, text.split(",")))
    if unknown := sorted(names - {*COMPATIBLE}):
        raise click.BadParameter(f"there is no {', '.join(unknown)}; expected some of {', '.join(COMPATIBLE)}")
    return names
