"""promtool on compiled rules: the tests that perfloop makes of them, and the user's own."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from perfloop.app.compile import compile_all, write_all
from perfloop.app.rules import NEWEST, rule_groups
from perfloop.config import Config
from perfloop.config.rules import alert_rules, thresholds
from perfloop.errors import PerfloopError
from perfloop.rules.compile import ALERTS_FILE, RECORDING_FILE
from perfloop.rules.groups import render, to_yaml
from perfloop.rules.smoke import smoke_test
from perfloop.stack.process import find_binary

GENERATED = "generated"
FOLDER = Path("rules", "tests")
_TIMEOUT_SECONDS = 300
# Only these are tried by what perfloop makes: with all others each test would take long.
OWN_GROUPS = frozenset({"perfloop-thresholds", "perfloop-alert-rules"})


class Tested(Struct, frozen=True, kw_only=True):
    """What promtool said of one file; `output` is empty when all is well."""

    file: str
    passed: bool
    output: str


class RuleTests:
    """The tests of one configuration. What it compiles to now is tested, whatever lies in a folder."""

    def __init__(self, config: Config, *, config_path: Path) -> None:
        self._config, self._path = config, config_path

    def files(self) -> tuple[Path, ...]:
        """Return the user's own test files: all below rules/tests beside perfloop.yml."""
        return tuple(sorted((self._path.parent / FOLDER).rglob("*.yml")))

    def run(self, files: Sequence[Path]) -> Iterator[Tested]:
        """Test what perfloop makes of its own, then each file. Raises StackFailed if promtool is not installed.

        In a test file, a rule file called like one that is compiled means the one that is compiled now.
        """
        promtool = find_binary("promtool")
        with tempfile.TemporaryDirectory(prefix="perfloop-rules-") as folder:
            out = Path(folder)
            write_all(compile_all(self._config, config_path=self._path, targets=NEWEST), out)
            prepared = [(str(file), _prepared(file, out, f"own-{i}.test.yml")) for i, file in enumerate(files)]
            own = [group for group in rule_groups(self._config, config_path=self._path) if group.name in OWN_GROUPS]
            (out / "generated.rules.yml").write_text(render(own), encoding="utf-8")
            text, count = smoke_test(
                thresholds(self._config),
                alert_rules(self._config),
                rule_file="generated.rules.yml",
                interval_seconds=self._config.performance_collection.collection_interval,
            )
            (out / "generated.test.yml").write_text(text, encoding="utf-8")
            yield _test(promtool, out / "generated.test.yml", f"{GENERATED} ({count} alerts)")
            for name, copy in prepared:
                yield _test(promtool, copy, name)


def _prepared(file: Path, out: Path, name: str) -> Path:
    """Copy a test with its rule files' whole paths, and fresh ones for those that perfloop compiles."""
    try:
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise PerfloopError(f"{file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PerfloopError(f"{file}: is not YAML: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("rule_files"), list):
        raise PerfloopError(f"{file}: is not a test for promtool: expected rule_files and tests")
    fresh = {Path(name).name: str(out / name) for name in (RECORDING_FILE, ALERTS_FILE)}
    here = file.absolute().parent
    content["rule_files"] = [fresh.get(Path(str(name)).name, str(here / str(name))) for name in content["rule_files"]]
    copy = out / name
    copy.write_text(to_yaml(content), encoding="utf-8")
    return copy


def _test(promtool: str, file: Path, name: str) -> Tested:
    try:
        done = subprocess.run(
            [promtool, "test", "rules", file.name],
            cwd=file.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return Tested(file=name, passed=False, output=f"promtool took over {_TIMEOUT_SECONDS} s")
    lines = (line.rstrip() for line in (done.stdout + done.stderr).splitlines())
    said = "\n".join(line for line in lines if line and not line.startswith("Unit Testing:"))
    return Tested(file=name, passed=done.returncode == 0, output="" if done.returncode == 0 else said)
