"""`perfloop compile` and `perfloop check`, as a user runs them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.support import perfloop, without_parser

SEED_EXAMPLE = Path(__file__).parent.parent / "rules" / "seed-example.yml"
BROKEN = "performance_collection: {collection_interval: 0}\noptimisation: {}\n"


def test_compile_says_what_it_wrote(tmp_path: Path) -> None:
    out = tmp_path / "out"

    first = perfloop("compile", "--config.file", str(SEED_EXAMPLE), "--out", str(out))
    second = perfloop("compile", "--config.file", str(SEED_EXAMPLE), "--out", str(out))

    names = ["prometheus.yml", "prometheus.flags", "alertmanager.yml"]
    names += ["rules/perfloop-recording.yml", "rules/perfloop-alerts.yml"]
    assert (first.returncode, first.stdout.splitlines()) == (0, [f"wrote {out / name}" for name in names])
    assert (second.returncode, second.stdout.splitlines()) == (0, [f"unchanged {out / name}" for name in names])


def test_compile_of_a_file_with_mistakes_says_them_all_and_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "perfloop.yml"
    file.write_text(BROKEN, encoding="utf-8")

    done = perfloop("compile", "--config.file", str(file), "--out", str(tmp_path / "out"))

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"{file}:1: performance_collection.collection_interval: expected int >= 1, got 0",
        f"{file}:2: optimisation: unknown key; did you mean optimization?",
    ]
    assert not (tmp_path / "out").exists()


def test_compile_writes_nothing_that_promtool_refuses(tmp_path: Path) -> None:
    file = tmp_path / "perfloop.yml"
    file.write_text("metrics: {queue: {expr: 'sum(', unit: jobs, direction: lower}}", encoding="utf-8")

    without_parser(tmp_path)

    done = perfloop("compile", "--config.file", str(file), "--out", str(tmp_path / "out"), cwd=tmp_path)

    assert done.returncode == 3
    assert "perfloop:queue" in done.stderr
    assert not (tmp_path / "out").exists()


def test_check_says_ok_with_a_summary() -> None:
    done = perfloop("check", str(SEED_EXAMPLE))

    assert done.returncode == 0
    assert re.sub(r"\d{2,} ", "N ", done.stdout).splitlines() == [
        f"{SEED_EXAMPLE}: ok",
        "  0 components, 3 thresholds, 2 aggregation rules, 0 policies, N recording rules, N alerting rules",
        "  checked by promtool and amtool",
    ]


def test_check_takes_perfloop_yml_of_the_current_folder_and_says_all_mistakes(tmp_path: Path) -> None:
    (tmp_path / "perfloop.yml").write_text(BROKEN, encoding="utf-8")

    done = perfloop("check", cwd=tmp_path)

    assert done.returncode == 1
    assert [line.split(": ")[:2] for line in done.stderr.splitlines()] == [
        ["perfloop.yml:1", "performance_collection.collection_interval"],
        ["perfloop.yml:2", "optimisation"],
    ]


def test_mistakes_are_data_with_their_places_for_programs(tmp_path: Path) -> None:
    file = tmp_path / "perfloop.yml"
    file.write_text(BROKEN, encoding="utf-8")

    checked = perfloop("check", str(file), "--output", "json")
    compiled = perfloop("compile", "--config.file", str(file), "--out", str(tmp_path / "out"), "--output", "json")

    assert (checked.returncode, compiled.returncode, checked.stderr) == (1, 1, "")
    assert json.loads(checked.stdout) == json.loads(compiled.stdout)
    mistakes = json.loads(checked.stdout)["mistakes"]
    assert [(each["file"], each["line"]) for each in mistakes] == [(str(file), 1), (str(file), 2)]
    assert mistakes[1]["message"] == "optimisation: unknown key; did you mean optimization?"


def test_findings_of_promtool_are_data_too(tmp_path: Path) -> None:
    (tmp_path / "perfloop.yml").write_text("metrics: {queue: {expr: 'sum(', unit: jobs, direction: lower}}")
    without_parser(tmp_path)

    done = perfloop("check", "--output", "json", cwd=tmp_path)

    answer = json.loads(done.stdout)
    assert (done.returncode, answer["ok"], answer["mistakes"]) == (3, False, [])
    assert any("perfloop:queue" in finding for finding in answer["findings"])


def test_what_is_right_is_data_too(tmp_path: Path) -> None:
    out = tmp_path / "out"

    checked = perfloop("check", str(SEED_EXAMPLE), "--output", "json")
    compiled = perfloop("compile", "--config.file", str(SEED_EXAMPLE), "--out", str(out), "--output", "json")

    said = json.loads(checked.stdout)
    assert (said["ok"], said["checked_by"], said["counts"]["threshold"]) == (True, ["promtool", "amtool"], 3)
    assert json.loads(compiled.stdout)["files"][str(out / "alertmanager.yml")] == "wrote"
