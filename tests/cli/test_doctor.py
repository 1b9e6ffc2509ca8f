"""`perfloop doctor` against a Prometheus and an Alertmanager that run what was compiled, or something else."""

from __future__ import annotations

import json

from perfloop.stack.process import free_port
from tests.cli.conftest import Ground
from tests.support import eventually


def findings(ground: Ground, *arguments: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(ground.run("doctor", *arguments, "--output", "json").stdout)
    return found


def test_what_was_compiled_is_what_runs_and_only_the_rule_that_fails_is_found(ground: Ground) -> None:
    # Prometheus finds its targets and evaluates its rules within the first seconds.
    (found,) = eventually(lambda: _just_one(findings(ground)), what="the rule that fails, and nothing else")

    assert found == {
        "where": f"http://{ground.prometheus}",
        "what": "cannot evaluate perfloop:broken: vector cannot contain metrics with the same labelset",
        "remedy": "perfloop rules explain perfloop:broken shows its PromQL",
    }


def _just_one(found: list[dict[str, str]]) -> list[dict[str, str]]:
    return found if len(found) == 1 and "cannot evaluate" in found[0]["what"] else []


def test_rules_and_routes_that_are_not_as_compiled_are_findings_and_3(ground: Ground) -> None:
    changed = ground.write("other.yml", warning=70, cooldown=30)

    done = ground.run("doctor", "--config.file", changed.name)

    assert done.returncode == 3
    rule = "the alert CpuUsageHigh (warning) is not as compiled: expr is perfloop:cpu_usage > 80, expected"
    assert f"http://{ground.prometheus}: {rule} perfloop:cpu_usage > 70" in done.stdout
    assert "keep_firing_for is 10m, expected 30m" in done.stdout
    assert f'http://{ground.alertmanager}: the route of rule="cpu_usage" to chat: ' in done.stdout
    assert "repeat_interval is 10m, expected 30m" in done.stdout
    assert "  to do: perfloop compile --out FOLDER" in done.stdout


def test_a_rule_that_is_gone_from_perfloop_yml_and_a_target_that_is_not_scraped_are_found(ground: Ground) -> None:
    file = ground.folder / "less.yml"
    less = ground.file.read_text(encoding="utf-8").replace("exporters: []", "exporters: ['127.0.0.1:1']")
    file.write_text(less.replace("name: long_queue", "enabled: false\n  name: long_queue"), encoding="utf-8")

    found = [each["what"] for each in findings(ground, "--config.file", file.name)]

    assert "the alert LongQueue (warning) is loaded, and not in perfloop.yml any more" in found
    assert "does not scrape 127.0.0.1:1 as job perfloop" in found


def test_a_prometheus_that_is_away_is_a_finding_and_alertmanager_is_looked_at_all_the_same(ground: Ground) -> None:
    address = f"127.0.0.1:{free_port()}"
    file = ground.write("nobody.yml", prometheus=address, cooldown=30)

    found = findings(ground, "--config.file", file.name)

    assert found[0] == {
        "where": f"http://{address}",
        "what": f"Prometheus at http://{address} does not answer: [Errno 111] Connection refused",
        "remedy": "start it, or correct prometheus.url in perfloop.yml",
    }
    assert {each["where"] for each in found[1:]} == {f"http://{ground.alertmanager}"}
