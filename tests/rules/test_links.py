"""Links of alerts: each leads to a board that is there, also where labels are not fit for an address."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import yaml

from perfloop import config
from perfloop.app.compile import compile_all
from perfloop.rules.links import BOARDS, Links
from perfloop.stack.process import find_binary

ROOT = Path(__file__).parents[2]
GRAFANA = "https://grafana.example/team"


def test_the_boards_that_alerts_may_lead_to_are_those_that_there_are() -> None:
    boards = (json.loads(file.read_text()) for file in (ROOT / "grafana" / "dashboards").glob("*.json"))

    assert {board["uid"] for board in boards} == {f"perfloop-{name}" for name in BOARDS}


def test_every_alert_leads_to_a_board_where_there_is_a_grafana(tmp_path: Path) -> None:
    path = tmp_path / "perfloop.yml"
    path.write_text(f"alerts: {{grafana_url: '{GRAFANA}'}}\n")

    files = compile_all(config.load(path), config_path=path)

    groups = yaml.safe_load(files["rules/perfloop-alerts.yml"])["groups"]
    links = [rule["annotations"]["dashboard_url"] for group in groups for rule in group["rules"]]
    assert len(links) > 150
    assert {re.sub(r"\{\{.*", "", link) for link in links} == {f"{GRAFANA}/d/perfloop-{name}" for name in BOARDS}


def test_a_board_shows_the_instance_whatever_it_is_called(tmp_path: Path) -> None:
    url = Links(grafana_url=GRAFANA).annotations("Down")["dashboard_url"]
    rule = {"alert": "Down", "expr": "up == 0", "annotations": {"dashboard_url": url}}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "links", "rules": [rule]}]}))
    expected = {
        'a b&c#"': f"{GRAFANA}/d/perfloop-overview?var-instance=a+b%26c%23%22",
        "": f"{GRAFANA}/d/perfloop-overview",
    }
    alerts = [
        {"exp_labels": {"instance": name} if name else {}, "exp_annotations": {"dashboard_url": link}}
        for name, link in expected.items()
    ]
    series = [{"series": f"up{{instance={json.dumps(name)}}}" if name else "up", "values": "0x5"} for name in expected]
    check = {"alertname": "Down", "eval_time": "2m37s", "exp_alerts": alerts}
    tests = {
        "rule_files": ["rules.yml"],
        "tests": [{"interval": "1m", "input_series": series, "alert_rule_test": [check]}],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(tests))

    argv = [find_binary("promtool"), "test", "rules", "test.yml"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stdout + done.stderr
