"""bench-webhook: how fast a delivery is stored and answered, and how /metrics grows with the store."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from statistics import median

from msgspec.structs import replace

import perfloop
from perfloop.model import (
    Action,
    Alert,
    AlertStatus,
    Change,
    Direction,
    Effect,
    Evaluation,
    Execution,
    Limits,
    Mode,
    Objective,
    Phase,
    Policy,
    Setting,
    State,
    Step,
    Timing,
    Verdict,
)
from perfloop.stack.process import Child, free_port
from perfloop.stack.servers import HOST, http_ready
from perfloop.stores import SqlStore
from tests.bench.probe import Client, CpuMeter, quantile
from tests.bench.report import Measure, Result, alone, growth

DELIVERIES = 400
SENDERS = (1, 8)
ALERTS = 100  # different ones, in turn: the first delivery of each opens an episode, the others repeat it
SIZES = (10, 10_000)
SCRAPE_BLOCKS, SCRAPES = 6, 10
TOKEN = "bench"


def run() -> Result:
    """Measure everything."""
    with tempfile.TemporaryDirectory(prefix="perfloop-bench-") as folder:
        measures = [*_deliveries(Path(folder)), *_scrapes(Path(folder))]
    return Result(
        measures=measures,
        versions={name: version(name) for name in ("litestar", "uvicorn", "SQLAlchemy")}
        | {"perfloop": perfloop.__version__},
        notes=[
            "There is no peer in Debian that stores an alert before it answers, so there is nothing beside ours.",
            f"A delivery is one alert of {ALERTS} different ones in turn; its answer comes after the alert is on disk "
            f"(SQLite, synchronous=FULL). {DELIVERIES} deliveries for each number of "
            "senders, each sender on its own kept connection; senders and optimizer share the cores.",
            f"/metrics is asked of two optimizers in turn, {SCRAPE_BLOCKS * SCRAPES} times each; CPU is the median "
            f"block's. All executions are at their end, of {POLICIES} policies on {COMPONENTS} components.",
        ],
    )


@contextmanager
def _optimizer(folder: Path) -> Iterator[Child]:
    """Run one without policies, so that it answers and counts, and decides nothing of weight."""
    config, port = folder / "perfloop.yml", free_port()
    (folder / "token").write_text(TOKEN, encoding="utf-8")
    config.write_text(
        f"web: {{token: {{file: token}}}}\nstore: {{path: store.db}}\nprometheus: {{url: 'http://{HOST}:1'}}\n",
        encoding="utf-8",
    )
    argv = [sys.executable, "-m", "perfloop", "optimizer", f"--config.file={config}"]
    child = Child(
        "optimizer",
        [*argv, f"--web.listen-address={HOST}:{port}"],
        log=folder / "optimizer.log",
        ready=lambda: http_ready(f"http://{HOST}:{port}/-/ready"),
        address=f"{HOST}:{port}",
    )
    child.start()
    try:
        child.wait_ready()
        yield child
    finally:
        child.stop()


@contextmanager
def _optimizer_with(folder: Path, executions: int) -> Iterator[Child]:
    folder.mkdir()
    _fill(folder / "store.db", executions)
    with _optimizer(folder) as optimizer:
        yield optimizer


def _deliveries(folder: Path) -> Iterator[Measure]:
    for senders in SENDERS:
        place = folder / f"senders-{senders}"
        place.mkdir()
        with _optimizer(place) as optimizer, ThreadPoolExecutor(senders) as pool:
            port = _port(optimizer)
            _send(port, ALERTS, first=0)
            started_at = time.perf_counter()
            share = DELIVERIES // senders
            sent = [pool.submit(_send, port, share, first=share * i) for i in range(senders)]
            seconds = [taken for future in sent for taken in future.result()]
            rate = len(seconds) / (time.perf_counter() - started_at)
        told = f"{senders} sender{'s' if senders > 1 else ''}"
        yield alone(f"delivery answered, p50, {told}", "ms", ours=quantile(seconds, 0.5) * 1e3)
        yield alone(f"delivery answered, p99, {told}", "ms", ours=quantile(seconds, 0.99) * 1e3)
        yield alone(f"time for each delivery, {told} ({rate:.0f} a second)", "ms", ours=1e3 / rate)


def _send(port: int, count: int, *, first: int) -> list[float]:
    """Deliver so many alerts one after another; return how long each answer took. Raises unless all are 202."""
    seconds = []
    headers = (f"Authorization: Bearer {TOKEN}", "Content-Type: application/json")
    with Client(port) as client:
        for number in islice(cycle(range(ALERTS)), first, first + count):
            answer = client.ask("POST", "/api/v1/alerts", *headers, body=_notification(number))
            if answer.status != 202:
                raise RuntimeError(f"a delivery was answered with {answer.status}: {answer.body.decode()}")
            seconds.append(answer.seconds)
    return seconds


def _notification(number: int) -> bytes:
    labels = {"alertname": "PoolWaitHigh", "rule": "pool_wait", "component": f"pool-{number}", "severity": "warning"}
    alert = {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": "Clients wait for a connection.", "description": "pool_wait is 62 ms."},
        "startsAt": "2026-01-01T00:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": f"{number:016x}",
    }
    return json.dumps(
        {
            "version": "4",
            "groupKey": f"{{}}:{{component={number}}}",
            "truncatedAlerts": 0,
            "status": "firing",
            "receiver": "perfloop",
            "groupLabels": {"component": labels["component"]},
            "commonLabels": labels,
            "commonAnnotations": {},
            "externalURL": "http://alertmanager",
            "alerts": [alert],
        }
    ).encode()


def _scrapes(folder: Path) -> Iterator[Measure]:
    """Two optimizers side by side, one with few executions in its store and one with many."""
    with ExitStack() as stack:
        children = [stack.enter_context(_optimizer_with(folder / f"executions-{size}", size)) for size in SIZES]
        meters = [(stack.enter_context(Client(_port(child))), CpuMeter(child.pid)) for child in children]
        costs: list[list[float]] = [[] for _ in SIZES]
        latencies: list[list[float]] = [[] for _ in SIZES]
        for _ in range(SCRAPE_BLOCKS + 1):
            for (client, meter), cost, latency in zip(meters, costs, latencies, strict=True):
                meter.lap_seconds()
                latency += [client.scrape().seconds for _ in range(SCRAPES)]
                cost.append(meter.lap_seconds() / SCRAPES)
    for what, taken, reach in (
        ("CPU per scrape of /metrics", costs, 12.0),
        ("latency p50 of /metrics", latencies, None),
    ):
        few, many = (median(values[1:]) * 1e3 for values in taken)  # the first block warms up
        yield alone(f"{what}, {SIZES[0]} executions", "ms", ours=few)
        told = f"{what}, {SIZES[1]:,} executions (ratio: to {SIZES[0]})"
        yield growth(told, "ms", small=few, large=many, reach=reach)


POLICIES, COMPONENTS = 5, 20


def _fill(path: Path, size: int) -> None:
    """Store so many executions that have come to their end, each with its episode."""
    store = SqlStore(path)
    alerts = [_firing(number) for number in range(size)]
    store.receive(alerts, now=1000.0)
    episodes = store.episodes_due(now=1000.0)
    for number, episode in enumerate(episodes):
        store.begin(_execution(number, episode.id))
    ended = [replace(alert, status=AlertStatus.RESOLVED, ends_at=2000.0) for alert in alerts]
    store.receive(ended, now=2000.0)
    store.close()


def _firing(number: int) -> Alert:
    return Alert(
        fingerprint=f"{number:016x}",
        status=AlertStatus.FIRING,
        labels={"rule": "pool_wait", "component": f"pool-{number}"},
        annotations={},
        starts_at=100.0,
    )


def _execution(number: int, episode_id: int) -> Execution:
    policy = _policy(number % POLICIES)
    component = f"pool-{number % COMPONENTS}"
    at = 1000.0 + 60 * number
    action = Action(
        id=f"{number:012x}", policy=policy.name, executor="database", component=component, parameters=policy.parameters
    )
    effect = Effect(
        metric="pool_wait",
        ratio=0.4,
        lower=0.3,
        upper=0.5,
        before_mean=50.0,
        after_mean=30.0,
        before_samples=40,
        after_samples=20,
        before_effective_samples=20.0,
        after_effective_samples=10.0,
        autocorrelation=0.3,
        alpha=0.0167,
    )
    kept = number % 3 > 0
    verdict = Verdict.EFFECTIVE if kept else Verdict.INEFFECTIVE
    return Execution(
        id=action.id,
        episode_id=episode_id,
        action=action,
        policy=policy,
        state=State.COMPLETED if kept else State.ROLLED_BACK,
        phase=Phase.DONE,
        created_at=at,
        updated_at=at + 50,
        due_at=at,
        changes=(
            Change(target=component, key="default_pool_size", before=Setting(value="2"), after=Setting(value="4")),
        ),
        executed_at=at + 5,
        ended_at=at + 50,
        evaluation=Evaluation(verdict=verdict, reason="of the benchmark", effect=effect),
        reason="of the benchmark",
    )


def _policy(number: int) -> Policy:
    return Policy(
        name=f"policy-{number}",
        matchers=('rule="pool_wait"',),
        executor="database",
        component=None,
        parameters={"connection_pool_size": Step(increase_ratio=1.0, max="40")},
        objective=Objective(metric="pool_wait", direction=Direction.LOWER),
        guards=(),
        mode=Mode.AUTO,
        limits=Limits(),
        timing=Timing(settle_seconds=10.0, sample_seconds=3.0),
    )


def _port(child: Child) -> int:
    return int(child.address.rpartition(":")[2])
