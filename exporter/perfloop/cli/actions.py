"""`perfloop actions`: see and steer what the optimizer does, over its HTTP API."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import click
from rich.table import Table

from perfloop.cli import config_file
from perfloop.cli.printing import cells, console, output, show_json
from perfloop.config import load, read_secret
from perfloop.model import Evaluation, Execution, RecordedDecision
from perfloop.web.client import ActionDetail, OptimizerClient

limit = click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")


def client(config_path: Path) -> OptimizerClient:
    """Return a client of the configured optimizer."""
    config = load(config_path)
    token = read_secret(config.web.token, base=config_path.resolve().parent, environ=os.environ)
    return OptimizerClient(config.web.optimizer_address, token=token)


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
        entries = client(config_path).decisions(limit=limit)
        _print(entries, output, lambda: _decision_table(entries))
        return
    executions = client(config_path).actions(limit=limit, component=component)
    _print(executions, output, lambda: _action_table(executions))


@command.command("show")
@click.argument("action_id", metavar="ID")
@output
@click.pass_obj
def show(config_path: Path, action_id: str, output: str) -> None:
    """Show one action: its changes, its verdict and its history."""
    detail = client(config_path).action(action_id)
    if output == "json":
        show_json(detail)
    else:
        _show(detail)


def _verb(name: str, help_text: str) -> None:
    @command.command(name, help=help_text)
    @click.argument("action_id", metavar="ID")
    @click.pass_obj
    def run(config_path: Path, action_id: str) -> None:
        execution = client(config_path).steer(action_id, name)
        click.echo(f"{execution.id}: {execution.state} ({execution.phase}) {execution.reason}")


_verb("approve", "Let an action that waits for approval begin.")
_verb("reject", "Cancel an action that waits for approval.")
_verb("rollback", "Undo what an action changed. What somebody else has changed since is left alone.")
_verb("release", "Accept what stands at a locked component. Policies may act on it again.")


@command.command("pause")
@click.option("--reason", default="paused by hand", show_default=True, help="Why; refusals will say so.")
@click.pass_obj
def pause(config_path: Path, reason: str) -> None:
    """Begin no new actions until `resume`; survives restarts."""
    client(config_path).pause(reason)
    click.echo(f"paused: {reason}")


@command.command("resume")
@click.pass_obj
def resume(config_path: Path) -> None:
    """Begin new actions again."""
    client(config_path).resume()
    click.echo("resumed")


def _print(entries: object, output: str, table: Callable[[], Table]) -> None:
    if output == "json":
        show_json(entries)
    else:
        console().print(table())


def _action_table(executions: list[Execution]) -> Table:
    table = Table("id", "time", "component", "policy", "change", "state", "verdict", "effect", box=None)
    for execution in executions:
        table.add_row(
            *cells(
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
            *cells(
                _time(entry.at), entry.rule, entry.component, decision.policy or "", decision.outcome, decision.reason
            )
        )
    return table


def _show(detail: ActionDetail) -> None:
    execution, out = detail.execution, console()
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
            table.add_row(*cells(name, value))
    out.print(table)
    out.print()
    history = Table("time", "phase", "what", box=None)
    for entry in detail.log:
        history.add_row(*cells(_time(entry.at), entry.phase, entry.text))
    out.print(history)


def _effect(evaluation: Evaluation | None) -> str:
    if evaluation is None or evaluation.effect is None:
        return ""
    effect = evaluation.effect
    return f"{100 * effect.ratio:+.0f} % ({100 * effect.lower:+.0f} .. {100 * effect.upper:+.0f})"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
