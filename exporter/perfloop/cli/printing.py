"""How commands print: tables for people, JSON for programs; labels are shown as they are and never obeyed."""

from __future__ import annotations

import click
import msgspec
from rich.console import Console
from rich.text import Text

output = click.option(
    "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to print."
)


def show_json(value: object) -> None:
    """Print one JSON document."""
    click.echo(msgspec.json.encode(value).decode())


def console() -> Console:
    """Return the terminal, or, when the output is piped, one that is wide enough for whole sentences."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=240)


def cells(*values: str) -> list[Text]:
    """Return cells that show labels as they are: no markup, no control characters for the terminal."""
    return [Text("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in str(value))) for value in values]
