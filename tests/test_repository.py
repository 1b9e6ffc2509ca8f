"""The repository keeps its promises: one test command, one version of a library, nothing run that is not installed."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Brought by Debian's PostgreSQL beside initdb, or by every Debian.
BESIDE = {"postgres", "pg_isready", "psql", "setpriv"}


def test_ci_runs_the_test_command_and_nothing_else():
    lines = [line for line in _lines(".ci/run") if line[:1] not in {"#", ""}]

    assert lines == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "make test"]


def test_every_library_has_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = project["dependencies"] + [line for lines in project["optional-dependencies"].values() for line in lines]
    names = {_normal(re.split(r"[\[<>=]", line)[0]) for line in asked} - {"perfloop"}

    pinned = {_normal(line.partition("==")[0]) for line in _lines("constraints.txt") if re.fullmatch(r"\S+==\S+", line)}

    assert names <= pinned


def test_every_program_that_is_run_is_installed_by_make_install():
    listed = set(re.findall(r"([a-z-]+):[a-z-]+", (ROOT / "scripts" / "install").read_text(encoding="utf-8")))
    sources = [*(ROOT / "exporter").rglob("*.py"), ROOT / "tests" / "conftest.py"]

    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    run = set(re.findall(r'find_binary\("([a-z_-]+)"\)', text))

    assert run <= listed | BESIDE


def test_every_target_of_make_says_what_it_does():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [targets] = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)

    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert set(re.findall(r"^  make ([a-z-]+) +\S", told, re.MULTILINE)) == set(targets.split())


def _lines(name: str) -> list[str]:
    return (ROOT / name).read_text(encoding="utf-8").splitlines()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
