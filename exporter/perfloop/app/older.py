"""Rules of an older compile: a folder of compiled files, a rule file, or an older perfloop.yml."""

from __future__ import annotations

from pathlib import Path

import yaml

from perfloop.app.rules import rule_groups
from perfloop.config import load
from perfloop.errors import PerfloopError
from perfloop.rules.comparison import Plain, plain, rules_of_file


def older_rules(path: Path) -> tuple[Plain, ...]:
    """Return the rules that stand there. Raises PerfloopError if there are none, ConfigInvalid for a broken file."""
    if path.is_dir():
        files = sorted((path / "rules").glob("*.yml")) or sorted(path.glob("*.yml"))
        found = tuple(rule for file in files for rule in _rules(file))
        if not found:
            raise PerfloopError(f"{path} holds no compiled rules; expected a folder that perfloop compile wrote")
        return found
    if path.exists() and _is_rule_file(path):
        return _rules(path)
    return plain(rule_groups(load(path), config_path=path))


def _rules(file: Path) -> tuple[Plain, ...]:
    try:
        return rules_of_file(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (ValueError, yaml.YAMLError) as error:
        raise PerfloopError(f"{file} is not a rule file of Prometheus") from error


def _is_rule_file(path: Path) -> bool:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return False
    return isinstance(content, dict) and "groups" in content
