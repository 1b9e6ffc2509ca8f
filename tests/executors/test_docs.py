"""docs/executors.md names every executor, system and parameter, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from perfloop.executors import EXECUTORS

PAGE = (Path(__file__).parents[2] / "docs" / "executors.md").read_text(encoding="utf-8")


def documented() -> dict[tuple[str, str], set[str]]:
    """Return the parameters in the first column of the tables, by executor and driver."""
    found: dict[tuple[str, str], set[str]] = {}
    executor = driver = ""
    for line in PAGE.splitlines():
        if heading := re.match(r"## `(\w+)`", line):
            executor = heading[1]
        elif heading := re.match(r"### On `driver: (\w+)`", line):
            driver = heading[1]
        elif line.startswith("| `"):
            names = re.sub(r"\(.*?\)", "", line.split("|")[1])
            found.setdefault((executor, driver), set()).update(re.findall(r"`(\w+)`", names))
    return found


@pytest.mark.parametrize("name", EXECUTORS)
def test_every_parameter_of_every_executor_is_documented_and_no_other(name: str):
    parameters = EXECUTORS[name].parameters

    told = {driver: names for (executor, driver), names in documented().items() if executor == name}

    assert told == {driver: set(known) for driver, known in parameters.items()}
