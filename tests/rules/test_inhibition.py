"""What mutes what is no more than it should be: the twin of ExporterDown, and the labels that tell things apart."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from perfloop import config
from perfloop.app.compile import compile_all, own_rules, write_all
from perfloop.rules import shipped
from perfloop.rules.catalogue import shipped as shipped_metrics
from perfloop.rules.inhibition import THINGS, labels_of
from perfloop.stack.process import find_binary

ROOT = Path(__file__).parent.parent.parent
FILE = Path("/etc/perfloop/perfloop.yml")
TOLD = """\
channels: {ops: {slack: {webhook_url_file: slack, channel: "#ops"}}}
alerts: {channels: [ops], cooldown_minutes: 30}
"""
# The exporter is gone for two minutes: the alert stays for its cooldown, the twin does not.
PROMTOOL = """\
rule_files: [rules/perfloop-alerts.yml]
evaluation_interval: 15s
tests:
  - interval: 15s
    input_series: [{series: 'up{job="perfloop", instance="h:9847"}', values: '1x8 0x8 1x80'}]
    promql_expr_test:
      - &both
        expr: count by (alertname) (ALERTS{alertstate="firing", alertname=~"ExporterDown.*"})
        eval_time: 3m37s
        exp_samples:
          - {labels: '{alertname="ExporterDown"}', value: 1}
          - {labels: '{alertname="ExporterDownInhibitor"}', value: 1}
      - {<<: *both, eval_time: 5m37s, exp_samples: [{labels: '{alertname="ExporterDown"}', value: 1}]}
"""


@cache
def compiled(text: str) -> dict[str, Any]:
    files = compile_all(config.parse(text), config_path=FILE)
    return {name: yaml.safe_load(content) for name, content in files.items()}


def sources(files: dict[str, Any]) -> list[list[str]]:
    return [each["source_matchers"] for each in files["alertmanager.yml"]["inhibit_rules"]]


def names(files: dict[str, Any]) -> set[str]:
    return {rule["alert"] for group in files["rules/perfloop-alerts.yml"]["groups"] for rule in group["rules"]}


def test_the_twin_ends_when_the_exporter_is_back_though_the_alert_stays_for_its_cooldown(tmp_path: Path) -> None:
    write_all(compile_all(config.parse(TOLD), config_path=FILE), tmp_path)
    (tmp_path / "test.yml").write_text(PROMTOOL, encoding="utf-8")

    argv = [find_binary("promtool"), "test", "rules", "test.yml"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alert_itself_mutes_where_it_ends_at_once() -> None:
    files = compiled("")

    assert sources(files)[1] == ['alertname="ExporterDown"', 'instance!=""']
    assert "ExporterDownInhibitor" not in names(files)


def test_the_twin_mutes_where_the_alert_stays_and_is_told_to_nobody() -> None:
    files = compiled(TOLD)

    assert sources(files)[1] == ['alertname="ExporterDownInhibitor"', 'instance!=""']
    assert "exporter_down_inhibitor" not in str(files["alertmanager.yml"]["route"])


def test_without_the_alert_nothing_is_muted_for_a_dead_exporter() -> None:
    files = compiled(TOLD.replace("alerts: {", "alerts: {disable: [ExporterDown], "))

    assert len(sources(files)) == 1
    assert not {"ExporterDown", "ExporterDownInhibitor"} & names(files)


def test_the_labels_that_promql_names_are_found() -> None:
    text = """
    sum by (lane, region) (jobs{queue="a", shard!~'x'})
      / on (zone) group_left (rack) label_replace(up, "cell", "$1", "pod", "(.+)")
      and count without (replica_set) (x) > 1 or y{severity="critical", __name__=~"z"}
    """

    assert labels_of([text]) == {"lane", "region", "queue", "shard", "zone", "rack", "cell", "pod"}


def test_every_label_of_what_alerts_are_about_tells_things_apart() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| `(perfloop_\w+)` \| \w+ \| ([^|]*) \|", text)
    labels = {name: set(re.findall(r"`(\w+)`", found)) for name, found in rows}
    entries = (entry for subject in shipped.shipped().values() for entry in subject.values())
    expressions = [
        *(metric.expr for metric in shipped_metrics().values()),
        *(entry.expr for entry in entries if len(entry.levels) > 1),
    ]

    measured = re.findall(r"perfloop_\w+", "\n".join(expressions))
    used = {label for name in measured for label in labels.get(name, ())}

    assert len(used) > 10
    assert used - {*THINGS, *labels_of(expressions), "le"} == set()


def test_the_optimizer_compares_every_compiled_alert_with_prometheus() -> None:
    """Alertmanager tells nobody that a muted alert ended; see Controller._reconcile."""
    text = """\
web: {token: {env: TOKEN}}
alerts: {disable: [OptimizerDown]}
performance_collection: {alert_thresholds: {cpu_usage: {warning_threshold: 70}}}
alert_rules:
  - {name: slow_checkout, condition: {Threshold: {metric: response_time, value: 500}}}
"""

    found = own_rules(config.parse(text))

    assert {"cpu_usage", "exporter_down", "watchdog"} <= found
    assert "optimizer_down" not in found
