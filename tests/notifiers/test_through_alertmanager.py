"""The whole way of a GitHub channel: compiled routes, a real Alertmanager, the real optimizer, a GitHub of the test."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml

from perfloop import config
from perfloop.app.compile import compile_all, write_all
from perfloop.prometheus.alertmanager import AlertmanagerClient
from perfloop.stack import servers
from perfloop.stack.process import Child, free_port
from tests.notifiers.github import REPOSITORY, TOKEN, GitHub, answers
from tests.support import eventually, perfloop


class Way:
    """The servers, and how an alert begins and ends."""

    def __init__(self, folder: Path, github: GitHub) -> None:
        self.folder, self.github = folder, github
        self.optimizer_address, port = f"127.0.0.1:{free_port()}", free_port()
        (folder / "token").write_text("s3cret", encoding="utf-8")
        (folder / "github").write_text(TOKEN, encoding="utf-8")
        document = {
            "performance_collection": {
                "collection_interval": 1,
                "alert_thresholds": {"cpu_usage": {"warning_threshold": 80, "channels": ["bugs"]}},
            },
            "alerts": {"cooldown_minutes": 0},
            "channels": {
                "bugs": {"github": {"repository": REPOSITORY, "token": {"file": "github"}, "api_url": github.url}}
            },
            "prometheus": {"url": "http://127.0.0.1:1", "alertmanager_url": f"http://127.0.0.1:{port}"},
            "web": {"optimizer_address": self.optimizer_address, "token": {"file": "token"}},
            "store": {"path": "perfloop.db"},
        }
        self.file = folder / "perfloop.yml"
        self.file.write_text(yaml.safe_dump(document), encoding="utf-8")
        out = folder / "compiled"
        write_all(compile_all(config.load(self.file), config_path=self.file, out=out), out)
        self.alertmanager = servers.alertmanager(folder, config=out / "alertmanager.yml", port=port)
        self.optimizer = Child(
            "optimizer",
            [sys.executable, "-m", "perfloop", "optimizer", "--config.file", str(self.file)],
            log=folder / "optimizer.log",
            ready=lambda: servers.http_ready(f"http://{self.optimizer_address}/-/ready"),
        )
        self.client = AlertmanagerClient(self.alertmanager.address)

    def say(self, instance: str, *, firing: bool) -> None:
        labels = {"alertname": "CpuUsageHigh", "rule": "cpu_usage", "severity": "warning", "instance": instance}
        now = time.time()
        ends_at = now + 600 if firing else now
        self.client.send(labels, {"summary": "The CPU is busy."}, starts_at=now - 60, ends_at=ends_at)

    def failed(self, reason: str) -> int:
        text = requests.get(f"http://{self.optimizer_address}/metrics", timeout=5).text
        wanted = f'perfloop_optimizer_notifications_failed_total{{channel="bugs",reason="{reason}"}} '
        return int(float(next(line for line in text.splitlines() if line.startswith(wanted)).rpartition(" ")[2]))

    def issues(self) -> dict[str, str]:
        return {issue["title"]: issue["state"] for issue in self.github.issues}


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    with GitHub(time.time) as github:
        made = Way(tmp_path_factory.mktemp("way"), github)
        for child in (made.alertmanager, made.optimizer):
            child.start()
        for child in (made.alertmanager, made.optimizer):
            child.wait_ready()
        yield made
        made.optimizer.stop()
        made.alertmanager.stop()


def test_an_issue_opens_when_an_alert_fires_and_closes_when_it_ends(way: Way) -> None:
    way.say("web-1", firing=True)
    eventually(lambda: way.issues() == {"CpuUsageHigh: web-1": "open"}, what="the issue")

    way.say("web-1", firing=False)

    eventually(lambda: way.issues() == {"CpuUsageHigh: web-1": "closed"}, what="its end")
    assert "1 alert has ended." in way.github.said(1)[0]


def test_what_a_failing_github_missed_it_is_told_at_once_when_it_is_back(way: Way) -> None:
    way.github.faults.extend([answers(500), answers(502)])

    way.say("web-2", firing=True)

    eventually(lambda: way.issues().get("CpuUsageHigh: web-2") == "open", what="the issue")
    assert way.failed("unavailable") == 2


def test_with_a_wrong_token_it_is_tried_once_in_a_group_interval_and_told_when_that_is_mended(way: Way) -> None:
    (way.folder / "github").write_text("ghp_wrong", encoding="utf-8")
    _reload(way)
    asked = len(way.github.requests)
    way.say("web-3", firing=True)
    eventually(lambda: way.failed("unauthorized"), what="an attempt")
    attempts = len(way.github.requests) - asked

    (way.folder / "github").write_text(TOKEN, encoding="utf-8")
    _reload(way)

    eventually(lambda: way.issues().get("CpuUsageHigh: web-3") == "open", what="the issue")
    assert attempts <= 2  # no storm: 422 waits for the next group_interval
    log = (way.folder / "optimizer.log").read_text(encoding="utf-8")
    assert "reason=unauthorized" in log
    assert "ghp_" not in log


def test_send_test_tries_the_whole_way(way: Way) -> None:
    done = perfloop("alerts", "send-test", "bugs", "--output", "json", cwd=way.folder)

    assert (done.returncode, json.loads(done.stdout)["delivered"]) == (0, True)
    assert way.issues()["PerfloopTest: bugs"] == "open"


def _reload(way: Way) -> None:
    headers = {"authorization": "Bearer s3cret"}
    requests.post(f"http://{way.optimizer_address}/-/reload", headers=headers, timeout=10).raise_for_status()
