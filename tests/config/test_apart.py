"""perfloop.yml read by a process of its own: the same as here, in everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfloop.config import apart
from perfloop.errors import ConfigInvalid

ROOT = Path(__file__).parents[2]


def test_another_process_reads_the_same(tmp_path: Path) -> None:
    example = ROOT / "perfloop.yml"

    assert apart.read_apart(example) == apart.read(example)
    assert apart.read_apart(tmp_path / "none.yml", may_be_missing=True) == apart.read(Path("none"), may_be_missing=True)


def test_mistakes_come_back_with_their_places(tmp_path: Path) -> None:
    file = tmp_path / "perfloop.yml"
    file.write_text("collectors: {sistem: {}}\nweb: 1\n", encoding="utf-8")
    problems = []

    for read in (apart.read, apart.read_apart):
        with pytest.raises(ConfigInvalid) as caught:
            read(file)
        problems.append(caught.value.problems)

    assert problems[0] == problems[1]
    assert len(problems[0]) == 2


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"gone\.yml: No such file or directory"):
        apart.read_apart(tmp_path / "gone.yml")


def test_a_reader_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeper = tmp_path / "python"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
    sleeper.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(sleeper))
    monkeypatch.setattr(apart, "_SECONDS", 0.2)

    with pytest.raises(ConfigInvalid, match=r"could not be read: it took longer than 0\.2 s"):
        apart.read_apart(tmp_path / "perfloop.yml")
