"""`perfloop rules` against a Prometheus with an hour of history."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from perfloop.stack.process import free_port
from tests.cli.conftest import Ground

OWN_TEST = """
rule_files: [../../compiled/rules/perfloop-alerts.yml]
evaluation_interval: 15s
tests:
  - interval: 15s
    input_series:
      - {{series: 'perfloop:cpu_usage{{instance="h"}}', values: '{value}x20'}}
    promql_expr_test:
      - expr: count(ALERTS{{alertname="CpuUsageHigh", alertstate="firing"}})
        eval_time: 3m7s
        exp_samples: [{{labels: '{{}}', value: 1}}]
"""


def simulated(ground: Ground, *names: str, **options: str) -> list[dict[str, Any]]:
    to = {"from": str(ground.began_at), "to": str(ground.began_at + 3600), **options}
    done = ground.run(
        "rules", "simulate", *names, *(f"--{key}={value}" for key, value in to.items()), "--output", "json"
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


# -- list and explain --------------------------------------------------------------------------------------------------


def test_list_names_alerts_and_recorded_series_with_who_is_told(ground: Ground) -> None:
    done = ground.run("rules", "list")
    listed = json.loads(ground.run("rules", "list", "--output", "json").stdout)

    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["CpuUsageHigh", "alert", "warning", "1m", "optimizer,", "chat", "10m"] in [line[:7] for line in lines]
    assert ["perfloop:cpu_usage", "recorded", "shipped"] in lines
    (alert,) = [entry for entry in listed if entry["name"] == "CpuUsageHigh"]
    assert (alert["for_seconds"], alert["cooldown_seconds"]) == (60, 600)
    assert alert["receivers"] == ["optimizer", "chat"]


@pytest.mark.parametrize("name", ["CpuUsageHigh", "cpu_usage"])
def test_explain_says_the_promql_who_is_told_when_again_and_where_it_comes_from(ground: Ground, name: str) -> None:
    said = " ".join(ground.run("rules", "explain", name).stdout.split())

    assert "perfloop:cpu_usage > 80" in said
    assert "It stays for 10m after its condition has ended" in said
    assert "told optimizer, chat" in said
    assert "chat: at most once in 10m" in said
    assert "perfloop.yml:4: performance_collection.alert_thresholds.cpu_usage" in said
    assert "docs/alerts/CpuUsageHigh.md" in said


def test_explain_says_why_a_guard_is_there_and_shows_what_is_read(ground: Ground) -> None:
    (series,) = json.loads(ground.run("rules", "explain", "perfloop:disk_usage", "--output", "json").stdout)
    alert = json.loads(ground.run("rules", "explain", "CpuUsageHigh", "--output", "json").stdout)[0]

    assert any("divides only by what is above zero" in why for why in series["guards"])
    assert [read["name"] for read in alert["reads"]] == ["perfloop:cpu_usage"]


def test_explain_shows_one_of_many_rules_that_record_what_is_read(ground: Ground) -> None:
    said = ground.run("rules", "explain", "analysis:anomaly:score").stdout

    assert said.count("analysis:value:avg5m = ") == 1
    assert "more rules that record analysis:value:avg5m" in said


def test_a_name_that_is_not_there_is_1_with_the_nearest(ground: Ground) -> None:
    done = ground.run("rules", "explain", "CpuUsgeHigh")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "perfloop: there is no rule 'CpuUsgeHigh'; did you mean CpuUsageHigh?\n"


# -- simulate ----------------------------------------------------------------------------------------------------------


def test_simulate_counts_firings_flapping_and_notifications_as_worked_out_by_hand(ground: Ground) -> None:
    (found,) = simulated(ground, "CpuUsageHigh")

    # Busy from 600 s on, so it fires at 660 s. The second time comes within the ten minutes that it stays, which
    # begin anew at 1800 s: one firing until 2400 s. Without the cooldown it would have fired again.
    assert found["outcome"] == {
        "series": 1,
        "firings": 1,
        "total_seconds": 1740.0,
        "longest_seconds": 1740.0,
        "flaps": 1,
        "notifications": 3,
        "firing_at_the_end": False,
    }
    assert found["note"] == ""


def test_simulate_tries_an_alert_that_is_switched_off_only_by_its_name(ground: Ground) -> None:
    (found,) = simulated(ground, "TooIdle")
    everything = simulated(ground, step="300")

    assert found["outcome"]["firings"] == 3
    assert "TooIdle" not in {each["alert"] for each in everything}
    assert {"CpuUsageHigh", "Watchdog"} <= {each["alert"] for each in everything}


def test_simulate_computes_what_was_never_recorded_and_says_so(ground: Ground) -> None:
    (found,) = simulated(ground, "LongQueue", to=str(ground.began_at + 1200))

    assert (found["outcome"]["firings"], found["outcome"]["total_seconds"]) == (1, 60.0)
    assert found["note"] == "perfloop:queue_length was not recorded then; computed from what it is made of"


def test_simulate_says_of_which_series_there_is_nothing(ground: Ground) -> None:
    done = ground.run("rules", "simulate", "ExporterCollectorFailed", "--from=10m")

    assert "no samples of perfloop_exporter_collector_success in that time" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(["--from=60d"], 1, "this Prometheus keeps samples for 15d, and --from is 60d ago", id="retention"),
        pytest.param(["--from=1h", "--to=2h"], 2, "--from is after --to", id="the wrong way round"),
        pytest.param(["--from=noon"], 2, "'noon' is no time; expected 7d or 90m", id="no time"),
        pytest.param(["peak_cpu"], 1, "peak_cpu is recorded, and no alert; perfloop query shows", id="no alert"),
    ],
)
def test_simulate_refuses_what_cannot_be_answered(ground: Ground, arguments: list[str], code: int, says: str) -> None:
    done = ground.run("rules", "simulate", *arguments)

    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr


def test_simulate_without_a_prometheus_is_1_and_says_where_it_was_looked_for(ground: Ground) -> None:
    address = f"127.0.0.1:{free_port()}"
    file = ground.write("away.yml", prometheus=address)

    done = ground.run("rules", "--config.file", file.name, "simulate")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"perfloop: Prometheus at http://{address} does not answer: [Errno 111] Connection refused\n"


# -- test --------------------------------------------------------------------------------------------------------------


def test_test_tries_generated_tests_and_ones_own_against_what_compiles_now(ground: Ground) -> None:
    tests = ground.folder / "rules" / "tests"
    tests.mkdir(parents=True, exist_ok=True)
    (tests / "cpu.yml").write_text(OWN_TEST.format(value=90), encoding="utf-8")

    done = ground.run("rules", "test")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["ok generated (2 alerts)", "ok rules/tests/cpu.yml"]


def test_a_test_that_fails_is_3_with_promtools_words(ground: Ground, tmp_path: Path) -> None:
    file = tmp_path / "quiet.yml"
    file.write_text(OWN_TEST.format(value=10), encoding="utf-8")

    done = ground.run("rules", "test", str(file))

    assert done.returncode == 3
    assert f"FAILED {file}" in done.stdout
    assert "exp:" in done.stderr


def test_a_file_that_is_no_test_is_1(ground: Ground, tmp_path: Path) -> None:
    (tmp_path / "list.yml").write_text("[1]", encoding="utf-8")

    done = ground.run("rules", "test", str(tmp_path / "list.yml"))

    assert done.returncode == 1
    assert "is not a test for promtool: expected rule_files and tests" in done.stderr


# -- diff --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("old", ["compiled", "perfloop.yml", "compiled/rules/perfloop-alerts.yml"])
def test_diff_is_0_for_the_same_and_3_with_what_changed(ground: Ground, old: str) -> None:
    changed = ground.write("changed.yml", warning=70)

    same = ground.run("rules", "diff", old)
    other = ground.run("rules", "--config.file", changed.name, "diff", old)

    assert (same.returncode == 0) == (not old.endswith("alerts.yml")), same.stdout
    assert other.returncode == 3
    assert "changed alert CpuUsageHigh (warning)\n  expr:\n    - perfloop:cpu_usage > 80\n" in other.stdout
    assert "    + perfloop:cpu_usage > 70\n" in other.stdout


def test_diff_names_what_was_added_and_removed(ground: Ground) -> None:
    (ground.folder / "empty.yml").write_text("web: {token: {file: token}}\n", encoding="utf-8")

    added = json.loads(ground.run("rules", "diff", "empty.yml", "--output", "json").stdout)
    removed = ground.run("rules", "--config.file", "empty.yml", "diff", "perfloop.yml").stdout

    assert {"rule": "CpuUsageHigh (warning)", "kind": "alert", "change": "added", "differences": []} in added
    assert "removed alert CpuUsageHigh (warning)" in removed.splitlines()


def test_diff_with_a_folder_without_rules_is_1(ground: Ground, tmp_path: Path) -> None:
    done = ground.run("rules", "diff", str(tmp_path))

    assert (done.returncode, done.stdout) == (1, "")
    assert "holds no compiled rules" in done.stderr
