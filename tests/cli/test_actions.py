"""`perfloop actions` over HTTP against a running optimizer, as a person uses it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import yaml
from msgspec.structs import replace

from perfloop.model import Mode, Verdict
from perfloop.stack.process import free_port
from perfloop.web.api import Api
from perfloop.web.metrics import OptimizerMetrics
from tests.optimizer.loop import POLICY, POOL, Loop, ScriptedEvaluator, firing, judged
from tests.support import eventually

Done = subprocess.CompletedProcess[str]


class Office:
    """The API of a loop on a port, and the command of a person who sits beside it."""

    def __init__(self, folder: Path, *, mode: Mode = Mode.APPROVE, verdict: Verdict = Verdict.EFFECTIVE) -> None:
        self.folder = folder
        self.loop = Loop(folder, replace(POLICY, mode=mode), evaluator=ScriptedEvaluator(judged(verdict)))
        (folder / "token").write_text("s3cret\n", encoding="utf-8")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.configure(port=self._listener.getsockname()[1])
        self._server = uvicorn.Server(uvicorn.Config(self._api(), log_config=None, access_log=False))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]})

    def _api(self) -> Any:
        metrics = OptimizerMetrics(self.loop.store, last_tick_at=lambda: 0.0)
        return Api(
            store=self.loop.store,
            steering=self.loop.controller,
            metrics=metrics,
            token=lambda: "s3cret",
            reload=lambda: None,
            clock=self.loop.clock,
        ).build()

    def configure(self, *, port: int) -> None:
        web = {"optimizer_address": f"127.0.0.1:{port}", "token": {"file": "token"}}
        (self.folder / "perfloop.yml").write_text(yaml.safe_dump({"web": web}), encoding="utf-8")

    def __enter__(self) -> Office:
        self._thread.start()
        eventually(lambda: self._server.started, what="the API")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()
        self.loop.store.close()

    def actions(self, *arguments: str) -> Done:
        return subprocess.run(
            [sys.executable, "-m", "perfloop", "actions", *arguments],
            cwd=self.folder,
            env={**os.environ, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def action_id(self) -> str:
        return self.loop.only().id


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with Office(tmp_path) as made:
        yield made


def test_list_says_in_one_line_what_waits_for_whom(office: Office) -> None:
    office.loop.deliver(firing())

    done = office.actions("list")

    header, line = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert header.split() == ["id", "time", "component", "policy", "change", "state", "verdict", "effect"]
    assert line.split()[0] == office.action_id()
    assert "orders-pool  pool-too-small" in line
    assert "pending (awaiting_approval)" in line


def test_what_is_approved_begins_and_is_shown_with_its_change_verdict_and_history(office: Office) -> None:
    office.loop.deliver(firing())

    approved = office.actions("approve", office.action_id())
    office.loop.run(100)
    shown = office.actions("show", office.action_id()[:6])

    assert approved.stdout.startswith(f"{office.action_id()}: pending (planned)")
    assert office.loop.pool_size() == "4"
    facts = dict(line.split("  ", 1) for line in shown.stdout.split("\n\n")[0].splitlines())
    assert facts["changes"].strip() == "orders-pool default_pool_size 2 -> 4"
    assert facts["verdict"].strip() == "effective, grade D: the test says effective"
    assert "approved by hand" in shown.stdout
    assert "completed (done)" in shown.stdout


def test_what_is_rejected_changes_nothing(office: Office) -> None:
    office.loop.deliver(firing())

    done = office.actions("reject", office.action_id())
    office.loop.run(10)

    assert done.stdout == f"{office.action_id()}: cancelled (done) rejected by hand\n"
    assert office.loop.pool_size() == "2"


def test_what_was_kept_can_be_rolled_back(tmp_path: Path) -> None:
    with Office(tmp_path, mode=Mode.AUTO) as office:
        office.loop.deliver(firing())
        office.loop.run(100)

        done = office.actions("rollback", office.action_id())
        office.loop.run(10)

        assert done.stdout == f"{office.action_id()}: running (rolling_back) rolled back by hand\n"
        assert office.loop.pool_size() == "2"


def test_a_locked_component_can_be_released(tmp_path: Path) -> None:
    with Office(tmp_path, mode=Mode.AUTO) as office:
        office.loop.deliver(firing())
        execution = replace(office.loop.only(), locked=True)
        office.loop.store.save(execution, note="locked by the test")

        done = office.actions("release", execution.id)

        assert done.returncode == 0
        assert not office.loop.only().locked


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["approve", "ffff"], "there is no action 'ffff'", id="an unknown id"),
        pytest.param(
            ["show", "../../-/reload"], "'../../-/reload' is not an id; see: perfloop actions list", id="no id"
        ),
    ],
)
def test_an_id_that_is_none_is_one_line_and_exit_code_1(office: Office, arguments: list[str], says: str) -> None:
    done = office.actions(*arguments)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"perfloop: {says}\n"


def test_what_cannot_be_asked_of_an_action_now_says_in_which_state_it_is(office: Office) -> None:
    office.loop.deliver(firing())

    done = office.actions("rollback", office.action_id())

    says = f"action {office.action_id()} is pending (awaiting_approval): cannot rollback it"
    assert (done.returncode, done.stderr) == (1, f"perfloop: {says}\n")


def test_while_paused_nothing_begins_and_decisions_say_why(tmp_path: Path) -> None:
    with Office(tmp_path, mode=Mode.AUTO) as office:
        paused = office.actions("pause", "--reason", "migration until noon")
        office.loop.deliver(firing())
        decisions = office.actions("list", "--decisions")
        resumed = office.actions("resume")
        office.loop.run(100)

        assert (paused.stdout, resumed.stdout) == ("paused: migration until noon\n", "resumed\n")
        assert "refuse" in decisions.stdout
        assert "acting is paused: migration until noon" in decisions.stdout
        assert office.loop.pool_size() == "4"


def test_labels_of_alerts_neither_steer_the_terminal_nor_become_markup(office: Office) -> None:
    evil = "\x1b[2J\x07[bold red]x[/bold red]\r\n"
    office.loop.deliver(firing(rule=f"rule{evil}", component=f"c{evil}"))

    done = office.actions("list", "--decisions")

    assert done.returncode == 0
    assert not {c for c in done.stdout if not c.isprintable() and c != "\n"}
    assert "[bold red]x[/bold red]" in done.stdout


def test_json_is_for_programs(office: Office) -> None:
    office.loop.deliver(firing())

    (listed,) = json.loads(office.actions("list", "--output", "json").stdout)
    shown = json.loads(office.actions("show", listed["id"], "--output", "json").stdout)
    (decided,) = json.loads(office.actions("list", "--decisions", "--output", "json").stdout)

    assert (listed["action"]["component"], listed["phase"]) == (POOL, "awaiting_approval")
    assert shown["execution"]["id"] == listed["id"]
    assert decided["decision"]["outcome"] == "ask"


def test_component_and_limit_narrow_the_list(office: Office) -> None:
    office.loop.deliver(firing(), firing(component="billing-pool"))

    narrowed = json.loads(office.actions("list", "--component", POOL, "--output", "json").stdout)
    limited = json.loads(office.actions("list", "--limit", "1", "--output", "json").stdout)

    assert [entry["action"]["component"] for entry in narrowed] == [POOL]
    assert len(limited) == 1


def test_a_wrong_token_is_exit_code_1_and_says_what_was_expected(office: Office) -> None:
    (office.folder / "token").write_text("wrong", encoding="utf-8")

    done = office.actions("pause")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "perfloop: expected the header: Authorization: Bearer TOKEN\n"


def test_without_an_optimizer_it_says_where_none_answers_and_what_starts_one(office: Office) -> None:
    port = free_port()
    office.configure(port=port)

    done = office.actions("list")

    assert (done.returncode, done.stdout) == (1, "")
    says = f"no optimizer answers at http://127.0.0.1:{port}; start it with: perfloop optimizer"
    assert done.stderr == f"perfloop: {says}\n"


def test_without_a_token_file_it_names_the_file(office: Office) -> None:
    (office.folder / "token").unlink()

    done = office.actions("list")

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"{office.folder / 'token'}: No such file or directory; a secret was expected in this file"
    ]
