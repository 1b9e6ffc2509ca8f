"""Service levels: shares of errors over several windows, and alerts that fire, stay silent and end."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from perfloop import config
from perfloop.config.rules import service_levels
from perfloop.rules.groups import Group, Notice, Rule, render
from perfloop.rules.links import Links
from perfloop.rules.slo import ServiceLevel, alerts, recording_groups
from perfloop.stack.process import find_binary

HERE = Path(__file__).parent
DAY = 86400
CHECKOUT = ServiceLevel(
    name="checkout",
    objective_ratio=0.99,
    window_seconds=7 * DAY,
    errors="sum by (service) (rate(test_errors_total[$window]))",
    total="sum by (service) (rate(test_requests_total[$window]))",
    description="Orders go through.",
    notice=Notice(),
)


def rates(rules: tuple[Rule, ...]) -> dict[str, list[str]]:
    """Return the burn rates that each severity's condition asks for."""
    found = {rule.labels["severity"]: re.findall(r"> ([0-9.]+) \*", rule.expr) for rule in rules}
    return {severity: list(dict.fromkeys(numbers)) for severity, numbers in found.items()}


def test_shares_budgets_and_alerts_are_what_was_worked_out_by_hand(tmp_path: Path) -> None:
    groups = recording_groups([CHECKOUT], interval_seconds=90)
    told = Group(name="alerts", interval_seconds=90, rules=alerts(CHECKOUT, links=Links()))
    (tmp_path / "rules.yml").write_text(render([*groups, told]), encoding="utf-8")
    file = shutil.copy(HERE / "service-levels.test.yml", tmp_path)

    argv = [find_binary("promtool"), "test", "rules", file]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stdout + done.stderr


def test_all_seven_windows_are_recorded_and_the_window_itself_from_the_shortest() -> None:
    quick, slow = recording_groups([CHECKOUT], interval_seconds=15)

    assert [rule.record for rule in quick.rules] == [f"slo:error_ratio:rate{w}" for w in ("5m", "30m", "1h")]
    assert [rule.record for rule in slow.rules] == [
        *(f"slo:error_ratio:rate{w}" for w in ("2h", "6h", "1d", "3d")),
        "slo:error_ratio:window",
        "slo:error_budget_remaining:ratio",
    ]
    assert "[7d]" in slow.rules[-2].expr
    # Prometheus forgets a sample after five minutes.
    assert (quick.interval_seconds, slow.interval_seconds) == (15, 120)


@pytest.mark.parametrize(
    ("objective_ratio", "window_days", "expected"),
    [
        pytest.param(0.999, 30, {"critical": ["14.4", "6"], "warning": ["3", "1"]}, id="usual"),
        pytest.param(0.93, 30, {"critical": ["6"], "warning": ["3", "1"]}, id="14.4 times 7 % is more than all"),
        pytest.param(0.5, 30, {"warning": ["1"]}, id="a budget of half can burn only slowly"),
        pytest.param(0.999, 1, {"critical": ["14.4", "6"], "warning": ["3"]}, id="no three days in a day"),
    ],
)
def test_what_cannot_hold_is_not_asked(
    objective_ratio: float, window_days: int, expected: dict[str, list[str]]
) -> None:
    level = replace(CHECKOUT, objective_ratio=objective_ratio, window_seconds=window_days * DAY)

    assert rates(alerts(level, links=Links())) == expected


@pytest.mark.parametrize(
    ("section", "retention_days", "expected_days"),
    [
        pytest.param("", 90, 30, id="30 days, if they are kept"),
        pytest.param("", 15, 15, id="what is kept, if it is less"),
        pytest.param("window_days: 7,", 15, 7, id="as asked"),
    ],
)
def test_the_window_is_no_longer_than_what_is_kept(section: str, retention_days: int, expected_days: int) -> None:
    loaded = config.parse(
        f"""\
performance_collection: {{retention_period: {retention_days * DAY}}}
slos: {{shop: {{objective: 99.9, {section} errors: "sum(rate(e[$window]))", total: "sum(rate(t[$window]))"}}}}
"""
    )

    (level,) = service_levels(loaded)

    assert level.window_seconds == expected_days * DAY


def test_a_budget_is_written_as_people_write_it() -> None:
    level = replace(CHECKOUT, objective_ratio=99.9 / 100, name="check-out_flow")

    critical, warning = alerts(level, links=Links())

    assert critical.alert == warning.alert == "CheckOutFlowErrorBudgetBurn"
    assert "> 14.4 * 0.001 and" in critical.expr
    assert (critical.labels["rule"], critical.labels["slo"]) == ("check-out_flow", "check-out_flow")
