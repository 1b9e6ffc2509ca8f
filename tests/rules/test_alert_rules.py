"""Overrides of thresholds and the user's own alerts: by promtool, beside what they would say without their guards."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from perfloop import config
from perfloop.app.compile import compile_all
from perfloop.rules.alert_rules import alert_name
from perfloop.rules.catalogue import shipped
from perfloop.rules.lint import lint
from perfloop.stack.process import find_binary

HERE = Path(__file__).parent


def compiled(path: Path) -> dict[str, str]:
    return compile_all(config.load(path), config_path=path)


def groups(text: str, name: str = "perfloop.yml") -> dict[str, dict[str, Any]]:
    files = compile_all(config.parse(text, name=name), config_path=Path(name))
    return {
        group["name"]: group
        for file in ("rules/perfloop-recording.yml", "rules/perfloop-alerts.yml")
        for group in yaml.safe_load(files[file])["groups"]
    }


def test_every_kind_and_every_guard_gives_what_was_worked_out_by_hand(tmp_path: Path) -> None:
    test = Path(shutil.copy(HERE / "alerting.test.yml", tmp_path))
    wanted = yaml.safe_load(test.read_text(encoding="utf-8"))["group_eval_order"]
    found = groups((HERE / "alerting.yml").read_text(encoding="utf-8"))
    # Hours of samples are slow to evaluate for all the shipped rules, which are not asked for here.
    found["perfloop-catalogue"]["rules"] = found["perfloop-catalogue"]["rules"][len(shipped()) :]
    only = {"groups": [found[name] for name in wanted]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(only), encoding="utf-8")

    argv = [find_binary("promtool"), "test", "rules", test.name]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_and_amtool_find_nothing() -> None:
    assert lint(compiled(HERE / "alerting.yml")).findings == ()


def test_every_expression_is_valid_in_prometheus_3_too() -> None:
    found = groups((HERE / "alerting.yml").read_text(encoding="utf-8"))

    for group in found.values():
        for rule in group["rules"]:
            promql_parser.parse(rule["expr"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("slow_checkout", "SlowCheckout", id="words"),
        pytest.param("slow-checkout", "SlowCheckout", id="with hyphens"),
        pytest.param("SlowCheckout", "SlowCheckout", id="as it is"),
        pytest.param("p95_over_1s", "P95Over1s", id="digits"),
    ],
)
def test_an_alert_is_called_as_its_rule_in_camel_case(name: str, expected: str) -> None:
    assert alert_name(name) == expected


def test_alerts_that_compare_with_the_same_past_share_what_is_recorded_each_five_minutes() -> None:
    found = groups(
        """\
alert_rules:
  - name: more_errors
    condition: {PercentChange: {metric: error_rate, baseline_hours: 24, change_percent: 50, direction: Increase}}
  - name: fewer_errors
    condition: {PercentChange: {metric: error_rate, baseline_hours: 24, change_percent: 50, direction: Decrease}}
  - name: odd_errors
    condition: {Statistical: {metric: error_rate, deviation_threshold: 3, window_hours: 24, duration_minutes: 20}}
  - name: too_many
    condition: {Threshold: {metric: error_rate, value: 5}}
"""
    )

    baselines = found["perfloop-baselines"]
    assert baselines["interval"] == "5m"
    assert [rule["record"] for rule in baselines["rules"]] == [
        "perfloop:error_rate:avg_1d_offset_2h",
        "perfloop:error_rate:avg_1d_offset_5m",
        "perfloop:error_rate:deviation_1d_offset_2h",
    ]
    assert [rule["alert"] for rule in found["perfloop-alert-rules"]["rules"]] == [
        "MoreErrors",
        "FewerErrors",
        "OddErrors",
        "TooMany",
    ]


def test_now_holds_four_samples_however_long_the_interval() -> None:
    found = groups(
        """\
performance_collection: {collection_interval: 240}
alert_rules:
  - name: slower
    condition: {PercentChange: {metric: response_time, baseline_hours: 1, change_percent: 50}}
"""
    )

    rule = found["perfloop-baselines"]["rules"][0]
    assert rule["record"] == "perfloop:response_time:avg_1h_offset_16m"
    assert "count_over_time(perfloop:response_time[1h] offset 16m) >= 8 " in rule["expr"]
    assert "avg_over_time(perfloop:response_time[16m])" in found["perfloop-alert-rules"]["rules"][0]["expr"]


def test_a_threshold_without_overrides_is_one_comparison() -> None:
    text = "performance_collection: {alert_thresholds: {cpu_usage: {warning_threshold: 80"
    override = """, overrides: [{match: ['instance="db-1"'], warning_threshold: 95}]"""

    plain = groups(f"{text}}}}}}}")["perfloop-thresholds"]["rules"]
    overridden = groups(f"{text}{override}}}}}}}")["perfloop-thresholds"]["rules"]

    assert [rule["expr"] for rule in plain] == ["perfloop:cpu_usage > 80"]
    assert [rule["expr"] for rule in overridden] == [
        'perfloop:cpu_usage{instance="db-1"} > 95'
        ' or (perfloop:cpu_usage unless perfloop:cpu_usage{instance="db-1"}) > 80'
    ]


def test_a_comment_at_the_end_of_a_metric_of_the_users_own_comments_nothing_else_out() -> None:
    found = groups("metrics: {jobs: {expr: 'queue # of all workers', unit: jobs, direction: lower}}")

    expr = found["perfloop-catalogue"]["rules"][-1]["expr"]
    assert expr.splitlines() == ["(queue # of all workers", ") >= -Inf"]
