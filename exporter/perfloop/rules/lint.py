"""What Prometheus' and Alertmanager's own tools say about compiled files."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from perfloop.rules.compile import ALERTMANAGER_FILE, ALERTS_FILE, PROMETHEUS_FILE, RECORDING_FILE
from perfloop.rules.soundness import parser_is_installed
from perfloop.rules.targets import Targets, Version
from perfloop.rules.write import write_all

_CHECKS = (
    ("promtool", "check", "rules", "--lint=all", "--lint-fatal", RECORDING_FILE, ALERTS_FILE),
    ("promtool", "check", "config", "--lint=none", PROMETHEUS_FILE),
    ("amtool", "check-config", ALERTMANAGER_FILE),
)


_DEFAULT_TARGETS = Targets()


class Lint(Struct, frozen=True, kw_only=True):
    """Which tools ran, which are not installed or too old to know the files, and what the others found."""

    ran: tuple[str, ...]
    missing: tuple[str, ...]
    too_old: tuple[str, ...] = ()
    findings: tuple[str, ...]


def lint(files: Mapping[str, str], *, targets: Targets = _DEFAULT_TARGETS) -> Lint:
    """Check compiled files in a temporary folder with the tools that are installed and as new as the targets."""
    tools = dict.fromkeys(check[0] for check in _CHECKS)
    installed = {tool: path for tool in tools if (path := shutil.which(tool))}
    too_old = tuple(tool for tool, path in installed.items() if _is_too_old(tool, path, targets))
    found = {tool: path for tool, path in installed.items() if tool not in too_old}
    with tempfile.TemporaryDirectory(prefix="perfloop-lint-") as folder:
        write_all(files, Path(folder))
        findings = [
            line
            for tool, *arguments in _CHECKS
            if tool in found
            for line in _findings([found[tool], *arguments], Path(folder))
        ]
    # What it would have said was said before compiling.
    parser = () if parser_is_installed() else ("promql-parser",)
    missing = (*(tool for tool in tools if tool not in installed), *parser)
    return Lint(ran=tuple(found), missing=missing, too_old=too_old, findings=tuple(findings))


def _is_too_old(tool: str, path: str, targets: Targets) -> bool:
    wanted = targets.prometheus if tool == "promtool" else targets.alertmanager
    usual = _DEFAULT_TARGETS.prometheus if tool == "promtool" else _DEFAULT_TARGETS.alertmanager
    return wanted > usual and _version(path) < wanted


def _version(path: str) -> Version:
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=60)
    found = re.search(r"version v?(\d+)\.(\d+)", done.stdout + done.stderr)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _findings(argv: list[str], folder: Path) -> list[str]:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode == 0:
        return []
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
    tool = Path(argv[0]).name
    return [f"{tool}: {line}" for line in lines if line and "SUCCESS" not in line and not line.startswith("Checking")]
