"""A real server as a child process: started on a free port, watched, and never left behind."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from perfloop.errors import StackFailed
from perfloop.wording import printable

# Where Debian puts servers that an ordinary user's PATH does not show.
SERVER_PATH = (
    "/usr/local/sbin:/usr/sbin:/sbin:/usr/lib/postgresql/17/bin:/usr/lib/postgresql/16/bin:/usr/lib/postgresql/15/bin"
)
_LONGEST_MESSAGE = 300


def find_binary(name: str) -> str:
    """Return the full path of a program. Raises StackFailed with the command that installs it."""
    found = shutil.which(name) or shutil.which(name, path=SERVER_PATH)
    if found is None:
        raise StackFailed(f"{name} is not installed; `make install` installs what perfloop needs")
    return found


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def port_is_taken(host: str, port: int) -> bool:
    """Say whether somebody listens on the port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def wait_until(condition: Callable[[], bool], *, timeout_seconds: float, what: str) -> None:
    """Poll until the condition holds. Raises StackFailed naming what was awaited."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise StackFailed(f"{what}: not within {timeout_seconds:g} s")
        time.sleep(0.05)


class Child:
    """One child process with a log file and a check that says when it serves.

    It dies with its parent (PR_SET_PDEATHSIG, through util-linux's setpriv), also when that is killed.
    As root, `user` runs it as somebody else; PostgreSQL and PgBouncer refuse to run as root.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        ready: Callable[[], bool],
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        address: str = "",
    ) -> None:
        self.name, self.log, self.address = name, log, address
        self._argv = [
            find_binary("setpriv"),
            "--pdeathsig",
            stop_signal.name.removeprefix("SIG"),
            *as_user(user),
            *argv,
        ]
        self._ready, self._env, self._stop_signal = ready, env, stop_signal
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id. Raises StackFailed before the start."""
        if self._process is None:
            raise StackFailed(f"{self.name} was not started")
        return self._process.pid

    def start(self) -> None:
        """Start without waiting. Must be called in a thread that outlives the child."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env, start_new_session=True
            )

    def wait_ready(self, *, timeout_seconds: float = 30.0) -> None:
        """Wait until it serves. Raises StackFailed with the end of its log if it dies or stays silent."""
        deadline = time.monotonic() + timeout_seconds
        while not self.has_become_ready(deadline):
            time.sleep(0.05)

    def has_become_ready(self, deadline: float) -> bool:
        """Say whether it serves now. Raises StackFailed if it has died, or does not by the deadline (monotonic)."""
        if not self.is_alive():
            raise StackFailed(f"{self.name} ended with {self.exit_code()}: {self.last_words()} (log: {self.log})")
        if self.is_ready():
            return True
        if time.monotonic() > deadline:
            raise StackFailed(f"{self.name} does not become ready: {self.last_words()} (log: {self.log})")
        return False

    def is_ready(self) -> bool:
        """Say whether it serves now."""
        try:
            return self._ready()
        except OSError:
            return False

    def is_alive(self) -> bool:
        """Say whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def exit_code(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.poll() if self._process else None

    def last_words(self) -> str:
        """Return the last line of the log, for a message: at most its first 300 characters, and none that steer."""
        if not self.log.exists():
            return "no log"
        lines = _end_of(self.log).strip().splitlines()
        line = lines[-1] if lines else "nothing in its log"
        return printable(line[:_LONGEST_MESSAGE])

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it runs."""
        if self.is_alive():
            os.kill(self.pid, number)

    def stop(self, *, timeout_seconds: float = 10.0) -> None:
        """End it and its own children: politely, then for sure. Twice is harmless."""
        if self._process is None:
            return
        self.send(self._stop_signal)
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._signal_group(signal.SIGKILL)
            self._process.wait(timeout_seconds)
        self._signal_group(signal.SIGKILL)

    def kill(self) -> None:
        """End it as kill -9 does."""
        self._signal_group(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(10)

    def _signal_group(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return


def _end_of(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
        return file.read().decode("utf-8", errors="replace")


def as_user(user: str | None) -> list[str]:
    """Return the arguments of setpriv that change to a user; none when we are not root."""
    if user is None or os.geteuid() != 0:
        return ["--"]
    entry = pwd.getpwnam(user)
    return ["--reuid", str(entry.pw_uid), "--regid", str(entry.pw_gid), "--init-groups", "--"]
