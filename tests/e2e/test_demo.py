"""`perfloop demo` from end to end: the story that a user reads, and that an interrupted one leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support import eventually, perfloop

SCENARIO_SECONDS = 360.0


@pytest.mark.long
def test_the_demo_proves_that_a_wider_pool_helped() -> None:
    done = perfloop("demo", "--scenario", "pool", timeout_seconds=SCENARIO_SECONDS)

    told = rest = done.stdout
    assert done.returncode == 0, told + done.stderr
    for chapter in (
        r"PoolWaitHigh \(warning\) is pending",
        r"PoolWaitHigh \(warning\) is firing",
        r"received +.*pool_wait on orders-pool",
        r"decided +.*mode is auto: orders-pool default_pool_size 4 -> 16",
        r"read back orders-pool default_pool_size 4 -> 16",
        r"settles for \d+ s",
        r"Verdict: effective, grade D\.",
        r"kept; the server itself says default_pool_size = 16",
        r"Everything went as promised",
    ):
        found = re.search(chapter, rest)
        assert found, f"{chapter!r} does not come, or too early, in:\n{told}"
        rest = rest[found.end() :]
    assert not _family(_folder(told))


def test_an_interrupted_demo_says_so_and_leaves_nothing() -> None:
    with _demo() as (process, told):
        eventually(lambda: "orders-pool" in "".join(told), what="a demo that has begun")
        folder = _folder("".join(told))
        family = eventually(lambda: _family(folder), what="servers of the demo")

        process.send_signal(signal.SIGINT)
        code = process.wait(30)

    assert code not in {0, None}
    eventually(lambda: "interrupted" in "".join(told), what="the word")
    eventually(lambda: not any(p.is_running() for p in family), what="the end of all servers")
    assert not folder.exists()
    assert "Scenario index" not in "".join(told)


@contextmanager
def _demo() -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Run all scenarios; the list grows by what it prints."""
    told: list[str] = []
    process = subprocess.Popen(
        [sys.executable, "-m", "perfloop", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    reader = threading.Thread(target=lambda: told.extend(process.stdout or ()))
    reader.start()
    try:
        yield process, told
    finally:
        process.kill()
        process.wait()
        reader.join()
        if process.stdout:
            process.stdout.close()


def _folder(told: str) -> Path:
    found = re.search(r"data and logs in (\S+)", told)
    assert found, told
    return Path(found.group(1))


def _family(folder: Path) -> list[psutil.Process]:
    """Every process that works in the demo's folder."""
    return [p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or [])]
