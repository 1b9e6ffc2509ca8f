"""A loop for each test, in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.optimizer.loop import Loop


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Loop]:
    def loop(*policies: object, **options: object) -> Loop:
        return Loop(tmp_path, *policies, **options)  # type: ignore[arg-type]

    return loop
