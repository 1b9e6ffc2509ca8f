"""What docs/how-to.md says of alerts is what compile makes of its snippets."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from perfloop import config
from perfloop.app.compile import compile_all
from perfloop.rules.lint import lint

PAGE = Path(__file__).parent.parent / "docs" / "how-to.md"


@cache
def usual() -> dict[str, Any]:
    """Return what an empty perfloop.yml becomes."""
    files = compile_all(config.Config(), config_path=PAGE.with_name("perfloop.yml"))
    return {name: yaml.safe_load(text) for name, text in files.items()}


def compiled(title: str) -> dict[str, Any]:
    """Return what the first snippet of a section becomes, each file read; promtool and amtool must find nothing."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    snippet = re.search(r"(?ms)^```yaml\n(.*?)^```$", section)
    assert snippet, f"no snippet in {title}"
    files = compile_all(config.parse(snippet[1]), config_path=PAGE.with_name("perfloop.yml"))
    assert lint(files).findings == ()
    return {name: yaml.safe_load(text) for name, text in files.items()}


def alerts(files: dict[str, Any], name: str) -> list[dict[str, Any]]:
    groups = files["rules/perfloop-alerts.yml"]["groups"]
    return [rule for group in groups for rule in group["rules"] if rule["alert"] == name]


def told(files: dict[str, Any], rule: str) -> dict[str, str]:
    """Return who is told of a rule besides the optimizer, with the time between repetitions."""
    routes = files["alertmanager.yml"]["route"]["routes"][1:]
    return {each["receiver"]: each["repeat_interval"] for each in routes if re.search(rf'["|]{rule}["|]', str(each))}


def test_the_example_of_channels_tells_whom_it_says() -> None:
    files = compiled("Tell people: e-mail, Slack, webhooks, GitHub")

    assert told(files, "cpu_usage") == told(files, "exporter_down") == {"ops-chat": "1h"}
    assert told(files, "disk_usage") == {"bugs": "4h", "ops-mail": "4h"}
    assert told(files, "watchdog") == {"pager": "5m"}
    assert {rule["keep_firing_for"] for rule in alerts(files, "DiskUsageHigh")} == {"4h"}


def test_an_alert_that_is_turned_off_is_not_compiled() -> None:
    assert alerts(compiled("Turn one alert off"), "ExporterCollectorFailed") == []
    assert alerts(usual(), "ExporterCollectorFailed") != []


def test_what_an_override_says_is_different_and_the_rest_stays() -> None:
    files = compiled("Change a shipped alert")

    (down,), (down_before,) = alerts(files, "ExporterDown"), alerts(usual(), "ExporterDown")
    assert down == down_before | {"for": "5m", "keep_firing_for": "30m"}
    assert told(files, "exporter_down") == {"ops-mail": "30m"}
    (failed,), (failed_before,) = alerts(files, "ExporterCollectorFailed"), alerts(usual(), "ExporterCollectorFailed")
    assert failed["expr"] == 'perfloop_exporter_collector_success{collector!="redis"} == 0'
    assert failed["labels"] == failed_before["labels"] | {"severity": "critical"}
    assert {key: failed[key] for key in ("for", "annotations")} == {
        key: failed_before[key] for key in ("for", "annotations")
    }
