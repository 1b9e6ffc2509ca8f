"""What several test modules need: polling with a deadline, and running the command as a user does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def eventually(probe: Callable[[], T], *, timeout_seconds: float = 20.0, what: str = "the expected state") -> T:
    """Poll until the probe returns something true, and return that. Fails with the last value otherwise."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} was not reached within {timeout_seconds:g} s; last seen: {value!r}")
        time.sleep(0.05)


def perfloop(
    *arguments: str, cwd: Path | None = None, timeout_seconds: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run the perfloop command in a child process and return its output and exit code."""
    return subprocess.run(
        [sys.executable, "-m", "perfloop", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=timeout_seconds,
    )


def without_parser(folder: Path) -> None:
    """Let commands that are started in this folder find no parser of PromQL, as on a host without the extra."""
    (folder / "promql_parser.py").write_text("raise ModuleNotFoundError(name=__name__)\n", encoding="utf-8")


def freeze(*pids: int) -> None:
    """Stop processes, and wait until they are: threads stop one after another. SIGCONT lets them go on."""
    stopped = []
    for pid in pids:
        # Servers end processes of theirs whenever they like.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
    tasks = [task for pid in stopped for task in Path(f"/proc/{pid}/task").iterdir()]
    eventually(lambda: all(") T " in (task / "stat").read_text(encoding="utf-8") for task in tasks))


def unshared(*namespaces: str) -> list[str]:
    """Return how to begin a command in namespaces of its own: `--net`, `--mount`.

    Who is not root becomes it in a namespace of users; root needs none, and in a chroot may make none.
    """
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    # The root of a chroot is no mount point, and its propagation cannot be changed.
    mountpoints = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
    propagation = ["--propagation", "unchanged"] if "--mount" in namespaces and "/" not in mountpoints else []
    return ["unshare", *as_root, *namespaces, *propagation]
