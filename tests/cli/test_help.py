"""--help of every command, as it was read and found good: tests/cli/help/*.txt.

To accept new words: PERFLOOP_UPDATE_HELP=1 .venv/bin/python -m pytest tests/cli/test_help.py, then read the diff.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from perfloop.cli import COMMANDS, group

GOLDENS = Path(__file__).parent / "help"


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command below one, itself included."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, (*path, name))


EVERY = list(commands(group))


@pytest.mark.parametrize("words", EVERY, ids=lambda words: " ".join(words) or "perfloop")
def test_help_reads_as_it_was_accepted(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    golden = GOLDENS / f"{'-'.join(('perfloop', *words))}.txt"

    shown = CliRunner().invoke(group, [*words, "--help"], prog_name="perfloop")

    if os.environ.get("PERFLOOP_UPDATE_HELP"):
        golden.write_text(shown.output, encoding="utf-8")
    assert shown.exit_code == 0
    assert shown.output == golden.read_text(encoding="utf-8")


def test_no_help_is_kept_for_a_command_that_is_gone() -> None:
    assert {path.stem for path in GOLDENS.iterdir()} == {"-".join(("perfloop", *words)) for words in EVERY}


@pytest.mark.parametrize("words", EVERY[1:], ids=" ".join)
def test_the_list_of_commands_does_not_cut_a_sentence_off(words: tuple[str, ...]) -> None:
    listed = CliRunner().invoke(group, [*words[:-1], "--help"], prog_name="perfloop").output

    assert words[-1] in listed
    assert "..." not in listed.partition("Commands:")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_dash_h_is_help_too(name: str) -> None:
    runner = CliRunner()

    assert runner.invoke(group, [name, "-h"]).output == runner.invoke(group, [name, "--help"]).output
