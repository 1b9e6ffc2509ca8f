"""The shipped alerts: each has three tests and a page, and words and PromQL that hold everywhere.

The alerts of rules/alerts/SUBJECT.yml are tested in rules/tests/alerts/SUBJECT.yml, by promtool. A test's name begins
with the alert's name and one of three words; a colon and why may follow:

    - name: 'DiskSlow fires: 0.3 s for 10 minutes'     at least one list in `exp_alerts`, with labels and annotations,
                                                       and each severity of the alert in one of them
    - name: 'DiskSlow stays silent: 0.09 s'            series of a metric that it asks for, and only `exp_alerts: []`
    - name: 'DiskSlow recovers'                        a list in `exp_alerts`, and `exp_alerts: []` at a later time

All checks of such a test are `alert_rule_test` with `alertname: DiskSlow`, at times like 19m37s and never multiples of
15 s. `rule_files` are ../../generated/rules/perfloop-alerts.yml and ../../generated/rules/perfloop-recording.yml. Here
each file runs with only the group `perfloop-SUBJECT` and what it reads of the catalogue, freshly compiled: rules of
others would only cost time. Tests may share series and expectations by YAML anchors.

An alert with two severities says `severity: warning`, `threshold: 5`, `critical: 2`, and has `$threshold` in `expr`.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from perfloop import config
from perfloop.app.compile import compile_all
from perfloop.model import Operator
from perfloop.rules.catalogue import shipped as catalogue
from perfloop.rules.pages import pages
from perfloop.rules.shipped import ShippedAlert, shipped
from perfloop.rules.thresholds import alert_name
from perfloop.stack.process import find_binary
from tests.rules.test_catalogue import exported_names, optimizers_names

ROOT = Path(__file__).parent.parent.parent
TESTS = ROOT / "rules" / "tests" / "alerts"
ALERTS = {name: entry for entries in shipped().values() for name, entry in entries.items()}
SUBJECTS = list(shipped())
SUBJECT_OF = {name: subject for subject, entries in shipped().items() for name in entries}
BOARDS = {"overview", "host", "network", "application", "database", "benchmarks", "exporter"}
# In both Prometheus 2.42 and 3.x, with the same meaning.
FUNCTIONS = {
    *("abs", "changes", "clamp_max", "clamp_min", "delta", "deriv", "histogram_quantile", "increase", "label_replace"),
    *("predict_linear", "rate", "resets", "scalar", "time", "timestamp", "vector"),
    *(f"{word}_over_time" for word in ("avg", "count", "last", "max", "min", "present", "quantile", "sum")),
}
# What Prometheus and Alertmanager say of themselves, in 2.42 and 0.25 and since; and what Prometheus says of scrapes.
OTHERS = {
    *("up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling"),
    "alertmanager_config_last_reload_successful",
    "alertmanager_notifications_failed_total",
    "alertmanager_notifications_total",
    "prometheus_config_last_reload_success_timestamp_seconds",
    "prometheus_config_last_reload_successful",
    "prometheus_notifications_alertmanagers_discovered",
    "prometheus_notifications_dropped_total",
    "prometheus_notifications_errors_total",
    "prometheus_notifications_queue_capacity",
    "prometheus_notifications_queue_length",
    "prometheus_notifications_sent_total",
    "prometheus_rule_evaluation_failures_total",
    "prometheus_rule_group_interval_seconds",
    "prometheus_rule_group_iterations_missed_total",
    "prometheus_rule_group_iterations_total",
    "prometheus_rule_group_last_duration_seconds",
    "prometheus_target_scrapes_sample_duplicate_timestamp_total",
    "prometheus_target_scrapes_sample_out_of_order_total",
    "prometheus_tsdb_compactions_failed_total",
    "prometheus_tsdb_head_truncations_failed_total",
    "prometheus_tsdb_wal_corruptions_total",
    "prometheus_tsdb_wal_writes_failed_total",
}
each_subject = pytest.mark.parametrize("subject", SUBJECTS)
_COMPARISONS = {">", ">=", "<", "<=", "==", "!="}
_ALWAYS = "Watchdog"
# Ten times as fast, where libyaml is there.
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def compiled_groups() -> dict[str, Any]:
    path = ROOT / "perfloop.yml"
    files = compile_all(config.load(path), config_path=path)
    texts = [text for name, text in files.items() if name.startswith("rules/")]
    return {group["name"]: group for text in texts for group in yaml.safe_load(text)["groups"]}


@cache
def recorded_names() -> frozenset[str]:
    return frozenset(
        rule["record"] for group in compiled_groups().values() for rule in group["rules"] if "record" in rule
    )


@cache
def slowly_recorded() -> frozenset[str]:
    """Return what is recorded no more often than a sample is seen: it is away for a moment, each time."""
    groups = compiled_groups().values()
    return frozenset(
        rule["record"]
        for group in groups
        if re.fullmatch(r"(\d+)[hd]|([5-9]|\d\d+)m", group["interval"])
        for rule in group["rules"]
        if "record" in rule
    )


def test_what_is_seldom_recorded_is_read_over_a_range() -> None:
    """An alert that reads it as it is now would begin its `for` anew each time that the next sample is late."""
    bare = {
        (alert, name)
        for alert, entry in ALERTS.items()
        for name in slowly_recorded()
        if re.search(rf"(?<![\w:]){name}(?![\w:])(?:\{{[^}}]*\}})?(?!\{{|\[)", entry.expr)
    }

    assert "analysis:full:seconds" in slowly_recorded()
    assert bare == set()


@cache
def cases_of(subject: str) -> list[dict[str, Any]]:
    file = TESTS / f"{subject}.yml"
    return list(yaml.load(file.read_text(encoding="utf-8"), Loader)["tests"]) if file.exists() else []


def cases_about(name: str, word: str) -> list[dict[str, Any]]:
    """Return the alert's tests that begin with the word; there is one at least."""
    wanted = re.compile(rf"{name} {word}(:.*)?", re.DOTALL)
    found = [test for test in cases_of(SUBJECT_OF[name]) if wanted.fullmatch(test["name"])]
    assert found, f"rules/tests/alerts/{SUBJECT_OF[name]}.yml has no test '{name} {word}'"
    return found


def checks(test: dict[str, Any], name: str) -> list[tuple[int, list[Any]]]:
    """Return what a test expects of the alert, by the second at which it does, in the order of time."""
    found = [check for check in test["alert_rule_test"] if check["alertname"] == name]
    assert len(found) == len(test["alert_rule_test"]), f"{test['name']}: a check of another alert"
    return sorted(((seconds(check["eval_time"]), check["exp_alerts"] or []) for check in found), key=lambda c: c[0])


def seconds(text: str) -> int:
    return int(promql_parser.parse_duration(text).total_seconds())


def nodes(entry: ShippedAlert) -> list[Any]:
    found: list[Any] = []
    promql_parser.walk(promql_parser.parse(plain(entry.expr)), found.append)
    return found


def plain(expression: str) -> str:
    """Return the expression with numbers for the names that the compiler replaces."""
    return re.sub(r"\$\w+", "7", expression.replace("$range", "5m"))


def metrics_of(entry: ShippedAlert) -> set[str]:
    return {node.name for node in nodes(entry) if isinstance(node, promql_parser.VectorSelector) and node.name}


def binaries(entry: ShippedAlert) -> Iterator[Any]:
    return (node for node in nodes(entry) if isinstance(node, promql_parser.BinaryExpr))


# -- tests -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def groups() -> dict[str, Any]:
    return compiled_groups()


@each_subject
def test_the_alerts_of_each_subject_do_what_their_tests_say(
    subject: str, groups: dict[str, Any], tmp_path: Path
) -> None:
    rules, here = tmp_path / "generated" / "rules", tmp_path / "tests" / "alerts"
    rules.mkdir(parents=True)
    here.mkdir(parents=True)
    alerts = yaml.safe_dump({"groups": [groups[f"perfloop-{subject}"]]})
    read = [rule for rule in groups["perfloop-catalogue"]["rules"] if rule["record"] in alerts]
    recorded = {**groups["perfloop-catalogue"], "rules": read}
    (rules / "perfloop-alerts.yml").write_text(alerts)
    (rules / "perfloop-recording.yml").write_text(yaml.safe_dump({"groups": [recorded]}))
    (here / "test.yml").write_text((TESTS / f"{subject}.yml").read_text(encoding="utf-8"), encoding="utf-8")
    argv = [find_binary("promtool"), "test", "rules", "test.yml"]

    done = subprocess.run(argv, cwd=here, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stdout + done.stderr


@each_subject
def test_each_alert_has_a_test_in_which_it_fires(subject: str) -> None:
    for name, entry in shipped()[subject].items():
        found = cases_about(name, "fires")
        expected = [alert for test in found for _, alerts in checks(test, name) for alert in alerts]

        severities = {alert["exp_labels"]["severity"] for alert in expected}
        assert severities == {severity for severity, _ in entry.levels}, f"{name}: a severity is not tested"
        for alert in expected:
            assert {"severity", "rule"} <= alert["exp_labels"].keys(), name
            assert {"summary", "description", "runbook_url"} <= alert["exp_annotations"].keys(), name


@each_subject
def test_each_alert_has_a_test_in_which_it_only_nearly_fires(subject: str) -> None:
    for name in shipped()[subject].keys() - {_ALWAYS}:
        for test in cases_about(name, "stays silent"):
            assert [bool(alerts) for _, alerts in checks(test, name)] == [False] * len(test["alert_rule_test"]), name
            given = {re.split(r"[{\s]", series["series"])[0] for series in test["input_series"]}
            read = metrics_of(ALERTS[name])
            # What is recorded comes from series of other names.
            assert given & read or ":" in "".join(given | read), f"{name}: no series that it asks for"


@each_subject
def test_each_alert_has_a_test_in_which_it_recovers(subject: str) -> None:
    for name in shipped()[subject].keys() - {_ALWAYS}:
        for test in cases_about(name, "recovers"):
            expected = [bool(alerts) for _, alerts in checks(test, name)]
            assert True in expected, name
            assert expected[-1] is False, name


@each_subject
def test_no_test_asks_on_the_grid_where_prometheus_2_and_3_see_other_samples(subject: str) -> None:
    times = [check["eval_time"] for test in cases_of(subject) for check in test.get("alert_rule_test", ())]

    assert times
    assert [time for time in times if seconds(time) % 15 == 0] == []


def test_no_test_is_about_an_alert_that_does_not_exist() -> None:
    said = [test["name"] for subject in SUBJECTS for test in cases_of(subject)]

    assert [name for name in said if not re.match(r"(\w+) (fires|stays silent|recovers)(:|$)", name)] == []
    assert {name.split()[0] for name in said} <= ALERTS.keys()
    assert {file.stem for file in TESTS.glob("*.yml")} <= set(SUBJECTS)


# -- words -------------------------------------------------------------------------------------------------------------


@each_subject
def test_each_alert_says_what_it_is_in_the_same_way(subject: str) -> None:
    for name, entry in shipped()[subject].items():
        severities = [severity for severity, _ in entry.levels]

        assert re.fullmatch(r"([A-Z][a-z0-9]+)+", name)
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", entry.rule), name
        assert set(severities) <= ({"none"} if name == _ALWAYS else {"critical", "warning", "info"}), name
        assert len(severities) == len(set(severities)), name
        assert ("$threshold" in entry.expr) is (len(severities) == 2), name
        assert re.fullmatch(r"[A-Z0-9][^{}$]*\.", entry.summary), entry.summary
        assert entry.description.endswith("."), name
        assert ("{{" in entry.description) is (name != _ALWAYS), f"{name}: a description has the values"
        assert entry.board in BOARDS, name


@each_subject
def test_each_page_has_something_under_every_heading(subject: str) -> None:
    written = pages()
    for name, entry in shipped()[subject].items():
        text = entry.explanation

        assert written[f"{name}.md"].startswith(f"# {name}\n")
        assert text.actions, name
        for part in (text.meaning, text.threshold, text.policy, *text.actions):
            assert re.fullmatch(r"[^\s].*[.?!)]", part.strip(), re.DOTALL), f"{name}: no sentence: {part}"


def test_no_value_stands_in_a_label_as_it_would_make_each_evaluation_another_alert(groups: dict[str, Any]) -> None:
    rules = [rule for group in groups.values() for rule in group["rules"] if "alert" in rule]

    assert [rule["alert"] for rule in rules if "{{" in "".join(rule["labels"].values())] == []


def test_names_and_rules_are_unique_and_none_is_that_of_a_threshold() -> None:
    thresholds = {alert_name(metric, operator) for metric in catalogue() for operator in Operator}
    rules = [entry.rule for entry in ALERTS.values()]

    assert len(ALERTS) == sum(len(entries) for entries in shipped().values())
    assert ALERTS.keys() & thresholds == set()
    assert [rule for rule in rules if rules.count(rule) > 1 or rule in catalogue()] == []


# -- expressions -------------------------------------------------------------------------------------------------------


@each_subject
def test_each_expression_is_the_same_in_prometheus_2_and_3(subject: str) -> None:
    for name, entry in shipped()[subject].items():
        calls = {node.func.name for node in nodes(entry) if isinstance(node, promql_parser.Call)}

        assert calls <= FUNCTIONS, name
        assert not re.search(r'le="\d+"', entry.expr), 'Prometheus 3 writes le="1.0"'


@each_subject
def test_each_expression_asks_only_for_metrics_that_exist(subject: str) -> None:
    for name, entry in shipped()[subject].items():
        raw = {metric for metric in metrics_of(entry) if ":" not in metric}
        recorded = metrics_of(entry) - raw

        assert raw - exported_names() - optimizers_names() - OTHERS == set(), name
        assert recorded <= recorded_names(), name


@each_subject
def test_each_expression_compares_and_never_fires_for_not_a_number(subject: str) -> None:
    for name in shipped()[subject].keys() - {_ALWAYS}:
        operators = {str(node.op) for node in binaries(ALERTS[name])}

        assert operators & (_COMPARISONS | {"unless"}), name
        assert "!=" not in operators, f"{name}: NaN differs from every number"


@each_subject
def test_each_division_is_by_a_number_or_by_what_is_above_zero(subject: str) -> None:
    for entry in shipped()[subject].values():
        for node in binaries(entry):
            if str(node.op) == "/":
                inner = node.rhs.expr if isinstance(node.rhs, promql_parser.ParenExpr) else node.rhs
                guarded = isinstance(inner, promql_parser.BinaryExpr) and str(inner.op) == ">"
                assert guarded or isinstance(inner, promql_parser.NumberLiteral), node.prettify()


@each_subject
def test_each_rate_is_taken_of_a_counter(subject: str) -> None:
    for name, entry in shipped()[subject].items():
        calls = [node for node in nodes(entry) if isinstance(node, promql_parser.Call)]
        rated = [call.args[0].vector_selector.name for call in calls if call.func.name in {"rate", "increase"}]

        assert [m for m in rated if not m.endswith(("_total", "_sum", "_count", "_bucket"))] == [], name
