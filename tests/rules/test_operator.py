"""Objects of the Prometheus Operator: they say what the files say, and have what the operator asks for.

No Kubernetes is here: the shapes are those of the operator's definitions, version 0.80.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from perfloop import config
from perfloop.app.compile import Namespace, Targets, compile_all, compile_manifests
from perfloop.errors import ConfigInvalid
from perfloop.stack.process import find_binary
from tests.support import perfloop

PATH = Path("/etc/perfloop/perfloop.yml")
TEXT = """\
web: {optimizer_address: "0.0.0.0:9848"}
prometheus: {exporters: ["127.0.0.1:9847", "10.0.0.11:9847"]}
alerts: {channels: [people, chat, ops, issues]}
channels:
  people:
    email:
      recipients: [a@example.org, b@example.org]
      sender: perfloop@example.org
      smarthost: mail.example.org:587
      user: perfloop
      password_file: secrets/mail-password
  chat: {slack: {webhook_url_file: secrets/Slack_URL, channel: "#ops"}}
  ops: {webhook: {url: "https://ops.example.org/hook", token_file: secrets/ops-token}}
  issues: {github: {repository: example/shop, token: {file: secrets/github}}}
"""
SERVICE = "perfloop-optimizer.shop.svc:9848"
NAMES = [
    "perfloop-alertmanagerconfig.yml",
    "perfloop-prometheusrules.yml",
    "perfloop-scrapeconfig.yml",
    "perfloop-servicemonitors.yml",
]


Objects = dict[str, dict[str, Any]]


def manifests(text: str = TEXT, *, namespace: str = "shop", labels: dict[str, str] | None = None) -> dict[str, str]:
    where = Namespace(namespace=namespace, labels=labels or {})
    return compile_manifests(config.parse(text), config_path=PATH, namespace=where)


@pytest.fixture(scope="module")
def found() -> Objects:
    """Return the objects of TEXT, which no test changes."""
    return objects(labels={"release": "monitoring"})


def objects(text: str = TEXT, **options: Any) -> Objects:
    found = [each for file in manifests(text, **options).values() for each in yaml.load_all(file, yaml.CSafeLoader)]
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in found}


def load(text: str) -> Any:
    return yaml.load(text, yaml.CSafeLoader)


def as_file(value: Any) -> Any:
    """Return a part of an AlertmanagerConfig as alertmanager.yml has it."""
    if isinstance(value, list):
        return [as_file(item) for item in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for key, item in value.items():
        match key:
            case "matchers" | "sourceMatch" | "targetMatch":
                name = {"matchers": key, "sourceMatch": "source_matchers", "targetMatch": "target_matchers"}[key]
                found[name] = [as_matcher(each) for each in item]
            case "authPassword":
                found["auth_password_file"] = f"/etc/perfloop/secrets/{item['key']}"
            case "apiURL":
                found["api_url_file"] = f"/etc/perfloop/secrets/{item['key']}"
            case "credentials":
                folder = ".perfloop" if item["key"] == "token" else "secrets"
                found["credentials_file"] = f"/etc/perfloop/{folder}/{item['key']}"
            case "requireTLS":
                found["require_tls"] = item
            case _:
                found["".join(f"_{c.lower()}" if c.isupper() else c for c in key)] = as_file(item)
    return found


def as_matcher(matcher: dict[str, str]) -> str:
    value = matcher["value"].replace("\\", "\\\\").replace('"', '\\"')
    return f'{matcher["name"]}{matcher["matchType"]}"{value}"'


def test_each_object_has_what_kubernetes_asks_for(found: Objects) -> None:
    assert sorted(found) == [
        "AlertmanagerConfig/perfloop",
        "PrometheusRule/perfloop",
        "PrometheusRule/perfloop-recording",
        "ScrapeConfig/perfloop-exporters",
        "ServiceMonitor/perfloop-exporter",
        "ServiceMonitor/perfloop-optimizer",
    ]
    for name, each in found.items():
        alpha = name.startswith(("AlertmanagerConfig", "ScrapeConfig"))
        assert each["apiVersion"] == f"monitoring.coreos.com/v1{'alpha1' if alpha else ''}"
        assert each["metadata"]["namespace"] == "shop"
        assert each["metadata"]["labels"] == {"app.kubernetes.io/name": "perfloop", "release": "monitoring"}
        assert each["spec"]


def test_the_rules_are_those_of_the_files_and_promtool_takes_them(tmp_path: Path, found: Objects) -> None:
    files = compile_all(config.parse(TEXT), config_path=PATH)

    for name, file in (("perfloop-recording", "perfloop-recording"), ("perfloop", "perfloop-alerts")):
        spec = found[f"PrometheusRule/{name}"]["spec"]
        assert spec == load(files[f"rules/{file}.yml"])
        (tmp_path / f"{name}.yml").write_text(json.dumps(spec))
        argv = [find_binary("promtool"), "check", "rules", str(tmp_path / f"{name}.yml")]
        assert subprocess.run(argv, capture_output=True, check=False, timeout=60).returncode == 0


def test_the_routes_receivers_and_inhibitions_are_those_of_the_file(found: Objects) -> None:
    text = TEXT.replace("0.0.0.0:9848", SERVICE)
    files = compile_all(config.parse(text), config_path=PATH)

    spec = found["AlertmanagerConfig/perfloop"]["spec"]

    assert as_file(spec) == load(files["alertmanager.yml"])
    assert spec["route"]["groupWait"] == "10s"
    assert all({"name", "matchType", "value"} == each.keys() for each in spec["route"]["routes"][0]["matchers"])


def test_secrets_are_keys_named_after_their_files(found: Objects) -> None:
    receivers = {each["name"]: each for each in found["AlertmanagerConfig/perfloop"]["spec"]["receivers"]}

    assert receivers["people"]["emailConfigs"][0]["authPassword"] == {
        "name": "perfloop-mail-password",
        "key": "mail-password",
    }
    assert receivers["chat"]["slackConfigs"][0]["apiURL"] == {"name": "perfloop-slack-url", "key": "Slack_URL"}
    webhook = receivers["issues"]["webhookConfigs"][0]
    assert webhook["httpConfig"]["authorization"]["credentials"] == {"name": "perfloop-token", "key": "token"}
    assert "/etc/perfloop" not in json.dumps(found)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        pytest.param("127.0.0.1:9848", "http://perfloop-optimizer.shop.svc:9848", id="its Service"),
        pytest.param("0.0.0.0:1234", "http://perfloop-optimizer.shop.svc:1234", id="its Service on its port"),
        pytest.param("10.0.0.9:9848", "http://10.0.0.9:9848", id="outside of Kubernetes"),
    ],
)
def test_alertmanager_finds_the_optimizer(address: str, expected: str) -> None:
    files = manifests(TEXT.replace("0.0.0.0:9848", address))

    assert f"- url: {expected}/api/v1/alerts\n" in files["perfloop-alertmanagerconfig.yml"]


def test_series_have_the_job_that_alerts_ask_for_wherever_they_come_from(found: Objects) -> None:
    endpoint = found["ServiceMonitor/perfloop-exporter"]["spec"]["endpoints"][0]
    scrape = found["ScrapeConfig/perfloop-exporters"]["spec"]
    assert endpoint["relabelings"] == scrape["relabelings"]
    assert endpoint["relabelings"] == [{"action": "replace", "targetLabel": "job", "replacement": "perfloop"}]
    assert (endpoint["port"], endpoint["interval"], endpoint["scrapeTimeout"]) == ("metrics", "15s", "10s")
    assert scrape["staticConfigs"] == [{"targets": ["10.0.0.11:9847"]}]
    assert "perfloop-scrapeconfig.yml" not in manifests("")


def test_two_files_that_would_be_one_secret_are_refused() -> None:
    text = TEXT.replace("secrets/ops-token", "ops/token")

    with pytest.raises(ConfigInvalid, match="would both be the Secret perfloop-token; rename one"):
        manifests(text)


def test_headers_which_an_object_cannot_have_are_refused() -> None:
    text = TEXT.replace("token_file: secrets/ops-token", "headers: {X-Team: shop}")
    targets = Targets(alertmanager=(0, 28))

    with pytest.raises(ConfigInvalid, match="an AlertmanagerConfig has no headers for webhooks"):
        compile_manifests(config.parse(text), config_path=PATH, namespace=Namespace(), targets=targets)


def test_the_same_input_gives_the_same_text() -> None:
    assert manifests() == manifests()
    assert all(text.startswith("# compiled from perfloop.yml by perfloop ") for text in manifests().values())


def test_the_command_writes_objects_and_says_which_secrets_they_need(tmp_path: Path) -> None:
    (tmp_path / "perfloop.yml").write_text(TEXT, encoding="utf-8")

    done = perfloop("compile", "--out", "out", "--format", "prometheus-operator", "--label", "release=a", cwd=tmp_path)
    wrong = perfloop("compile", "--out", "out", "--format", "prometheus-operator", "--label", "release", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == NAMES
    secrets = "perfloop-mail-password, perfloop-ops-token, perfloop-slack-url, perfloop-token"
    assert done.stderr == f"needs the Secrets {secrets}\n"
    assert "expected KEY=VALUE, got 'release'" in wrong.stderr
