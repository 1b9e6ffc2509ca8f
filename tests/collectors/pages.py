"""Reads pages as Prometheus does: through the official parser, and through promtool's eyes."""

from __future__ import annotations

import subprocess

from prometheus_client.parser import text_string_to_metric_families

from perfloop.exposition.page import render_page
from perfloop.exposition.text import Samples
from perfloop.stack.process import find_binary


class Page:
    """A parsed page; a series that stands there twice is an error."""

    def __init__(self, text: bytes) -> None:
        self.text = text.decode()
        self._values: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in text_string_to_metric_families(self.text):
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.items()))
                assert key not in self._values, f"{key} twice"
                self._values[key] = sample.value

    def value(self, name: str, **labels: str) -> float:
        """Return the value of one series. Fails when it is not there."""
        return self._values[name, frozenset(labels.items())]

    def values(self, name: str, **labels: str) -> list[float]:
        """Return the values of all series of that name that have at least these labels."""
        return [
            v for (other, have), v in self._values.items() if other == name and labels.items() <= dict(have).items()
        ]

    def names(self) -> set[str]:
        """Return the names of all samples."""
        return {name for name, _ in self._values}

    def labels(self, name: str, label: str) -> set[str]:
        """Return the values that a label has in the series of that name."""
        return {dict(have)[label] for other, have in self._values if other == name}


def page_of(*samples: Samples) -> Page:
    """Render the samples as one page, and read it."""
    return Page(render_page(pair for group in samples for pair in group))


def lint(text: str) -> str:
    """Return what promtool has against a page."""
    argv = [find_binary("promtool"), "check", "metrics"]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
