"""A metric that comes and goes: Prometheus and Alertmanager tell people of it once in a cooldown.

Two alerts watch it. One is as it is compiled; the other has lost its keep_firing_for, and shows what the same routes do
without: the test would notice if nothing flapped, or if everything were held back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from perfloop.model import CatalogueMetric, Direction, Operator
from perfloop.rules import shipped
from perfloop.rules.channels import Webhook
from perfloop.rules.compile import ALERTS_FILE, RuleInputs, compile_rules
from perfloop.rules.groups import Notice
from perfloop.rules.thresholds import Threshold
from perfloop.rules.write import write_all
from perfloop.stack import servers
from perfloop.stack.process import free_port
from perfloop.stack.supervisor import Supervisor
from tests.sinks import HttpSink, Post, serving
from tests.support import eventually

COOLDOWN_SECONDS = 5
UP_SECONDS = DOWN_SECONDS = 2
HELD, BARE = "HeldHigh", "BareHigh"
# Between what Alertmanager notes and what the sink sees.
JITTER_SECONDS = 0.2


class Flapping(ThreadingHTTPServer):
    """An exporter with one metric that is 100 for two seconds and 0 for the next two."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Metrics)


class _Metrics(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        is_up = time.monotonic() % (UP_SECONDS + DOWN_SECONDS) < UP_SECONDS
        body = f"# TYPE test_flapping gauge\ntest_flapping {100 if is_up else 0}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        del format, args


def metric(name: str) -> CatalogueMetric:
    return CatalogueMetric(name=name, expr="test_flapping", unit="", direction=Direction.LOWER, help="It flaps.")


def inputs(folder: Path, *, target: str, sink: HttpSink, prometheus: str, alertmanager: str) -> RuleInputs:
    """What perfloop.yml cannot say: a cooldown of seconds."""
    (folder / "token").write_text("s3cret", encoding="utf-8")
    return RuleInputs(
        source="test",
        catalogue={name: metric(name) for name in ("held", "bare")},
        own_metrics=frozenset({"held", "bare"}),
        thresholds=tuple(
            Threshold(
                metric=name,
                operator=Operator.GREATER_THAN,
                warning=None,
                critical=50,
                for_seconds=0,
                notice=Notice(channels=("people",), cooldown_seconds=COOLDOWN_SECONDS),
            )
            for name in ("held", "bare")
        ),
        aggregations=(),
        channels={"people": Webhook(url=f"{sink.url}/people")},
        disabled=shipped.names(),
        interval_seconds=1,
        rate_range_seconds=4,
        retention_seconds=86400,
        exporters=(target,),
        optimizer=f"127.0.0.1:{sink.server_port}",
        prometheus_url=f"http://{prometheus}",
        alertmanager_url=f"http://{alertmanager}",
        credentials_file=str(folder / "token"),
    )


def without_keep_firing_for(text: str, alert: str) -> str:
    document = yaml.safe_load(text)
    rules = [rule for group in document["groups"] for rule in group["rules"] if rule["alert"] == alert]
    assert [rule.pop("keep_firing_for") for rule in rules] == [f"{COOLDOWN_SECONDS}s"]
    return text.splitlines()[0] + "\n" + yaml.safe_dump(document)


@contextmanager
def flapping(folder: Path, sink: HttpSink) -> Iterator[None]:
    exporter = Flapping()
    ports = {name: free_port() for name in ("prometheus", "alertmanager")}
    addresses = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    files = compile_rules(inputs(folder, target=f"127.0.0.1:{exporter.server_port}", sink=sink, **addresses))
    files[ALERTS_FILE] = without_keep_firing_for(files[ALERTS_FILE], BARE)
    write_all(files, folder / "compiled")
    children = [
        servers.prometheus(folder, config=folder / "compiled" / "prometheus.yml", port=ports["prometheus"]),
        servers.alertmanager(folder, config=folder / "compiled" / "alertmanager.yml", port=ports["alertmanager"]),
    ]
    supervisor = Supervisor(children, say=lambda who, what: None)
    with serving(sink), serving(exporter):
        supervisor.start(stop=threading.Event())
        try:
            yield
        finally:
            supervisor.stop()


def told(sink: HttpSink, alert: str, *, status: str = "firing") -> list[Post]:
    posts = sink.to("/people")
    return [post for post in posts if post.body["groupLabels"]["alertname"] == alert and post.body["status"] == status]


def too_early(posts: list[Post]) -> list[float]:
    """Return the seconds between notifications that are less than a cooldown apart."""
    gaps = [later.at - earlier.at for earlier, later in pairwise(posts)]
    return [gap for gap in gaps if gap < COOLDOWN_SECONDS - JITTER_SECONDS]


def test_people_are_told_of_an_alert_that_comes_and_goes_once_in_a_cooldown(tmp_path: Path) -> None:
    sink = HttpSink()

    with flapping(tmp_path, sink):
        eventually(
            lambda: len(told(sink, HELD)) > 1 and too_early(told(sink, BARE)),
            timeout_seconds=25,
            what="a second notification of one, and one too early of the other",
        )

    assert too_early(told(sink, HELD)) == []
    assert told(sink, HELD, status="resolved") == []
    assert told(sink, BARE, status="resolved") != []
