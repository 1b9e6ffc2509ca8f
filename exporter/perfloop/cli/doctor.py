"""`perfloop doctor`: whether Prometheus and Alertmanager run what was compiled."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from perfloop.app.compile import Targets
from perfloop.app.doctor import Doctor
from perfloop.cli import config_file
from perfloop.cli.compile import target
from perfloop.cli.printing import output, show_json
from perfloop.config import load
from perfloop.prometheus.status import AlertmanagerStatus, PrometheusStatus
from perfloop.wording import printable


@click.command("doctor")
@config_file
@target
@output
def command(config_file: Path, targets: Targets, output: str) -> None:
    """Ask Prometheus and Alertmanager whether they run what perfloop.yml compiles to.

    Compares rules, routes, receivers, scrapes and retention; looks at versions, clocks, targets, rules that fail and
    reloads that failed. Says of each finding what to do. Writes nothing. Exit codes: 0 all is well, 1 error,
    3 findings.
    """
    config = load(config_file)
    doctor = Doctor(
        config,
        config_path=config_file,
        targets=targets,
        prometheus=PrometheusStatus(config.prometheus.url),
        alertmanager=AlertmanagerStatus(config.prometheus.alertmanager_url),
        clock=time.time,
    )
    findings = list(doctor.findings())
    if output == "json":
        show_json(findings)
    else:
        for finding in findings:
            click.echo(printable(f"{finding.where}: {finding.what}"))
            click.echo(printable(f"  to do: {finding.remedy}"))
        if not findings:
            click.echo("Prometheus and Alertmanager run what perfloop.yml compiles to")
    sys.exit(3 if findings else 0)
