"""Compiling for newer servers: only what is of use differs, and unknown targets are refused."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from perfloop import config
from perfloop.app.compile import compile_all
from perfloop.errors import ConfigInvalid
from perfloop.rules.targets import Targets, parse_targets
from tests.support import perfloop

CONFIG = """\
alerts: {channels: [mail, hook]}
channels:
  mail:
    email: {recipients: [ops@example.org], sender: perfloop@example.org, smarthost: "mail.example.org:587"}
  hook:
    webhook:
      url: https://example.org/hook
"""
HEADERS = "      headers: {X-Team: ops}\n"
FILE = Path("/etc/perfloop/perfloop.yml")


@cache
def compiled(text: str, *targets: str) -> dict[str, Any]:
    files = compile_all(config.parse(text), config_path=FILE, targets=parse_targets(targets))
    return {name: yaml.safe_load(content) for name, content in files.items()}


def receiver(files: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in files["alertmanager.yml"]["receivers"] if each["name"] == name)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param((), Targets(), id="none"),
        pytest.param(("prometheus=3.14",), Targets(prometheus=(3, 14)), id="one"),
        pytest.param(
            ("prometheus=2.53.1,alertmanager=v0.34",),
            Targets(prometheus=(2, 53), alertmanager=(0, 34)),
            id="two in one",
        ),
        pytest.param(("alertmanager=0.28", "alertmanager=0.34"), Targets(alertmanager=(0, 34)), id="the last counts"),
    ],
)
def test_targets_are_read(texts: tuple[str, ...], expected: Targets) -> None:
    assert parse_targets(texts) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("grafana=12.0", "expected prometheus=VERSION or alertmanager=VERSION, got 'grafana=12.0'"),
        pytest.param("3.14", "expected prometheus=VERSION or alertmanager=VERSION, got '3.14'"),
        pytest.param("", "expected prometheus=VERSION or alertmanager=VERSION, got ''"),
        pytest.param("prometheus=", "expected a version of prometheus such as 2.42, got ''"),
        pytest.param("alertmanager=latest", "expected a version of alertmanager such as 0.25, got 'latest'"),
        pytest.param("prometheus=2.41", "prometheus 2.41 is too old: expected 2.42 or newer"),
        pytest.param("prometheus=4.0", "prometheus 4.0 is not known: expected a version below 4.0"),
        pytest.param("alertmanager=1.0", "alertmanager 1.0 is not known: expected a version below 1.0"),
    ],
    ids=lambda value: value if "=" in value else None,
)
def test_unknown_targets_are_refused(text: str, expected: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        parse_targets([text])

    assert str(caught.value) == expected


def test_prometheus_before_3_11_is_given_the_retention_by_its_flag() -> None:
    files = compiled(CONFIG, "prometheus=3.10")

    assert "storage" not in files["prometheus.yml"]
    assert files["prometheus.flags"] == "--storage.tsdb.retention.time=15d"


def test_prometheus_from_3_11_on_reads_the_retention_and_there_is_no_flag() -> None:
    files = compiled(CONFIG, "prometheus=3.11")

    assert files["prometheus.yml"]["storage"] == {"tsdb": {"retention": {"time": "15d"}}}
    assert "prometheus.flags" not in files


def test_a_newer_alertmanager_bounds_webhooks_and_threads_mails() -> None:
    old, new = (
        receiver(compiled(CONFIG, version), "hook+mail") for version in ("prometheus=3.10", "alertmanager=0.34")
    )

    (old_hook,), (new_hook,) = old["webhook_configs"], new["webhook_configs"]
    (old_mail,), (new_mail,) = old["email_configs"], new["email_configs"]
    assert new_hook == old_hook | {"timeout": "10s"}
    assert new_mail == old_mail | {"threading": {"enabled": True, "thread_by_date": "none"}}


def test_headers_are_written_for_alertmanager_0_28() -> None:
    (hook,) = receiver(compiled(CONFIG + HEADERS, "alertmanager=0.28"), "hook+mail")["webhook_configs"]

    assert hook["http_config"] == {"http_headers": {"X-Team": {"values": ["ops"]}}}


def test_headers_are_refused_with_their_place_where_alertmanager_cannot_send_them(tmp_path: Path) -> None:
    file = tmp_path / "perfloop.yml"
    file.write_text(CONFIG + HEADERS, encoding="utf-8")

    with pytest.raises(ConfigInvalid) as caught:
        compile_all(config.load(file), config_path=file)

    assert str(caught.value) == (
        f"{file}:8: channels.hook.webhook.headers: Alertmanager 0.25 cannot send headers; leave them out,"
        " or compile with --target alertmanager=0.28 if yours is as new"
    )


def test_the_command_takes_targets_and_says_which_tools_are_too_old_to_be_asked(tmp_path: Path) -> None:
    file = tmp_path / "perfloop.yml"
    file.write_text(CONFIG + HEADERS, encoding="utf-8")
    asked = ("--target", "alertmanager=0.34", "--target", "prometheus=3.14")

    done = perfloop("compile", "--config.file", str(file), "--out", str(tmp_path / "out"), *asked)
    checked = perfloop("check", str(file), *asked)
    refused = perfloop("compile", "--config.file", str(file), "--out", str(tmp_path / "out"), "--target", "loki=3")

    assert (done.returncode, done.stderr.strip()) == (0, "promtool and amtool older than the target, not asked")
    assert not (tmp_path / "out" / "prometheus.flags").exists()
    assert (checked.returncode, checked.stdout.splitlines()[-1].strip()) == (0, done.stderr.strip())
    assert refused.returncode == 2
    assert "expected prometheus=VERSION or alertmanager=VERSION, got 'loki=3'" in refused.stderr
