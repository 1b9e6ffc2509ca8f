"""The compiler: the seed's example, what follows from the intervals, and files that can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from perfloop import config
from perfloop.app.compile import compile_all, retention_flag
from perfloop.errors import ConfigInvalid
from perfloop.rules.catalogue import shipped

SEED_EXAMPLE = Path(__file__).parent / "seed-example.yml"


def compiled(text: str, *, path: Path = Path("/etc/perfloop/perfloop.yml"), out: Path | None = None) -> dict[str, Any]:
    files = compile_all(config.parse(text), config_path=path, out=out)
    return {name: yaml.safe_load(text) for name, text in files.items()}


def rules(files: dict[str, Any], group: str) -> list[dict[str, Any]]:
    groups = [*files["rules/perfloop-recording.yml"]["groups"], *files["rules/perfloop-alerts.yml"]["groups"]]
    return next((found["rules"] for found in groups if found["name"] == group), [])


def test_the_seeds_example_becomes_its_recording_and_alerting_rules() -> None:
    files = compiled(SEED_EXAMPLE.read_text(encoding="utf-8"))

    assert [(rule["record"], rule["expr"]) for rule in rules(files, "perfloop-aggregations")] == [
        ("avg_response_time", "avg_over_time(perfloop:response_time[5m])"),
        ("peak_cpu_usage", "max_over_time(perfloop:cpu_usage[1m])"),
    ]
    assert [rule["record"] for rule in rules(files, "perfloop-catalogue")] == [f"perfloop:{name}" for name in shipped()]
    assert [
        (rule["alert"], rule["labels"]["severity"], rule["expr"], rule["for"])
        for rule in rules(files, "perfloop-thresholds")
    ] == [
        ("CpuUsageHigh", "critical", "perfloop:cpu_usage > 85", "1m"),
        ("CpuUsageHigh", "warning", "perfloop:cpu_usage > 70", "1m"),
        ("MemoryUsageHigh", "critical", "perfloop:memory_usage > 90", "1m"),
        ("MemoryUsageHigh", "warning", "perfloop:memory_usage > 75", "1m"),
        ("ResponseTimeHigh", "critical", "perfloop:response_time > 1000", "1m"),
        ("ResponseTimeHigh", "warning", "perfloop:response_time > 500", "1m"),
    ]


def test_the_seeds_retention_becomes_prometheus_flag() -> None:
    loaded = config.load(SEED_EXAMPLE)

    files = compile_all(loaded, config_path=SEED_EXAMPLE)

    assert retention_flag(loaded) == "--storage.tsdb.retention.time=1d"
    assert files["prometheus.flags"].splitlines()[-1] == "--storage.tsdb.retention.time=1d"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("{collection_interval: 15}", "1m", id="at least a minute"),
        pytest.param("{collection_interval: 120}", "4m", id="two intervals"),
    ],
)
def test_an_alert_waits_for_two_intervals_and_at_least_a_minute(text: str, expected: str) -> None:
    section = text.replace("}", ", alert_thresholds: {cpu_usage: {warning_threshold: 1}}}")

    files = compiled(f"performance_collection: {section}")

    assert rules(files, "perfloop-thresholds")[0]["for"] == expected


def test_a_thresholds_own_duration_wins_over_the_general_one_and_zero_means_at_once() -> None:
    files = compiled(
        """\
performance_collection:
  alert_thresholds:
    cpu_usage: {warning_threshold: 1}
    memory_usage: {warning_threshold: 1, duration: 90}
    disk_usage: {warning_threshold: 1, duration: 0}
prometheus: {for_seconds: 5}
"""
    )

    assert [rule.get("for") for rule in rules(files, "perfloop-thresholds")] == ["5s", "90s", None]


def test_a_metric_of_the_users_own_is_recorded_with_the_range_of_rates_and_without_nan() -> None:
    files = compiled(
        """\
metrics: {jobs: {expr: "rate(jobs_total[$range])", unit: jobs per second, direction: higher}}
prometheus: {rate_range_seconds: 300}
"""
    )

    assert rules(files, "perfloop-catalogue")[-1] == {
        "record": "perfloop:jobs",
        "expr": "(rate(jobs_total[5m])) >= -Inf",
    }


def test_a_users_metric_takes_the_place_of_the_shipped_one_of_that_name() -> None:
    files = compiled("metrics: {cpu_usage: {expr: my_cpu, unit: percent, direction: lower}}")

    found = [rule["expr"] for rule in rules(files, "perfloop-catalogue") if rule["record"] == "perfloop:cpu_usage"]
    assert found == ["(my_cpu) >= -Inf"]


def test_alertmanager_waits_no_longer_than_the_next_samples_take() -> None:
    fast = compiled("performance_collection: {collection_interval: 1}")["alertmanager.yml"]["route"]
    usual = compiled("")["alertmanager.yml"]["route"]

    assert (fast["group_wait"], fast["group_interval"], fast["repeat_interval"]) == ("1s", "2s", "4m")
    assert (usual["group_wait"], usual["group_interval"], usual["repeat_interval"]) == ("10s", "30s", "1h")


@pytest.mark.parametrize(
    ("out", "token", "expected"),
    [
        pytest.param(None, "token", "/etc/perfloop/token", id="no folder given"),
        pytest.param("/etc/perfloop/compiled", "token", "../token", id="below the configuration: they move together"),
        pytest.param("/srv/out", "token", "/etc/perfloop/token", id="elsewhere"),
        pytest.param("/etc/perfloop/compiled", "/run/token", "/run/token", id="absolute as written"),
    ],
)
def test_alertmanager_finds_the_token(out: str | None, token: str, expected: str) -> None:
    files = compiled(f"web: {{token: {{file: {token}}}}}", out=Path(out) if out else None)

    webhook = files["alertmanager.yml"]["receivers"][0]["webhook_configs"][0]
    assert webhook["http_config"]["authorization"]["credentials_file"] == expected


def test_a_token_in_the_environment_is_refused_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "perfloop.yml"
    file.write_text("# here\nweb:\n  token: {env: TOKEN}\n", encoding="utf-8")

    with pytest.raises(ConfigInvalid, match=r"perfloop\.yml:3: web\.token: Alertmanager cannot read environment"):
        compile_all(config.load(file), config_path=file)


def test_the_optimizer_is_called_on_loopback_when_it_listens_everywhere() -> None:
    files = compiled("web: {optimizer_address: '0.0.0.0:9848'}")

    webhook = files["alertmanager.yml"]["receivers"][0]["webhook_configs"][0]
    assert webhook["url"] == "http://127.0.0.1:9848/api/v1/alerts"


def test_prometheus_scrapes_what_is_configured_also_behind_a_path() -> None:
    files = compiled(
        """\
prometheus:
  url: https://metrics.example.org/prometheus/
  alertmanager_url: http://10.0.0.5:9093/am
  exporters: ["10.0.0.1:9847", "10.0.0.2:9847"]
"""
    )

    prometheus = files["prometheus.yml"]
    jobs = {job["job_name"]: job for job in prometheus["scrape_configs"]}
    assert jobs["perfloop"]["static_configs"] == [{"targets": ["10.0.0.1:9847", "10.0.0.2:9847"]}]
    assert jobs["prometheus"]["scheme"] == "https"
    assert jobs["prometheus"]["metrics_path"] == "/prometheus/metrics"
    assert jobs["prometheus"]["static_configs"] == [{"targets": ["metrics.example.org:443"]}]
    assert jobs["alertmanager"]["metrics_path"] == "/am/metrics"
    assert prometheus["alerting"]["alertmanagers"] == [
        {"path_prefix": "/am", "static_configs": [{"targets": ["10.0.0.5:9093"]}]}
    ]


def test_every_file_says_what_it_was_compiled_from_and_the_same_input_gives_the_same_text() -> None:
    text = SEED_EXAMPLE.read_text(encoding="utf-8")

    first = compile_all(config.parse(text), config_path=SEED_EXAMPLE)
    second = compile_all(config.parse(text), config_path=SEED_EXAMPLE)
    other = compile_all(config.parse("{}"), config_path=SEED_EXAMPLE)

    assert first == second
    for name, content in first.items():
        assert content.startswith("# compiled from seed-example.yml by perfloop ")
        assert "; do not edit\n# input sha256 " in content
        assert content.splitlines()[1] != other[name].splitlines()[1]
