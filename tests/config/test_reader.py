"""Reading perfloop.yml: all mistakes at once, in the order of the lines, and never a secret in a message."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfloop import config
from perfloop.errors import ConfigInvalid
from perfloop.model import Mode, Operator


def mistakes(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigInvalid) as caught:
        config.parse(text)
    return caught.value.problems


def test_an_empty_file_is_the_default_configuration() -> None:
    loaded = config.parse("# nothing\n")

    assert loaded == config.Config()


def test_all_mistakes_are_said_at_once_in_the_order_of_the_lines() -> None:
    text = """\
performance_collection:
  alert_thresholds:
    cpu_usage: {warning_threshold: high}
  collection_interval: 0
web:
  token: secret
colectors: {}
optimization:
  impact_threshold: 2
"""

    assert mistakes(text) == (
        "perfloop.yml:3: performance_collection.alert_thresholds.cpu_usage.warning_threshold:"
        " expected float | null, got 'high'",
        "perfloop.yml:4: performance_collection.collection_interval: expected int >= 1, got 0",
        "perfloop.yml:6: web.token: expected a mapping with `file` or `env`;"
        " a secret is never written into perfloop.yml",
        "perfloop.yml:7: colectors: unknown key; did you mean collectors?",
        "perfloop.yml:9: optimization.impact_threshold: expected float < 1.0, got 2",
    )


def test_mistakes_between_sections_are_said_at_once_too() -> None:
    text = """\
performance_collection:
  retention_period: 3600
  alert_thresholds:
    cpu_usage: {warning_threshold: 90, critical_threshold: 80}
    nonsense: {warning_threshold: 1}
aggregation_rules:
  - {metric_pattern: "zz.*", aggregation_type: Percentile(9), time_window: 7200, output_metric: a}
  - {metric_pattern: cpu_usage, aggregation_type: Max, time_window: 7200, output_metric: a}
"""

    lines = [problem.split(": ")[:2] for problem in mistakes(text)]

    assert lines == [
        ["perfloop.yml:4", "performance_collection.alert_thresholds.cpu_usage"],
        ["perfloop.yml:5", "performance_collection.alert_thresholds.nonsense"],
        ["perfloop.yml:7", "aggregation_rules[0].aggregation_type"],
        ["perfloop.yml:7", "aggregation_rules[0].metric_pattern"],
        ["perfloop.yml:8", "aggregation_rules[1].time_window"],
        ["perfloop.yml:8", "aggregation_rules[1].output_metric"],
    ]


def test_a_secret_in_plain_text_is_refused_without_being_repeated() -> None:
    problems = mistakes("web:\n  token: hunter2\n")

    assert "hunter2" not in "".join(problems)


def test_a_missing_file_is_a_mistake_like_any_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"nowhere.yml: No such file or directory"):
        config.load(tmp_path / "nowhere.yml")


def test_a_file_that_is_not_utf8_is_a_mistake_like_any_other(tmp_path: Path) -> None:
    file = tmp_path / "perfloop.yml"
    file.write_bytes(b"\xff\xfe")

    with pytest.raises(ConfigInvalid, match="is not UTF-8"):
        config.load(file)


def test_a_secret_is_read_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n", encoding="utf-8")
    loaded = config.parse("web: {token: {file: token}}")

    assert config.read_secret(loaded.web.token, base=tmp_path, environ={}) == "s3cret"


def test_a_secret_that_is_not_there_is_named(tmp_path: Path) -> None:
    loaded = config.parse("web: {token: {env: PERFLOOP_TOKEN}}")

    with pytest.raises(ConfigInvalid, match="environment variable PERFLOOP_TOKEN: is empty"):
        config.read_secret(loaded.web.token, base=tmp_path, environ={})


def test_the_default_operator_is_greater_than_and_the_default_mode_is_suggest() -> None:
    loaded = config.parse(
        """\
performance_collection: {alert_thresholds: {cpu_usage: {warning_threshold: 80}}}
policies:
  - name: grow
    match: ['rule="cache_hit_rate"']
    executor: cache
    parameters: {cache_size: 64MB}
    objective: {metric: cache_hit_rate}
"""
    )

    assert loaded.performance_collection.alert_thresholds["cpu_usage"].operator is Operator.GREATER_THAN
    assert loaded.policies[0].mode is Mode.SUGGEST


def test_the_place_of_a_key_that_is_not_written_is_its_nearest_parent(tmp_path: Path) -> None:
    file = tmp_path / "perfloop.yml"
    file.write_text("# a comment\nweb:\n  exporter_address: 127.0.0.1:1\n", encoding="utf-8")

    assert config.place(file, "web.token") == f"{file}:2: web.token"
