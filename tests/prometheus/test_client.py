"""The client against a real Prometheus: backfilled, frozen, gone; and against servers that only look like one."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from perfloop.errors import ActionRefused, Rejected, Unavailable
from perfloop.model import (
    CatalogueMetric,
    Direction,
    Limits,
    Mode,
    Objective,
    Policy,
    RuleState,
    Step,
    Timing,
    Verdict,
)
from perfloop.optimizer.evaluator import PrometheusEvaluator
from perfloop.prometheus.client import ActiveAlert, PrometheusClient
from perfloop.stack import servers
from perfloop.stack.process import Child, find_binary, free_port
from tests.support import eventually, freeze

STEP = 15
TIMEOUT_SECONDS = 1.0
CONFIG = """
global: {evaluation_interval: 1s}
rule_files: [rules.yml]
"""
RULES = """
groups:
  - name: firing
    rules:
      - alert: AlwaysFiring
        expr: vector(1) > 0
        labels: {component: pool}
  - name: kept
    rules:
      - {alert: Ends, expr: vector(time()) < $UNTIL, keep_firing_for: 1h, labels: {rule: ends, component: pool}}
      - {alert: Ends, expr: vector(time()) < $UNTIL, keep_firing_for: 1h, labels: {rule: ends_once, component: pool}}
      - {alert: Holds, expr: vector(1), labels: {rule: ends_once, component: pool, severity: warning}}
"""
CONDITION_SECONDS = 5


def history(end: int) -> str:
    """Return an hour of samples: a series that goes on, one that stopped 100 s ago, two of one component, and gaps."""
    series: dict[str, Callable[[int], object]] = {
        'perfloop:pool_wait{component="pool"}': lambda at: 48 + at % 4 if at < end - 1800 else 3 + at % 2,
        'perfloop:query_time{component="stopped"}': lambda at: 7 if at <= end - 100 else None,
        'perfloop:query_time{component="two",instance="a"}': lambda _: 10,
        'perfloop:query_time{component="two",instance="b"}': lambda _: 30,
        'perfloop:error_rate{component="nan"}': lambda at: "NaN" if at % 60 else 5,
    }
    lines = ["# TYPE perfloop:pool_wait gauge", "# TYPE perfloop:query_time gauge", "# TYPE perfloop:error_rate gauge"]
    for name, value in series.items():
        found = ((value(at), at) for at in range(end - 3600, end + 1, STEP))
        lines += [f"{name} {number} {at}" for number, at in found if number is not None]
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def now() -> int:
    return int(time.time()) // 60 * 60


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, now: int) -> Iterator[Child]:
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "prometheus.yml").write_text(CONFIG)
    (folder / "rules.yml").write_text(RULES.replace("$UNTIL", str(time.time() + CONDITION_SECONDS)))
    backfill(folder, history(now))
    child = servers.prometheus(folder, config=folder / "prometheus.yml", port=free_port())
    child.start()
    child.wait_ready()
    yield child
    child.stop()


def backfill(folder: Path, openmetrics: str) -> None:
    (folder / "history.txt").write_text(openmetrics)
    subprocess.run(
        [find_binary("promtool"), "tsdb", "create-blocks-from", "openmetrics", "history.txt", "prometheus"],
        cwd=folder,
        check=True,
        capture_output=True,
    )


@pytest.fixture
def client(prometheus: Child) -> PrometheusClient:
    return PrometheusClient(prometheus.address, timeout_seconds=TIMEOUT_SECONDS)


# -- questions ---------------------------------------------------------------------------------------------------------


def test_a_range_gives_the_samples_of_one_series_oldest_first(client: PrometheusClient, now: int) -> None:
    found = client.query_range('perfloop:pool_wait{component="pool"}', start=now - 60, end=now, step_seconds=STEP)

    assert [sample.at for sample in found] == [now - 60, now - 45, now - 30, now - 15, now]
    assert {sample.value for sample in found} <= {3, 4}


def test_a_series_that_is_not_there_has_no_samples(client: PrometheusClient, now: int) -> None:
    assert client.query_range("perfloop:nothing", start=now - 60, end=now, step_seconds=STEP) == []
    assert client.query("perfloop:nothing") == []


def test_a_window_that_ends_before_it_begins_is_empty(client: PrometheusClient, now: int) -> None:
    assert client.query_range("up", start=now, end=now - 60, step_seconds=STEP) == []


def test_several_series_are_refused_because_nobody_said_which(client: PrometheusClient, now: int) -> None:
    with pytest.raises(Rejected, match=r"perfloop:query_time selects 3 series, expected 1"):
        client.query_range("perfloop:query_time", start=now - 300, end=now - 200, step_seconds=STEP)


def test_what_is_no_number_is_left_out(client: PrometheusClient, now: int) -> None:
    found = client.query_range('perfloop:error_rate{component="nan"}', start=now - 240, end=now, step_seconds=STEP)
    infinite = client.query_range("vector(1) / 0", start=now - 240, end=now, step_seconds=STEP)

    assert [(sample.at, sample.value) for sample in found] == [(now - 60 * n, 5.0) for n in (4, 3, 2, 1, 0)]
    assert infinite == []


def test_an_instant_query_gives_labels_and_values(client: PrometheusClient, now: int) -> None:
    found = client.query('perfloop:query_time{component="two"}', at=now)

    assert {(series.labels["instance"], series.sample.value) for series in found} == {("a", 10.0), ("b", 30.0)}


def test_a_mistake_in_the_query_is_told_in_the_words_of_prometheus(client: PrometheusClient, now: int) -> None:
    with pytest.raises(Rejected, match="parse error: unclosed left parenthesis"):
        client.query("sum(")
    with pytest.raises(Rejected, match="exceeded maximum resolution of 11,000 points"):
        client.query_range("up", start=0, end=now, step_seconds=1)


def test_firing_alerts_are_listed(client: PrometheusClient) -> None:
    def named() -> list[ActiveAlert]:
        return [alert for alert in client.alerts() if alert.labels["alertname"] == "AlwaysFiring"]

    (alert,) = eventually(named, what="the alert")

    assert (alert.labels["component"], alert.state) == ("pool", "firing")


def test_an_alert_whose_condition_has_ended_is_told_from_one_that_holds(client: PrometheusClient) -> None:
    pool = frozenset({"pool"})

    def ended() -> Mapping[str, RuleState] | None:
        states = client.rule_states()
        return states if "ends" in states and states["ends"].kept else None

    states = eventually(ended, what="the end of the condition")

    assert (states["ends"].components, states["ends"].kept) == (pool, pool)
    assert (states["ends_once"].components, states["ends_once"].kept) == (pool, frozenset())


# -- no answer ---------------------------------------------------------------------------------------------------------


def test_a_frozen_prometheus_is_unavailable_in_bounded_time_and_answers_again_afterwards(
    prometheus: Child, client: PrometheusClient
) -> None:
    freeze(prometheus.pid)
    try:
        began_at = time.monotonic()
        with pytest.raises(Unavailable, match="gave no answer in 1 s"):
            client.query("up")
        assert time.monotonic() - began_at < 3 * TIMEOUT_SECONDS
        assert not client.ready()
    finally:
        prometheus.send(signal.SIGCONT)

    assert eventually(client.ready)
    assert client.query("up") == []


def test_a_prometheus_that_is_gone_is_unavailable() -> None:
    client = PrometheusClient(f"http://127.0.0.1:{free_port()}")

    assert not client.ready()
    with pytest.raises(Unavailable, match=r"does not answer: .*Connection refused"):
        client.query("up")


Respond = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def impostor() -> Iterator[Callable[[Respond], str]]:
    """Start HTTP servers that answer every request as they are told."""
    running: list[ThreadingHTTPServer] = []

    def start(respond: Respond) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                respond(self)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        running.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def answer(status: int, body: bytes) -> Respond:
    def respond(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return respond


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        pytest.param(
            503, b'{"status":"error","errorType":"timeout","error":"query timed out"}', Unavailable, "query timed out"
        ),
        pytest.param(502, b"<html>bad gateway</html>", Unavailable, "answers 502: <html>bad gateway"),
        pytest.param(429, b"slow down", Unavailable, "slow down"),
        pytest.param(404, b"404 page not found", Rejected, "refuses up: 404 page not found"),
        pytest.param(401, b"", Rejected, "refuses up: nothing"),
        pytest.param(200, b"<html>Grafana</html>", Rejected, "does not answer as the Prometheus API does"),
        pytest.param(200, b'{"status":"success","data":{"resultType":"string"}}', Rejected, "does not answer as"),
    ],
)
def test_other_answers_are_told_apart_by_whether_trying_again_helps(
    impostor: Callable[[Respond], str], status: int, body: bytes, error: type[Exception], words: str
) -> None:
    client = PrometheusClient(impostor(answer(status, body)))

    with pytest.raises(error, match=words):
        client.query("up")


def test_an_answer_that_drips_ends_at_the_deadline(impostor: Callable[[Respond], str]) -> None:
    stop = threading.Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while not stop.wait(0.05):
            try:
                request.wfile.write(b" ")
            except OSError:
                return

    client = PrometheusClient(impostor(drip), timeout_seconds=0.5)
    began_at = time.monotonic()

    with pytest.raises(Unavailable):
        client.query("up")

    stop.set()
    assert time.monotonic() - began_at < 3


# -- the evaluator on top of it ----------------------------------------------------------------------------------------


def policy(metric: str) -> Policy:
    return Policy(
        name="widen-pool",
        matchers=("rule=pool_wait",),
        executor="database",
        component="pool",
        parameters={"pool_size": Step(increase_ratio=0.5)},
        objective=Objective(metric=metric, direction=Direction.LOWER),
        guards=(),
        mode=Mode.AUTO,
        limits=Limits(),
        timing=Timing(settle_seconds=60, sample_seconds=STEP),
    )


@pytest.fixture
def evaluator(client: PrometheusClient) -> PrometheusEvaluator:
    catalogue = {
        name: CatalogueMetric(
            name=name, expr="x", unit="milliseconds", direction=Direction.LOWER, help="", across="avg"
        )
        for name in ("pool_wait", "query_time")
    }
    return PrometheusEvaluator(client, catalogue=catalogue)


def test_the_effect_of_a_change_is_read_from_prometheus(evaluator: PrometheusEvaluator, now: int) -> None:
    executed_at = now - 1800
    baseline = evaluator.baseline(policy("pool_wait"), "pool", now=executed_at - 1)

    evaluation = evaluator.evaluate(policy("pool_wait"), "pool", baseline, executed_at=executed_at, now=now)

    assert (evaluation.verdict, evaluation.final) == (Verdict.EFFECTIVE, True)
    assert evaluation.effect is not None
    assert evaluation.effect.ratio == pytest.approx(0.93, abs=0.02)


def test_a_series_that_stopped_is_stale_though_prometheus_repeats_it_for_five_minutes(
    client: PrometheusClient, evaluator: PrometheusEvaluator, now: int
) -> None:
    repeated = client.query_range(
        'perfloop:query_time{component="stopped"}', start=now - 600, end=now, step_seconds=STEP
    )

    assert repeated[-1].at == now
    with pytest.raises(ActionRefused, match=r"query_time of stopped: newest sample is 1\d\d s old, at most 30 s"):
        evaluator.baseline(policy("query_time"), "stopped", now=now)


def test_the_series_of_one_component_are_joined(evaluator: PrometheusEvaluator, now: int) -> None:
    baseline = evaluator.baseline(policy("query_time"), "two", now=now)

    assert {sample.value for sample in baseline.samples["query_time"]} == {20.0}
    assert len(baseline.samples["query_time"]) == 40


def test_a_component_with_odd_characters_in_its_name_is_only_not_found(
    evaluator: PrometheusEvaluator, now: int
) -> None:
    with pytest.raises(ActionRefused, match="has no samples for component"):
        evaluator.baseline(policy("pool_wait"), 'x"} or perfloop:pool_wait{component=~"\\.*\n', now=now)
