"""What promtool, amtool and a parser of Prometheus 3 say about everything that is compiled."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from perfloop import config
from perfloop.app.compile import compile_all, write_all
from perfloop.rules.lint import lint
from perfloop.stack.process import find_binary

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CONFIGS = [ROOT / "perfloop.yml", HERE / "seed-example.yml", HERE / "everything.yml"]
ANALYSIS = {"perfloop-analysis-steps", "perfloop-analysis-hours", "perfloop-resources"}
PRODUCT_TESTS = sorted((ROOT / "rules" / "tests").glob("*.yml"))


def promtool_test(file: Path) -> subprocess.CompletedProcess[str]:
    argv = [find_binary("promtool"), "test", "rules", file.name]
    return subprocess.run(argv, cwd=file.parent, capture_output=True, text=True, check=False, timeout=60)


def beside_plain_rules(file: Path, folder: Path) -> Path:
    """Copy a test beside what perfloop.yml compiles to, less the analysis: that has tests of its own, and is dear."""
    (folder / "generated" / "rules").mkdir(parents=True)
    (folder / "tests").mkdir()
    for name, text in compiled(ROOT / "perfloop.yml").items():
        if name.startswith("rules/"):
            groups = [g for g in yaml.safe_load(text)["groups"] if g["name"] not in ANALYSIS]
            (folder / "generated" / name).write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")
    return Path(shutil.copy(file, folder / "tests"))


def compiled(path: Path) -> dict[str, str]:
    return compile_all(config.load(path), config_path=path)


def rules_in(files: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for name, text in files.items():
        if name.startswith("rules/"):
            for group in yaml.safe_load(text)["groups"]:
                yield from group["rules"]


@pytest.mark.parametrize("file", PRODUCT_TESTS, ids=[file.stem for file in PRODUCT_TESTS])
def test_the_shipped_rules_give_the_values_and_alerts_worked_out_by_hand(file: Path, tmp_path: Path) -> None:
    done = promtool_test(beside_plain_rules(file, tmp_path))

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_operator_and_every_aggregation_gives_what_was_worked_out_by_hand(tmp_path: Path) -> None:
    write_all(compiled(HERE / "everything.yml"), tmp_path)
    file = Path(shutil.copy(HERE / "everything.test.yml", tmp_path))

    done = promtool_test(file)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_catalogue_metric_has_a_value_test() -> None:
    tested = (ROOT / "rules" / "tests" / "catalogue.yml").read_text(encoding="utf-8")

    missing = [rule["record"] for rule in rules_in(compiled(ROOT / "perfloop.yml")) if "record" in rule]

    assert [name for name in missing if name.startswith("perfloop:") and f"round({name}," not in tested] == []


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_promtool_and_amtool_find_nothing(path: Path) -> None:
    found = lint(compiled(path))

    assert found.ran == ("promtool", "amtool")
    assert found.findings == ()


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_every_expression_is_valid_in_prometheus_3_too(path: Path) -> None:
    expressions = [rule["expr"] for rule in rules_in(compiled(path))]

    assert expressions
    for expression in expressions:
        promql_parser.parse(expression)


def test_an_expression_that_does_not_parse_is_found() -> None:
    loaded = config.parse("metrics: {queue: {expr: queue_length, unit: jobs, direction: lower}}")
    files = compile_all(loaded, config_path=Path("perfloop.yml"))

    found = lint({name: text.replace("queue_length", "sum(") for name, text in files.items()})

    assert any("perfloop:queue" in finding for finding in found.findings)


def test_the_committed_files_are_what_compile_writes() -> None:
    path, out = ROOT / "perfloop.yml", ROOT / "rules" / "generated"

    files = compile_all(config.load(path), config_path=path, out=out)

    committed = {
        file.relative_to(out).as_posix(): file.read_text(encoding="utf-8") for file in out.rglob("*") if file.is_file()
    }
    assert files == committed


def test_rules_alerts_name_one_severity_each_and_a_stable_rule() -> None:
    alerts = [rule for rule in rules_in(compiled(ROOT / "perfloop.yml")) if "alert" in rule]

    assert {alert["labels"]["severity"] for alert in alerts} == {"critical", "warning", "info", "none"}
    assert all(alert["labels"]["rule"] for alert in alerts)
    assert all({"summary", "description", "runbook_url"} <= alert["annotations"].keys() for alert in alerts)
    assert not any("{{" in alert["annotations"]["summary"] for alert in alerts)
