"""Writing compiled files: all or none, never over somebody else's, and no stale ones are left."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfloop.errors import PerfloopError
from perfloop.rules.write import write_all

HEADER = "# compiled from perfloop.yml by perfloop 0; do not edit\n"
FILES = {"prometheus.yml": HEADER + "a: 1\n", "rules/perfloop-alerts.yml": HEADER + "groups: []\n"}


def listed(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_files_are_written_with_their_folders(tmp_path: Path) -> None:
    done = write_all(FILES, tmp_path / "out")

    assert listed(tmp_path / "out") == ["prometheus.yml", "rules/perfloop-alerts.yml"]
    assert set(done.values()) == {"wrote"}


def test_a_second_time_nothing_is_written(tmp_path: Path) -> None:
    write_all(FILES, tmp_path)
    before = (tmp_path / "prometheus.yml").stat().st_ino

    done = write_all(FILES, tmp_path)

    assert set(done.values()) == {"unchanged"}
    assert (tmp_path / "prometheus.yml").stat().st_ino == before


def test_a_file_of_somebody_elses_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "prometheus.yml").write_text("global: {}\n", encoding="utf-8")

    with pytest.raises(PerfloopError, match=r"prometheus\.yml was not written by perfloop; move it away"):
        write_all(FILES, tmp_path)

    assert listed(tmp_path) == ["prometheus.yml"]


def test_a_stale_file_of_ours_is_removed_and_others_are_left(tmp_path: Path) -> None:
    write_all({**FILES, "rules/perfloop-old.yml": HEADER}, tmp_path)
    (tmp_path / "rules" / "mine.yml").write_text("groups: []\n", encoding="utf-8")

    done = write_all(FILES, tmp_path)

    assert done["rules/perfloop-old.yml"] == "removed"
    assert listed(tmp_path) == ["prometheus.yml", "rules/mine.yml", "rules/perfloop-alerts.yml"]


def test_a_folder_that_cannot_be_made_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "rules").write_text("in the way", encoding="utf-8")

    with pytest.raises(PerfloopError, match="cannot write"):
        write_all(FILES, tmp_path)

    assert listed(tmp_path) == ["rules"]
