"""Every mistake in perfloop.yml is said with its place: one file each, whose first line is the message."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfloop import config
from perfloop.errors import ConfigInvalid

FILES = sorted(Path(__file__).parent.glob("invalid-*.yml"))


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_mistake_is_said_with_its_place_and_what_was_expected(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    expected = text.splitlines()[0].removeprefix("# ")

    with pytest.raises(ConfigInvalid) as caught:
        config.parse(text, name=file.name)

    assert caught.value.problems == (expected,)
