"""The optimizer's HTTP API over a real store and controller, as Alertmanager and people use it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from perfloop.errors import ConfigInvalid, Unavailable
from perfloop.model import Mode
from perfloop.web.api import MAX_BODY_BYTES, Api
from perfloop.web.metrics import OptimizerMetrics
from tests.optimizer.loop import POLICY, POOL, Loop

TOKEN = {"authorization": "Bearer s3cret"}


class House:
    """The API, its loop, and a reload that can be told to fail."""

    def __init__(self, folder: Path) -> None:
        self.loop = Loop(folder, replace(POLICY, mode=Mode.APPROVE))
        self.reload_problems: list[str] = []
        metrics = OptimizerMetrics(self.loop.store, last_tick_at=lambda: self.loop.controller.last_tick_at)
        api = Api(
            store=self.loop.store,
            steering=self.loop.controller,
            metrics=metrics,
            token=lambda: "s3cret",
            reload=self._reload,
            clock=self.loop.clock,
        )
        self.client = TestClient(api.build())

    def _reload(self) -> None:
        if self.reload_problems:
            raise ConfigInvalid(self.reload_problems)

    def post(self, path: str, **options: Any) -> Any:
        return self.client.post(path, **{"headers": TOKEN, **options})

    def get(self, path: str) -> Any:
        return self.client.get(path, headers=TOKEN)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    with made.client:
        yield made


def notification(**changes: Any) -> dict[str, Any]:
    """What Alertmanager 0.25 posts for one firing alert."""
    alert = {
        "status": "firing",
        "labels": {"alertname": "PoolWaitHigh", "rule": "pool_wait", "component": POOL, "severity": "warning"},
        "annotations": {"summary": "Clients wait."},
        "startsAt": "2026-11-21T20:00:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "0123456789abcdef",
    }
    return {
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "perfloop",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "alerts": [alert],
        **changes,
    }


def test_a_notification_is_stored_before_it_is_acknowledged(house: House) -> None:
    answer = house.post("/api/v1/alerts", json=notification())

    assert answer.status_code == 202
    assert answer.json() == {"opened": 1, "repeated": 0, "resolved": 0, "late": 0}
    assert [episode.component for episode in house.loop.store.episodes_due(now=house.loop.clock())] == [POOL]


def test_the_status_of_the_group_does_not_count(house: House) -> None:
    body = notification(status="firing")
    house.post("/api/v1/alerts", json=body)
    body["alerts"][0] |= {"status": "resolved", "endsAt": "2026-11-21T20:05:00Z"}

    answer = house.post("/api/v1/alerts", json=body)

    assert answer.json()["resolved"] == 1
    assert house.loop.store.episodes_due(now=house.loop.clock()) == []


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic s3cret"}, {"authorization": "Bearer"}]
)
@pytest.mark.parametrize("path", ["/api/v1/alerts", "/api/v1/pause", "/-/reload"])
def test_without_the_token_nothing_is_done(house: House, path: str, headers: dict[str, str]) -> None:
    answer = house.client.post(path, headers=headers, json=notification())

    assert answer.status_code == 401
    assert house.loop.store.episodes_due(now=house.loop.clock()) == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(b"{", "not a payload", id="no JSON"),
        pytest.param(b"\xff\xfe", "not a payload", id="no UTF-8"),
        pytest.param(b"[]", "not a payload", id="a list"),
        pytest.param(json.dumps(notification(version="5")).encode(), "has version '5', expected '4'", id="version"),
        pytest.param(json.dumps(notification(alerts=[{}])).encode(), "$.alerts[0]", id="an empty alert"),
        pytest.param(json.dumps({"alerts": []}).encode(), "version", id="a custom payload"),
    ],
)
def test_what_can_never_succeed_is_422_with_the_place(house: House, body: bytes, says: str) -> None:
    answer = house.post("/api/v1/alerts", content=body)

    assert answer.status_code == 422
    assert says in answer.json()["detail"]


def test_a_body_above_one_mebibyte_is_413(house: House) -> None:
    answer = house.post("/api/v1/alerts", content=b" " * (MAX_BODY_BYTES + 1))

    assert answer.status_code == 413


def test_a_store_that_cannot_write_is_503_so_that_alertmanager_tries_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise Unavailable("the store cannot be used: database or disk is full")

    monkeypatch.setattr(house.loop.store, "receive", full)

    answer = house.post("/api/v1/alerts", json=notification())

    assert answer.status_code == 503


def test_an_unforeseen_error_is_logged_and_counted(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(house.loop.store, "receive", broken)

    answer = house.post("/api/v1/alerts", json=notification())

    assert (answer.status_code, "ZeroDivisionError" in caplog.text) == (500, True)
    assert _metrics(house)["perfloop_optimizer_deliveries_refused_total{status=500}"] == 1.0


def test_actions_can_be_seen_and_steered(house: House) -> None:
    house.post("/api/v1/alerts", json=notification())
    house.loop.controller.tick()
    (listed,) = house.get("/api/v1/actions").json()

    approved = house.post(f"/api/v1/actions/{listed['id']}/approve")
    again = house.post(f"/api/v1/actions/{listed['id']}/approve")
    house.loop.run(100)
    shown = house.get(f"/api/v1/actions/{listed['id']}").json()

    assert (listed["phase"], approved.json()["phase"]) == ("awaiting_approval", "planned")
    assert again.status_code == 409
    assert shown["execution"]["state"] == "completed"
    assert "approved by hand" in [entry["text"] for entry in shown["log"]]


def test_an_unknown_action_is_404(house: House) -> None:
    assert house.get("/api/v1/actions/nothing").status_code == 404


def test_a_pause_is_seen_in_status_and_metrics(house: House) -> None:
    house.post("/api/v1/pause", json={"reason": "migration"})

    assert house.get("/api/v1/status").json()["paused"] == "migration"
    assert _metrics(house)["perfloop_optimizer_paused"] == 1.0
    house.post("/api/v1/resume")
    assert house.get("/api/v1/status").json()["paused"] is None


def test_the_own_metrics_count_what_is_in_the_store(house: House) -> None:
    house.loop.policies = (POLICY,)
    house.loop.controller.reconfigure(house.loop.parts())
    house.post("/api/v1/alerts", json=notification())
    house.loop.run(100)

    found = _metrics(house)

    assert found["perfloop_optimizer_executions{state=completed}"] == 1.0
    assert found["perfloop_optimizer_decisions_total{outcome=act,policy=pool-too-small}"] == 1.0
    verdict = "perfloop_optimizer_verdicts_total{executor=database,grade=D,policy=pool-too-small,verdict=effective}"
    assert found[verdict] == 1.0
    assert found["perfloop_optimizer_alerts_received_total{result=opened}"] == 1.0


def test_a_broken_reload_says_every_mistake(house: House) -> None:
    house.reload_problems = ["perfloop.yml:3: web.tokn: unknown key; did you mean token?"]

    answer = house.post("/-/reload")

    assert answer.status_code == 422
    assert answer.json()["detail"] == house.reload_problems[0]


def test_the_openapi_document_describes_every_call(house: House) -> None:
    document = house.client.get("/schema/openapi.json").json()

    assert set(document["paths"]) >= {
        "/api/v1/alerts",
        "/api/v1/actions",
        "/api/v1/actions/{action_id}",
        "/api/v1/actions/{action_id}/approve",
        "/api/v1/pause",
    }


@pytest.mark.parametrize("path", ["/", "/-/healthy", "/-/ready", "/metrics"])
def test_operation_needs_no_token(house: House, path: str) -> None:
    assert house.client.get(path).status_code == 200


def _metrics(house: House) -> dict[str, float]:
    text = house.client.get("/metrics").text
    return {
        sample.name + _labels(sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _labels(labels: dict[str, str]) -> str:
    inner = ",".join(f"{name}={labels[name]}" for name in sorted(labels))
    return f"{{{inner}}}" if inner else ""
