"""What one value cannot say alone of what others measured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from perfloop.config.reader import Document
from perfloop.config.schema import Config, Secret


def check_foreign(document: Document, config: Config) -> None:
    """Report what stands twice: the results of one tool for one component, and folders."""
    sources: set[tuple[str, str]] = set()
    for i, source in enumerate(config.collectors.benchmarks.sources):
        if (source.component, source.tool) in sources:
            what = f"there are results of {source.tool} for {source.component!r} above; a pattern selects several files"
            document.report(f"collectors.benchmarks.sources[{i}]", what)
        sources.add((source.component, source.tool))
    folders: set[Path] = set()
    for i, folder in enumerate(config.collectors.textfile.folders):
        if folder in folders:
            document.report(f"collectors.textfile.folders[{i}]", f"{folder} stands twice")
        folders.add(folder)


def foreign_secrets(config: Config) -> Iterator[tuple[str, Secret]]:
    """Yield the secrets of these sections, each with its place."""
    if config.collectors.push.token is not None:
        yield "collectors.push.token", config.collectors.push.token
