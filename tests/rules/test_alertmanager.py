"""A real Alertmanager with the compiled configuration: who is sent what, with which token, and what is muted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import amlint.cli
import pytest
import requests

from perfloop import config
from perfloop.app.compile import compile_all, write_all
from perfloop.stack import servers
from perfloop.stack.process import free_port
from tests.sinks import HttpSink, SmtpSink, serving
from tests.support import eventually

OPTIMIZER = "/api/v1/alerts"
CONFIG = """\
performance_collection:
  collection_interval: 1
  alert_thresholds:
    disk_usage: {{warning_threshold: 80, channels: [mail, chat, hook, bugs]}}
    cpu_usage: {{warning_threshold: 70, critical_threshold: 85}}
    queue_length: {{warning_threshold: 10, critical_threshold: 20}}
metrics:
  queue_length: {{expr: "sum by (lane) (jobs)", unit: jobs, direction: lower}}
alerts: {{override: {{ExporterDown: {{channels: [chat]}}}}}}
channels:
  mail:
    email:
      recipients: [ops@example.org, Night <night@example.org>]
      sender: perfloop@example.org
      smarthost: "{smtp}"
      user: perfloop
      password_file: secrets/mail
      require_tls: false
  chat: {{slack: {{webhook_url_file: secrets/chat, channel: "#ops"}}}}
  hook: {{webhook: {{url: "{http}/hook", token_file: secrets/hook}}}}
  bugs: {{github: {{repository: shop/web, token: {{file: secrets/bugs}}}}}}
web: {{optimizer_address: "{optimizer}", token: {{file: secrets/token}}}}
"""


class Ground:
    """An Alertmanager, and everybody that it can tell."""

    def __init__(self, http: HttpSink, smtp: SmtpSink, url: str) -> None:
        self.http, self.smtp, self._url = http, smtp, f"{url}/api/v2/alerts"

    def raise_alerts(self, *alerts: dict[str, str]) -> None:
        body = [{"labels": labels, "annotations": ANNOTATIONS} for labels in alerts]
        requests.post(self._url, json=body, timeout=5).raise_for_status()

    def muted(self, *alerts: dict[str, str]) -> list[bool]:
        """Say of each alert whether another one mutes it."""
        found = {
            frozenset(each["labels"].items()): each["status"] for each in requests.get(self._url, timeout=5).json()
        }
        return [bool(found[frozenset(labels.items())]["inhibitedBy"]) for labels in alerts]


ANNOTATIONS = {"description": "disk_usage is 91 percent.", "runbook_url": "https://example.org/DiskUsageHigh.md"}


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("alertmanager")
    http, smtp = HttpSink(), SmtpSink()
    (folder / "secrets").mkdir()
    for name in ("token", "mail", "hook", "bugs"):
        (folder / "secrets" / name).write_text(f"s3cret-{name}", encoding="utf-8")
    (folder / "secrets" / "chat").write_text(f"{http.url}/chat", encoding="utf-8")
    file, out = folder / "perfloop.yml", folder / "compiled"
    optimizer = f"127.0.0.1:{http.server_port}"
    file.write_text(CONFIG.format(smtp=smtp.address, http=http.url, optimizer=optimizer), encoding="utf-8")
    write_all(compile_all(config.load(file), config_path=file, out=out), out)
    child = servers.alertmanager(folder, config=out / "alertmanager.yml", port=free_port())
    with serving(http), serving(smtp):
        child.start()
        try:
            child.wait_ready()
            yield Ground(http, smtp, child.address)
        finally:
            child.stop()


def alert(name: str, rule: str, severity: str, **labels: str) -> dict[str, str]:
    return {"alertname": name, "rule": rule, "severity": severity, **labels}


def labels_sent(posts: list[Any]) -> set[tuple[str, str]]:
    sent = (found["labels"] for post in posts for found in post.body["alerts"])
    return {(labels.get("component", ""), labels["severity"]) for labels in sent}


def test_an_alert_reaches_the_optimizer_with_the_token_and_its_warning_is_muted(ground: Ground) -> None:
    ground.raise_alerts(
        alert("PoolWaitHigh", "pool_wait", "critical", component="orders-pool"),
        alert("PoolWaitHigh", "pool_wait", "warning", component="orders-pool"),
        alert("PoolWaitHigh", "pool_wait", "warning", component="other-pool"),
    )

    def posts() -> list[Any]:
        return [post for post in ground.http.to(OPTIMIZER) if post.body["groupLabels"]["alertname"] == "PoolWaitHigh"]

    eventually(lambda: len(posts()) >= 2, what="a notification for each component")

    assert labels_sent(posts()) == {("orders-pool", "critical"), ("other-pool", "warning")}
    assert {post.authorization for post in posts()} == {"Bearer s3cret-token"}
    assert all(post.body["version"] == "4" and post.body["truncatedAlerts"] == 0 for post in posts())


def test_one_alert_reaches_people_on_every_channel_and_the_optimizer_twice(ground: Ground) -> None:
    ground.raise_alerts(alert("DiskUsageHigh", "disk_usage", "warning", instance="h:1", mountpoint="/"))

    bugs = eventually(lambda: ground.http.to(f"{OPTIMIZER}/github/bugs"), what="GitHub, by the optimizer")[0]
    hook = eventually(lambda: ground.http.to("/hook"), what="the webhook")[0]
    chat = eventually(lambda: ground.http.to("/chat"), what="Slack")[0]
    recipients, mail = eventually(lambda: ground.smtp.mails, what="the mail")[0]
    eventually(lambda: any(post.body["commonLabels"].get("rule") == "disk_usage" for post in ground.http.to(OPTIMIZER)))

    assert bugs.authorization == "Bearer s3cret-token"
    assert bugs.body["groupLabels"] == {"rule": "disk_usage", "instance": "h:1"}
    assert hook.authorization == "Bearer s3cret-hook"
    assert hook.body["groupLabels"] == {"alertname": "DiskUsageHigh", "severity": "warning"}
    assert chat.body["channel"] == "#ops"
    assert chat.body["attachments"][0]["text"].strip() == (
        "disk_usage is 91 percent. <https://example.org/DiskUsageHigh.md|what to do>"
    )
    assert recipients == ["ops@example.org", "night@example.org"]
    assert "disk_usage is 91 percent." in mail
    assert ground.smtp.logins == ["perfloop\0s3cret-mail"]


def test_a_dead_exporter_mutes_the_alerts_on_what_it_measured_and_nothing_else(ground: Ground) -> None:
    cause = alert("ExporterDownInhibitor", "exporter_down_inhibitor", "none", instance="dead", job="perfloop")
    kept = alert("ExporterDown", "exporter_down", "critical", instance="back", job="perfloop")
    muted = [
        alert("CpuUsageHigh", "cpu_usage", "critical", instance="dead", job="perfloop"),
        alert("PoolWaitHigh", "pool_wait", "warning", instance="dead", job="perfloop", component="pool"),
    ]
    heard = [
        cause,
        alert("ExporterDown", "exporter_down", "critical", instance="dead", job="perfloop"),
        alert("Watchdog", "watchdog", "none"),
        alert("Watchdog", "watchdog", "none", instance="dead", job="perfloop"),
        alert("OptimizerDown", "optimizer_down", "critical", instance="dead", job="perfloop-optimizer"),
        alert("RuleEvaluationFailures", "rule_evaluation_failures", "warning"),
        alert("CpuUsageHigh", "cpu_usage", "critical", instance="back", job="perfloop"),
        {"alertname": "SomebodyElses", "severity": "critical", "instance": "dead", "job": "perfloop"},
    ]

    ground.raise_alerts(cause, kept, *muted, *heard)

    eventually(lambda: all(ground.muted(*muted)), what="the alerts of the dead host to be muted")
    assert ground.muted(*heard) == [False] * len(heard)


def test_critical_mutes_warning_of_the_same_thing_only(ground: Ground) -> None:
    critical = [
        alert("CpuUsageHigh", "cpu_usage", "critical", instance="a", job="perfloop"),
        alert("ErrorRateHigh", "error_rate", "critical", component="shop", route="/buy"),
        alert("QueueLengthHigh", "queue_length", "critical", lane="fast"),
        alert("Nameless", "nameless", "critical"),
    ]
    muted = [{**labels, "severity": "warning"} for labels in critical]
    heard = [
        alert("CpuUsageHigh", "cpu_usage", "warning", instance="b", job="perfloop"),
        alert("MemoryUsageHigh", "memory_usage", "warning", instance="a", job="perfloop"),
        alert("ErrorRateHigh", "error_rate", "warning", component="shop", route="/look"),
        alert("QueueLengthHigh", "queue_length", "warning", lane="slow"),
        alert("Nameless", "nameless", "warning", component="but-this-one-has"),
        {**critical[0], "severity": "info"},
    ]

    ground.raise_alerts(*critical, *muted, *heard)

    eventually(lambda: all(ground.muted(*muted)), what="the warnings to be muted")
    assert ground.muted(*heard) == [False] * len(heard)
    assert ground.muted(*critical) == [False] * len(critical)


def test_amlint_has_no_errors_and_no_warnings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "alertmanager.yml"
    for text in ("{}", CONFIG.format(smtp="127.0.0.1:25", http="http://127.0.0.1:1", optimizer="127.0.0.1:2")):
        files = compile_all(config.parse(text), config_path=tmp_path / "perfloop.yml")
        file.write_text(files["alertmanager.yml"], encoding="utf-8")

        code = amlint.cli.main(["check", str(file)])

        assert code == 0, capsys.readouterr().out
