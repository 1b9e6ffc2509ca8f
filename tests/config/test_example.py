"""perfloop.yml of the repository: valid on any machine as it stands, and when its examples are taken in."""

from __future__ import annotations

import re
from pathlib import Path

from perfloop import config
from perfloop.model import Mode

EXAMPLE = Path(__file__).parent.parent.parent / "perfloop.yml"


def test_the_example_names_no_component_that_may_not_be_there_and_does_nothing_by_itself() -> None:
    loaded = config.load(EXAMPLE)

    assert (loaded.components, loaded.policies) == ({}, ())
    assert loaded.web == config.Config().web
    assert loaded.prometheus == config.Config().prometheus


def test_the_examples_in_its_comments_are_valid_and_only_suggest() -> None:
    text = re.sub(r"(?m)^( *)# (?= |[a-z_]+:)", r"\1", EXAMPLE.read_text(encoding="utf-8"))

    loaded = config.parse(text)

    assert set(loaded.components) == {"orders-db", "orders-pool", "session-cache"}
    assert set(loaded.metrics) == {"queue_length"}
    assert [rule.name for rule in loaded.alert_rules] == ["slower_than_before"]
    assert len(loaded.performance_collection.alert_thresholds["cpu_usage"].overrides) == 1
    assert [probe.component for probe in loaded.collectors.application.probes] == ["shop"]
    assert {policy.name: policy.mode for policy in loaded.policies} == {
        "widen-pool": Mode.SUGGEST,
        "grow-cache": Mode.SUGGEST,
    }
