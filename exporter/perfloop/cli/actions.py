"""`perfloop actions`: see and steer what the optimizer does, over its HTTP API."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import click
import msgspec
import requests
from rich.console import Console
from rich.table import Table
from rich.text import Text

from perfloop.cli import config_file
from perfloop.config import load, read_secret
from perfloop.errors import PerfloopError, Rejected, Unavailable
from perfloop.model import Evaluation, Execution, LogEntry, RecordedDecision

_TIMEOUT_SECONDS = 10.0

output = click.option(
    "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to print."
)
limit = click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")


class OptimizerApi:
    """The optimizer's HTTP API, as the commands use it. Raises Unavailable and Rejected with what it answered."""

    def __init__(self, config_path: Path) -> None:
        config = load(config_path)
        token = read_secret(config.web.token, base=config_path.resolve().parent, environ=os.environ)
        self._url = f"http://{config.web.optimizer_address}"
        self._session = requests.Session()
        self._session.headers["authorization"] = f"Bearer {token}"

    def get(self, path: str, **parameters: str | int) -> bytes:
        """GET below /api/v1 and return the body."""
        return self._ask("GET", path, parameters=parameters)

    def post(self, path: str, body: object | None = None) -> bytes:
        """POST below /api/v1 and return the body."""
        return self._ask("POST", path, body=body)

    def _ask(
        self, method: str, path: str, *, parameters: dict[str, str | int] | None = None, body: object | None = None
    ) -> bytes:
        try:
            response = self._session.request(
                method,
                f"{self._url}/api/v1/{path}",
                params=parameters,
                json=body,
                timeout=_TIMEOUT_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise Unavailable(f"no optimizer answers at {self._url}; start it with: perfloop optimizer") from error
        if response.status_code >= requests.codes.bad_request:
            raise Rejected(_detail(response))
        return response.content


@click.group("actions", context_settings={"help_option_names": ["-h", "--help"]})
@config_file
@click.pass_context
def command(context: click.Context, config_file: Path) -> None:
    """See what the optimizer did and why, and steer it."""
    context.obj = config_file


@command.command("list")
@limit
@click.option("--component", help="Only actions on this component.")
@click.option("--decisions", is_flag=True, help="Decisions instead, with the reason of every refusal.")
@output
@click.pass_obj
def list_(config_path: Path, limit: int, component: str | None, decisions: bool, output: str) -> None:
    """List actions, newest first."""
    if decisions:
        body = OptimizerApi(config_path).get("decisions", limit=limit)
        _print(body, output, lambda: _decision_table(msgspec.json.decode(body, type=list[RecordedDecision])))
        return
    parameters: dict[str, str | int] = {"limit": limit} | ({"component": component} if component else {})
    body = OptimizerApi(config_path).get("actions", **parameters)
    _print(body, output, lambda: _action_table(msgspec.json.decode(body, type=list[Execution])))


class _Detail(msgspec.Struct):
    execution: Execution
    log: list[LogEntry]


@command.command("show")
@click.argument("action_id", metavar="ID")
@output
@click.pass_obj
def show(config_path: Path, action_id: str, output: str) -> None:
    """Show one action: what it changed, how it was judged, and its history."""
    body = OptimizerApi(config_path).get(f"actions/{_safe(action_id)}")
    if output == "json":
        click.echo(body.decode())
        return
    _show(msgspec.json.decode(body, type=_Detail))


def _verb(name: str, help_text: str) -> None:
    @command.command(name, help=help_text)
    @click.argument("action_id", metavar="ID")
    @click.pass_obj
    def run(config_path: Path, action_id: str) -> None:
        body = OptimizerApi(config_path).post(f"actions/{_safe(action_id)}/{name}")
        execution = msgspec.json.decode(body, type=Execution)
        click.echo(f"{execution.id}: {execution.state} ({execution.phase}) {execution.reason}")


_verb("approve", "Let an action that waits for approval begin.")
_verb("reject", "Cancel an action that waits for approval.")
_verb("rollback", "Undo what an action changed, unless somebody else has changed it since.")
_verb("release", "Accept what stands at a locked component, so that policies may act on it again.")


@command.command("pause")
@click.option("--reason", default="paused by hand", show_default=True, help="Why; refusals will say so.")
@click.pass_obj
def pause(config_path: Path, reason: str) -> None:
    """Begin no new actions until `resume`; survives restarts."""
    OptimizerApi(config_path).post("pause", {"reason": reason})
    click.echo(f"paused: {reason}")


@command.command("resume")
@click.pass_obj
def resume(config_path: Path) -> None:
    """Begin new actions again."""
    OptimizerApi(config_path).post("resume")
    click.echo("resumed")


def _print(body: bytes, output: str, table: Callable[[], Table]) -> None:
    if output == "json":
        click.echo(body.decode())
    else:
        Console().print(table())


def _action_table(executions: list[Execution]) -> Table:
    table = Table("id", "time", "component", "policy", "change", "state", "verdict", "effect", box=None)
    for execution in executions:
        table.add_row(
            *_cells(
                execution.id,
                _time(execution.created_at),
                execution.action.component,
                execution.policy.name,
                ", ".join(f"{c.key} {c.before.value} -> {c.after.value}" for c in execution.changes),
                f"{execution.state} ({execution.phase})" if not execution.state.final else str(execution.state),
                str(execution.evaluation.verdict) if execution.evaluation and execution.evaluation.final else "",
                _effect(execution.evaluation),
            )
        )
    return table


def _decision_table(decisions: list[RecordedDecision]) -> Table:
    table = Table("time", "rule", "component", "policy", "outcome", "reason", box=None)
    for entry in decisions:
        decision = entry.decision
        table.add_row(
            *_cells(
                _time(entry.at), entry.rule, entry.component, decision.policy or "", decision.outcome, decision.reason
            )
        )
    return table


def _show(detail: _Detail) -> None:
    execution, console = detail.execution, Console(highlight=False)
    facts = {
        "action": execution.id,
        "policy": f"{execution.policy.name} (mode {execution.policy.mode}, executor {execution.action.executor})",
        "component": execution.action.component,
        "state": f"{execution.state} ({execution.phase})" + (", locked" if execution.locked else ""),
        "reason": execution.reason,
        "changes": "\n".join(str(change) for change in execution.changes),
    }
    evaluation = execution.evaluation
    if evaluation is not None:
        facts["verdict"] = f"{evaluation.verdict}, grade {evaluation.grade}: {evaluation.reason}"
        facts["guards"] = "\n".join(f"{g.metric}: {g.result}, {g.reason}" for g in evaluation.guards)
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        if value:
            table.add_row(*_cells(name, value))
    console.print(table)
    console.print()
    history = Table("time", "phase", "what", box=None)
    for entry in detail.log:
        history.add_row(*_cells(_time(entry.at), entry.phase, entry.text))
    console.print(history)


def _cells(*values: str) -> list[Text]:
    """Return cells that show labels as they are: no markup, no control characters for the terminal."""
    return [Text("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in str(value))) for value in values]


def _effect(evaluation: Evaluation | None) -> str:
    if evaluation is None or evaluation.effect is None:
        return ""
    effect = evaluation.effect
    return f"{100 * effect.ratio:+.0f} % ({100 * effect.lower:+.0f} .. {100 * effect.upper:+.0f})"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _safe(action_id: str) -> str:
    if not action_id.isalnum():
        raise PerfloopError(f"{action_id!r} is not an id; see: perfloop actions list")
    return action_id


def _detail(response: requests.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code}: {response.text[:200]}"
