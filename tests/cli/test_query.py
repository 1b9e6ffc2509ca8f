"""`perfloop query` and GET /api/v1/metrics: what was recorded, newest first."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar.testing import TestClient

from perfloop.app.history import RecordedHistory
from perfloop.config import load
from perfloop.prometheus.history import PrometheusHistory
from perfloop.web.api import Api
from perfloop.web.metrics import OptimizerMetrics
from tests.cli.conftest import STEP, Ground
from tests.optimizer.loop import POLICY, Loop

TOKEN = {"authorization": "Bearer s3cret"}


@pytest.mark.parametrize("name", ["cpu_usage", "perfloop:cpu_usage"])
def test_query_shows_the_newest_samples_first(ground: Ground, name: str) -> None:
    end = ground.began_at + 1205

    done = ground.run("query", name, "--from", str(end - 600), "--to", str(end), "--limit", "3", "--output", "json")

    labels = {"instance": "db-1"}
    assert json.loads(done.stdout) == [
        {"at": ground.began_at + 1200, "labels": labels, "value": 50.0},
        {"at": ground.began_at + 1200 - STEP, "labels": labels, "value": 90.0},
        {"at": ground.began_at + 1200 - 2 * STEP, "labels": labels, "value": 90.0},
    ]


def test_query_goes_back_to_the_beginning_and_no_sample_comes_twice(ground: Ground) -> None:
    start, end = ground.began_at, ground.began_at + 3600
    arguments = ["--from", str(start), "--to", str(end), "--limit", "10000", "--output", "json"]

    found = [each["at"] for each in json.loads(ground.run("query", "cpu_usage", *arguments).stdout)]

    assert found == list(range(end, start - 1, -STEP))


def test_query_shows_a_table_for_people(ground: Ground) -> None:
    lines = ground.run("query", "cpu_usage", "--to", str(ground.began_at + 1185), "--limit", "1").stdout.splitlines()

    assert lines[0].split() == ["time", "value", "of"]
    assert lines[1].split()[2:] == ["90", "instance=db-1"]


def test_a_name_that_nothing_is_recorded_under_is_1_with_the_nearest(ground: Ground) -> None:
    done = ground.run("query", "cpu_usge")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "perfloop: nothing is recorded as 'cpu_usge'; did you mean cpu_usage?\n"


# -- over HTTP ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def api(ground: Ground, tmp_path: Path) -> Iterator[TestClient]:
    loop = Loop(tmp_path, POLICY)
    config = load(ground.file)
    history = RecordedHistory(config, client=PrometheusHistory(config.prometheus.url), clock=time.time)
    api = Api(
        store=loop.store,
        steering=loop.controller,
        metrics=OptimizerMetrics(loop.store, last_tick_at=lambda: 0.0),
        token=lambda: "s3cret",
        reload=lambda: None,
        history=lambda: history,
        clock=loop.clock,
    )
    with TestClient(api.build()) as client:
        yield client


def test_the_api_answers_the_same_as_the_command(ground: Ground, api: TestClient) -> None:
    asked = {"name": "cpu_usage", "end": ground.began_at + 1205, "limit": 2}

    answer = api.get("/api/v1/metrics", params=asked, headers=TOKEN)
    told = ground.run("query", "cpu_usage", "--to", str(asked["end"]), "--limit", "2", "--output", "json").stdout

    assert answer.status_code == 200
    assert answer.json() == json.loads(told)
    assert len(answer.json()) == 2


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        pytest.param("name=cpu_usge", 404, "did you mean cpu_usage?", id="an unknown name"),
        pytest.param("name=cpu_usage&start=20&end=10", 422, "begins at 20 and ends before, at 10", id="backwards"),
        pytest.param("name=cpu_usage&limit=0", 400, "", id="no samples"),
        pytest.param("", 400, "", id="no name"),
    ],
)
def test_the_api_says_what_is_wrong_with_a_question(api: TestClient, query: str, status: int, says: str) -> None:
    answer = api.get(f"/api/v1/metrics?{query}", headers=TOKEN)

    assert answer.status_code == status
    assert says in answer.json()["detail"]


def test_the_api_asks_for_the_token_and_is_in_the_openapi_document(api: TestClient) -> None:
    document = api.get("/schema/openapi.json").json()

    assert api.get("/api/v1/metrics?name=cpu_usage").status_code == 401
    parameters = {each["name"] for each in document["paths"]["/api/v1/metrics"]["get"]["parameters"]}
    assert parameters == {"name", "start", "end", "limit"}
