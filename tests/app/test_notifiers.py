"""GitHub channels as perfloop.yml says: each rule's own cooldown, the token from its file, no channel without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfloop import config
from perfloop.app.notifiers import build_notifiers, cooldowns_of
from perfloop.errors import ConfigInvalid

CONFIG = """\
web: {token: {env: TOKEN}}
channels:
  bugs: {github: {repository: acme/shop, token: {file: github}}}
  mail: {webhook: {url: "https://hooks.example/x"}}
alerts: {channels: [bugs], cooldown_minutes: 30}
performance_collection:
  alert_thresholds:
    cpu_usage: {warning_threshold: 80, cooldown_minutes: 5}
    memory_usage: {warning_threshold: 80}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "perfloop.yml"
    found.write_text(CONFIG, encoding="utf-8")
    return found


def test_each_rule_has_its_own_cooldown_wherever_the_optimizers_token_stands(file: Path) -> None:
    found = cooldowns_of(config.load(file), config_path=file)

    assert (found["cpu_usage"], found["memory_usage"], found["optimizer_down"]) == (300.0, 1800.0, 1800.0)


def test_only_github_channels_are_the_optimizers(file: Path) -> None:
    (file.parent / "github").write_text("ghp_x\n", encoding="utf-8")

    assert set(build_notifiers(config.load(file), config_path=file, environ={})) == {"bugs"}


def test_a_missing_token_is_said_with_its_file(file: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"github: No such file or directory; a secret was expected in this file"):
        build_notifiers(config.load(file), config_path=file, environ={})
