"""The webhook of GitHub channels: what Alertmanager is answered, what is counted, and that storing never waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from litestar.testing import TestClient

from perfloop.notifiers.github_issue import GitHubIssue
from perfloop.testing import FakeClock
from perfloop.web.api import Api
from perfloop.web.metrics import OptimizerMetrics
from perfloop.web.notify import MOST_AT_ONCE, REASONS
from tests.notifiers.github import REPOSITORY, TOKEN, GitHub, answers, hangs
from tests.optimizer.loop import POLICY, Loop
from tests.support import eventually
from tests.web.serving import serving
from tests.web.test_api import notification

BEARER = {"authorization": "Bearer s3cret"}
PATH = "/api/v1/alerts/github/issues"


class Office:
    """The API with one GitHub channel, `issues`, before a GitHub of the test."""

    def __init__(self, folder: Path, github: GitHub, *, token: str = TOKEN) -> None:
        self.loop, self.github = Loop(folder, POLICY), github
        self.metrics = OptimizerMetrics(self.loop.store, last_tick_at=lambda: 0.0)
        self.metrics.expect_notifications("issues")
        issues = GitHubIssue(
            REPOSITORY,
            token=token,
            api_url=github.url,
            cooldown_seconds=3600,
            clock=github.clock,
            deadline_seconds=0.5,
        )
        api = Api(
            store=self.loop.store,
            steering=self.loop.controller,
            metrics=self.metrics,
            token=lambda: "s3cret",
            reload=lambda: None,
            notifiers=lambda: {"issues": issues},
            clock=self.loop.clock,
        )
        self.app = api.build()
        self.client = TestClient(self.app)

    def post(self, path: str = PATH, *, headers: dict[str, str] = BEARER, **options: Any) -> Any:
        return self.client.post(path, headers=headers, **(options or {"json": notification(groupLabels={"a": "b"})}))

    def counted(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            f"perfloop_optimizer_notifications{name}_total", {"channel": "issues", **labels}
        )


@pytest.fixture
def github() -> Iterator[GitHub]:
    with GitHub(FakeClock()) as server:
        yield server


@pytest.fixture
def office(tmp_path: Path, github: GitHub) -> Iterator[Office]:
    made = Office(tmp_path, github)
    with made.client:
        yield made


def test_a_notification_is_told_before_it_is_acknowledged(office: Office) -> None:
    answer = office.post()

    assert (answer.status_code, answer.json()) == (200, {"done": "opened"})
    assert len(office.github.issues) == 1
    assert (office.counted(""), office.counted("_failed", reason="unavailable")) == (1.0, 0.0)


def test_the_same_payload_twice_is_told_once(office: Office) -> None:
    office.post()

    assert office.post().json() == {"done": "unchanged"}


def test_an_unknown_channel_is_404(office: Office) -> None:
    answer = office.post("/api/v1/alerts/github/elsewhere")

    assert answer.status_code == 404
    assert answer.json()["detail"] == "there is no GitHub channel 'elsewhere' in perfloop.yml"


def test_without_the_optimizers_token_nothing_is_told(office: Office) -> None:
    answer = office.post(headers={})

    assert (answer.status_code, office.github.requests) == (401, [])


def test_what_is_no_payload_is_422_and_counted(office: Office) -> None:
    answer = office.post(content=b"{}")

    assert (answer.status_code, office.counted("_failed", reason="rejected")) == (422, 1.0)


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        pytest.param(answers(500), 503, "unavailable", id="500"),
        pytest.param(hangs, 503, "unavailable", id="hung"),
        pytest.param(answers(403, retry_after="60"), 503, "throttled", id="rate limit"),
        pytest.param(answers(401), 422, "unauthorized", id="401"),
        pytest.param(answers(404), 422, "rejected", id="404"),
    ],
)
def test_what_may_pass_is_503_and_what_a_person_must_mend_is_422(
    office: Office, fault: Any, status: int, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    office.github.read_faults.append(fault)

    answer = office.post()

    assert (answer.status_code, office.counted("_failed", reason=reason)) == (status, 1.0)
    assert [record.message for record in caplog.records if record.name == "perfloop.web.notify"] == [
        "notification failed"
    ]
    assert TOKEN not in caplog.text + answer.text


def test_while_github_hangs_alerts_are_stored_and_more_notifications_are_put_off_at_once(office: Office) -> None:
    office.github.read_faults.extend([hangs] * 50)
    with serving(office.app) as address, ThreadPoolExecutor(50) as pool:
        url = f"http://{address}"
        waiting = [pool.submit(_post, url + PATH) for _ in range(50)]
        eventually(lambda: sum(each.done() for each in waiting) == 50 - MOST_AT_ONCE, what="the refusals")
        stored = _post(url + "/api/v1/alerts")
        still_waiting = sum(not each.done() for each in waiting)
        statuses = {each.result() for each in waiting}

    assert (stored, still_waiting, statuses) == (202, MOST_AT_ONCE, {503})


def _post(url: str) -> int:
    return requests.post(url, headers=BEARER, json=notification(), timeout=10).status_code


def test_every_reason_is_counted_from_zero(office: Office) -> None:
    assert {reason: office.counted("_failed", reason=reason) for reason in REASONS.values()} == dict.fromkeys(
        REASONS.values(), 0.0
    )


def test_the_openapi_document_describes_it(office: Office) -> None:
    document = office.client.get("/schema/openapi.json").json()

    described = document["paths"]["/api/v1/alerts/github/{channel}"]["post"]
    assert described["description"].startswith("Open, comment, close or reopen the GitHub issue")
    assert {parameter["name"] for parameter in described["parameters"]} == {"channel"}


def test_threads_of_one_channel_speak_in_turn(office: Office) -> None:
    busy, most = [0], [0]
    lock = threading.Lock()

    def note(change: int) -> None:
        with lock:
            busy[0] += change
            most[0] = max(most[0], busy[0])

    def slow(_: GitHub) -> None:
        note(+1)
        time.sleep(0.02)
        note(-1)

    office.github.read_faults.extend([slow] * 100)
    with ThreadPoolExecutor(5) as pool:
        done = [pool.submit(office.post).result().json()["done"] for _ in range(5)]

    assert (sorted(done), most[0]) == (["opened", *["unchanged"] * 4], 1)
