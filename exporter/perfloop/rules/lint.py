"""What Prometheus' and Alertmanager's own tools say about compiled files."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from perfloop.rules.compile import ALERTMANAGER_FILE, ALERTS_FILE, PROMETHEUS_FILE, RECORDING_FILE
from perfloop.rules.write import write_all

_CHECKS = (
    ("promtool", "check", "rules", "--lint=all", "--lint-fatal", RECORDING_FILE, ALERTS_FILE),
    ("promtool", "check", "config", "--lint=none", PROMETHEUS_FILE),
    ("amtool", "check-config", ALERTMANAGER_FILE),
)


class Lint(Struct, frozen=True, kw_only=True):
    """Which tools ran, which are not installed, and what they found."""

    ran: tuple[str, ...]
    missing: tuple[str, ...]
    findings: tuple[str, ...]


def lint(files: Mapping[str, str]) -> Lint:
    """Check compiled files in a temporary folder with the tools that are installed."""
    tools = dict.fromkeys(check[0] for check in _CHECKS)
    found = {tool: path for tool in tools if (path := shutil.which(tool))}
    with tempfile.TemporaryDirectory(prefix="perfloop-lint-") as folder:
        write_all(files, Path(folder))
        findings = [
            line
            for tool, *arguments in _CHECKS
            if tool in found
            for line in _findings([found[tool], *arguments], Path(folder))
        ]
    return Lint(ran=tuple(found), missing=tuple(tool for tool in tools if tool not in found), findings=tuple(findings))


def _findings(argv: list[str], folder: Path) -> list[str]:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode == 0:
        return []
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
    tool = Path(argv[0]).name
    return [f"{tool}: {line}" for line in lines if line and "SUCCESS" not in line and not line.startswith("Checking")]
