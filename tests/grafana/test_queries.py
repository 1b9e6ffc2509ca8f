"""Every query of every board finds something in a real Prometheus that holds ten minutes of made-up series."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from perfloop.rules.catalogue import catalogue
from perfloop.stack import servers
from perfloop.stack.process import find_binary, free_port
from tests.grafana.boards import BOARDS, Query, load, queries

STEP_SECONDS = 15
STEPS = 40
MEASURED = 'job="perfloop",instance="127.0.0.1:9847",component="shop",mountpoint="/",device="vda1"'
# Series by their labels; the made-up value rises by one with every step.
OPTIMIZER = {
    "perfloop_optimizer_decisions_total": 'outcome="act",policy="pool"',
    "perfloop_optimizer_effect_ratio": 'policy="pool",component="shop"',
    "perfloop_optimizer_execution_changed_timestamp_seconds": 'policy="pool",component="shop"',
    "perfloop_optimizer_executions": 'state="running"',
    "perfloop_optimizer_last_success_timestamp_seconds": 'what="evaluation"',
    "perfloop_optimizer_paused": "",
    "perfloop_optimizer_rollbacks_total": 'policy="pool"',
    "perfloop_optimizer_verdicts_total": 'policy="pool",executor="database",verdict="effective",grade="D"',
}
ALERTS = {
    f'ALERTS{{alertname="CpuUsage",alertstate="firing",severity="{severity}",component="shop"}}'
    for severity in ("warning", "critical")
}

QUERIES = [(path.stem, query) for path in BOARDS for query in queries(load(path))]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prometheus that scrapes nothing and has the made-up series."""
    folder = tmp_path_factory.mktemp("boards")
    _backfill(folder)
    config = folder / "prometheus.yml"
    config.write_text("scrape_configs: []\n", encoding="utf-8")
    child = servers.prometheus(folder, config=config, port=free_port())
    child.start()
    child.wait_ready()
    yield child.address
    child.stop()


@pytest.mark.parametrize(("board", "query"), QUERIES, ids=[f"{board}-{query.title}" for board, query in QUERIES])
def test_a_query_of_a_board_finds_data(prometheus: str, board: str, query: Query):
    answer = requests.get(f"{prometheus}/api/v1/query", params={"query": query.promql}, timeout=10).json()

    assert answer["status"] == "success", answer.get("error")
    assert answer["data"]["result"], f"{board}: {query.title} would be empty"


def _backfill(folder: Path) -> None:
    series = [f"{metric.series}{{{MEASURED}}}" for metric in catalogue({}).values()]
    series += [f"{name}{{{labels}}}" for name, labels in OPTIMIZER.items()]
    series += [f"up{{{MEASURED}}}", *ALERTS]
    start = time.time() - STEPS * STEP_SECONDS
    samples = [f"{one} {step} {start + step * STEP_SECONDS:.3f}" for one in series for step in range(STEPS + 1)]
    source = folder / "samples.txt"
    source.write_text("\n".join([*samples, "# EOF", ""]), encoding="utf-8")
    argv = [
        find_binary("promtool"),
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        str(source),
        str(folder / "prometheus"),
    ]
    subprocess.run(argv, check=True, capture_output=True)
