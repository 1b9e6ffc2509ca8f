"""The catalogue and the alerts speak of what is measured, and of nothing else."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from perfloop.collectors import all_families
from perfloop.model import MetricType
from perfloop.rules.catalogue import catalogue, recorded_expression, shipped

ROOT = Path(__file__).parent.parent.parent
# It is the server that names these families; test_databases.py asks one for those that alerts use.
SETTINGS_OF_POSTGRESQL = {
    "perfloop_postgresql_setting_max_wal_size_bytes",
    "perfloop_postgresql_setting_recovery_min_apply_delay_seconds",
    "perfloop_postgresql_setting_superuser_reserved_connections",
    "perfloop_postgresql_setting_wal_keep_size_bytes",
}


@cache
def exported_names() -> set[str]:
    plain = {family.name for family in all_families()} | SETTINGS_OF_POSTGRESQL
    histograms = {family.name for family in all_families() if family.type is MetricType.HISTOGRAM}
    return plain | {f"{name}{ending}" for name in histograms for ending in ("_sum", "_count", "_bucket")}


@cache
def optimizers_names() -> set[str]:
    files = (ROOT / "exporter" / "perfloop").rglob("*.py")
    said = {name for file in files for name in re.findall(r'"(perfloop_optimizer_[a-z_]+)"', file.read_text("utf-8"))}
    return said | {f"{name}_total" for name in said}


def test_rules_use_only_metrics_that_the_services_have() -> None:
    sources = [ROOT / "rules" / "catalogue.yml", *sorted((ROOT / "rules" / "alerts").glob("*.yml"))]
    text = "\n".join(source.read_text(encoding="utf-8") for source in sources)

    used = set(re.findall(r"perfloop_[a-z0-9_]+", text))

    assert used - exported_names() - optimizers_names() == set()


def test_every_entry_says_what_it_is_in_a_sentence() -> None:
    assert all(metric.help[0].isupper() and metric.help.endswith(".") for metric in shipped().values())


def test_a_rate_is_taken_over_the_configured_range_only() -> None:
    for metric in shipped().values():
        assert re.findall(r"\[[^$]", metric.expr) == [], metric.name


def test_the_range_is_written_as_promql_writes_durations() -> None:
    expression = recorded_expression(shipped()["cache_evictions"], range_seconds=90)

    assert expression == "rate(perfloop_redis_evicted_keys_total[90s])"


def test_without_metrics_of_ones_own_the_catalogue_is_the_shipped_one() -> None:
    assert catalogue({}) == shipped()
