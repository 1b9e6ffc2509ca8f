"""`perfloop alerts` against a real Alertmanager with the compiled configuration, as a person on call uses it."""

from __future__ import annotations

import io
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from perfloop import config
from perfloop.app.compile import compile_all, write_all
from perfloop.cli import main
from perfloop.prometheus.alertmanager import AlertmanagerClient
from perfloop.stack import servers
from perfloop.stack.process import free_port
from tests.support import eventually

Done = subprocess.CompletedProcess[str]


def typed(folder: Path, *arguments: str, stdin: str = "") -> Done:
    """Run the command in this process, as a new one takes a second."""
    argv = ["perfloop", "alerts", "--config.file", str(folder / "perfloop.yml"), *arguments]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr("sys.argv", argv)
        patch.setattr("sys.stdin", io.StringIO(stdin))
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Done(argv, code, out.getvalue(), err.getvalue())


class Duty:
    """An Alertmanager, a folder with its perfloop.yml, and who is told by the channel `ops`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.heard = folder, ThreadingHTTPServer(("127.0.0.1", 0), _Ear)
        self.heard.payloads = []  # type: ignore[attr-defined]
        port = free_port()
        (folder / "token").write_text("s3cret", encoding="utf-8")
        self.write(alertmanager=f"http://127.0.0.1:{port}")
        out = folder / "compiled"
        file = folder / "perfloop.yml"
        write_all(compile_all(config.load(file), config_path=file, out=out), out)
        self.server = servers.alertmanager(folder, config=out / "alertmanager.yml", port=port)
        self.client = AlertmanagerClient(self.server.address)

    def write(self, *, alertmanager: str, **channels: Any) -> None:
        hook = {"webhook": {"url": f"http://127.0.0.1:{self.heard.server_port}/"}}
        nobody = {"webhook": {"url": f"http://127.0.0.1:{free_port()}/"}}
        document = {
            "performance_collection": {"collection_interval": 1},
            "prometheus": {"alertmanager_url": alertmanager},
            "web": {"optimizer_address": f"127.0.0.1:{free_port()}", "token": {"file": "token"}},
            "channels": {"ops": hook, "nobody": nobody, **channels},
        }
        (self.folder / "perfloop.yml").write_text(yaml.safe_dump(document), encoding="utf-8")

    def alerts(self, *arguments: str, stdin: str = "") -> Done:
        return typed(self.folder, *arguments, stdin=stdin)

    def fire(self, name: str, **labels: str) -> None:
        """Let an alert fire, and wait until Alertmanager has it."""
        now = time.time()
        wanted = {"alertname": name, "severity": "warning", **labels}
        self.client.send(wanted, {"summary": f"{name} is on."}, starts_at=now - 60, ends_at=now + 600)
        eventually(lambda: [alert for alert in self.client.alerts() if alert.labels == wanted], what=name)

    def state_of(self, name: str, **labels: str) -> str:
        found = json.loads(self.alerts("list", "--output", "json").stdout)
        [state] = [a["state"] for a in found if a["alert"] == name and labels.items() <= a["labels"].items()]
        return str(state)


class _Ear(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.payloads.append(payload)  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        del format, args


@pytest.fixture(scope="module")
def duty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Duty]:
    made = Duty(tmp_path_factory.mktemp("duty"))
    threading.Thread(target=made.heard.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    made.server.start()
    made.server.wait_ready()
    yield made
    made.server.stop()
    made.heard.shutdown()
    made.heard.server_close()


# -- list, ack, unack --------------------------------------------------------------------------------------------------


def test_list_shows_what_fires_the_worst_first(duty: Duty) -> None:
    duty.fire("PoolWaitHigh", component="orders", rule="pool_wait")
    duty.fire("PoolWaitHigh", component="orders", rule="pool_wait", severity="critical")

    done = duty.alerts("list")

    header, *lines = [line.split() for line in done.stdout.splitlines()]
    mine = [line for line in lines if line[0] == "PoolWaitHigh"]
    assert (done.returncode, done.stderr) == (0, "")
    assert header == ["alert", "severity", "about", "since", "state", "summary"]
    assert [[line[1], line[2], line[5]] for line in mine] == [
        ["critical", "orders", "firing"],
        ["warning", "orders", "inhibited"],
    ]


def test_what_is_acknowledged_says_by_whom_until_when_and_why(duty: Duty) -> None:
    duty.fire("QueueLong", component="mail", rule="queue_length")

    words = ["ack", "QueueLong", "--for", "30m", "--comment", "I know", "--by", "ada"]
    acked = duty.alerts(*words, stdin="y\n")

    eventually(lambda: duty.state_of("QueueLong") == "acknowledged")
    listed = duty.alerts("list").stdout
    assert (acked.returncode, "QueueLong" in acked.stdout) == (0, True)
    assert 'nobody is told of alertname="QueueLong": 1 now (mail).' in acked.stderr
    assert f"acknowledged; {acked.stdout[:8]} by ada until" in listed
    assert ": I know" in listed


def test_a_rules_name_and_more_labels_narrow_what_is_acknowledged(duty: Duty) -> None:
    duty.fire("DiskFull", instance="a", rule="disk_used")
    duty.fire("DiskFull", instance="b", rule="disk_used")

    acked = duty.alerts(*("ack", "disk_used", "--match", "instance=a", "--comment", "x", "--yes", "--output", "json"))

    eventually(lambda: duty.state_of("DiskFull", instance="a") == "acknowledged")
    answer = json.loads(acked.stdout)
    assert (answer["matchers"], answer["alerts"]) == (['rule="disk_used"', 'instance="a"'], 1)
    assert duty.state_of("DiskFull", instance="b") == "firing"
    assert [silence.id for silence in duty.client.silences() if silence.id == answer["id"]]


@pytest.mark.parametrize("by", ["name", "id"])
def test_what_was_acknowledged_is_told_again_after_unack(duty: Duty, by: str) -> None:
    name = f"Cold{by.capitalize()}"
    duty.fire(name)
    found = json.loads(duty.alerts("ack", name, "--comment", "x", "--yes", "--output", "json").stdout)["id"]

    done = duty.alerts("unack", name if by == "name" else found[:8])

    assert done.stdout.startswith(f'{found}: alertname="{name}" is told again')
    eventually(lambda: duty.state_of(name) == "firing")


def test_without_a_yes_nothing_is_muted(duty: Duty) -> None:
    duty.fire("Refused")

    done = duty.alerts("ack", "Refused", "--comment", "x", stdin="n\n")

    assert (done.returncode, done.stdout) == (1, "")
    assert not [s for s in duty.client.silences() if any(m.value == "Refused" for m in s.matchers)]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(["ack", ".*", "--comment", "x"], 1, "everything is never muted", id="everything"),
        pytest.param(["ack", "", "--comment", "x"], 1, "everything is never muted", id="nothing"),
        pytest.param(["ack", "Watchdgo", "--comment", "x"], 1, "did you mean Watchdog?", id="a slip"),
        pytest.param(["ack", "Watchdog"], 2, "Missing option '--comment'", id="no reason"),
        pytest.param(["ack", "Watchdog", "--comment", "x", "--for", "2x"], 2, "like 30m, 2h", id="no duration"),
        pytest.param(["ack", "Watchdog", "--comment", "x", "--for", "99999d"], 2, "from 1m to 90d", id="for ever"),
        pytest.param(["ack", "Watchdog", "--comment", "x", "--match", "a=~b"], 2, "label=value", id="a pattern"),
        pytest.param(["unack", "Nothing"], 1, "there is no silence Nothing", id="unknown silence"),
        pytest.param(["send-test", "opps"], 1, "expected one of: nobody, ops", id="unknown channel"),
    ],
)
def test_mistakes_say_what_was_expected(duty: Duty, arguments: list[str], code: int, says: str) -> None:
    done = duty.alerts(*arguments)

    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr


def test_labels_neither_steer_the_terminal_nor_become_markup(duty: Duty) -> None:
    duty.fire("Evil", component="\x1b[2J[bold red]x[/bold red]")

    done = duty.alerts("list")

    assert not {c for c in done.stdout if not c.isprintable() and c != "\n"}
    assert "[bold red]x[/bold red]" in done.stdout


# -- send-test ---------------------------------------------------------------------------------------------------------


def test_a_channel_that_works_is_told_and_only_that(duty: Duty) -> None:
    done = duty.alerts("send-test", "ops", "--wait", "20")

    assert done.returncode == 0, done.stderr
    took, delivered = done.stdout.splitlines()
    assert took == f"Alertmanager at {duty.server.address} took the test alert"
    assert delivered.startswith("delivered to ops (webhook) after ")
    [payload] = [p for p in duty.heard.payloads if p["groupLabels"].get("perfloop_test")]  # type: ignore[attr-defined]
    assert payload["alerts"][0]["labels"]["perfloop_test"] == "ops"


def test_a_channel_that_does_not_work_is_1_with_the_number_of_attempts(duty: Duty) -> None:
    done = duty.alerts("send-test", "nobody", "--wait", "1", "--output", "json")

    found = json.loads(done.stdout)
    assert (done.returncode, found["delivered"], found["attempts"]) == (1, False, found["refused"])
    assert found["refused"] >= 1


def test_without_the_route_it_says_what_to_do(duty: Duty) -> None:
    text = (duty.folder / "perfloop.yml").read_text(encoding="utf-8")
    duty.write(alertmanager=duty.server.address, newer={"webhook": {"url": "http://127.0.0.1:1/"}})
    try:
        done = duty.alerts("send-test", "newer")
    finally:
        (duty.folder / "perfloop.yml").write_text(text, encoding="utf-8")

    assert done.returncode == 1
    assert "has no route for tests of newer; give it the alertmanager.yml that `perfloop compile` writes" in done.stderr


@pytest.mark.parametrize("words", [["list"], ["ack", "X", "--comment", "x"], ["send-test", "ops"]], ids=lambda w: w[0])
def test_without_an_alertmanager_it_says_where_none_answers(tmp_path: Path, duty: Duty, words: list[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    (tmp_path / "perfloop.yml").write_text(
        yaml.safe_dump({"prometheus": {"alertmanager_url": url}, "channels": {"ops": {"webhook": {"url": url}}}}),
        encoding="utf-8",
    )

    done = typed(tmp_path, *words)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"perfloop: Alertmanager at {url} does not answer: [Errno 111] Connection refused\n"
