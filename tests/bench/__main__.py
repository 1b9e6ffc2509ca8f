"""`python -m tests.bench [NAME…]` measures; `--update-docs` puts the last tables into docs/performance.md."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

import click
from rich.console import Console

from perfloop.errors import PerfloopError
from tests.bench.report import Report, Result, update_page, watched

ROOT = Path(__file__).parents[2]
RESULTS, PAGE = ROOT / "build" / "bench", ROOT / "docs" / "performance.md"
NAMES = ("exporter", "effect", "webhook", "rules", "anomaly")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--update-docs", is_flag=True, help="Measure nothing; put the last tables into docs/performance.md.")
def main(names: tuple[str, ...], *, update_docs: bool) -> None:
    """Measure against peers; by default everything. A goal that is not reached stands in the table; it is no error."""
    try:
        if update_docs:
            _update_docs(names or NAMES)
        else:
            for name in names or NAMES:
                _run(name)
    except PerfloopError as error:
        click.echo(f"bench: {error}", err=True)
        sys.exit(1)


def _run(name: str) -> None:
    measure: Callable[[], Result] = import_module(f"tests.bench.{name}").run
    with watched() as others:
        result = measure()
    report = Report(name=name, result=result, others=(others[0], others[1]))
    report.show(Console(highlight=False, width=None if sys.stdout.isatty() else 120))
    report.write(RESULTS)


def _update_docs(names: tuple[str, ...]) -> None:
    sections: Mapping[str, str] = {
        name: file.read_text(encoding="utf-8") for name in names if (file := RESULTS / f"{name}.md").exists()
    }
    PAGE.write_text(update_page(PAGE.read_text(encoding="utf-8"), sections), encoding="utf-8")
    click.echo(f"bench: {', '.join(sections) or 'nothing'} written to {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
