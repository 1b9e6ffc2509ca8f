"""`perfloop up` as a user runs it: what it shows, restarts and refuses, and that it leaves nothing behind."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
import yaml

from perfloop.stack.process import find_binary, free_port
from tests.support import eventually, perfloop

CHILDREN = ["prometheus", "alertmanager", "exporter", "optimizer"]


class Up:
    """A running `perfloop up` in a folder; `text` is what it has printed so far."""

    def __init__(self, folder: Path, *, terminal: bool = False) -> None:
        self.folder, self._printed = folder, b""
        ours, theirs = pty.openpty() if terminal else os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "perfloop", "up"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "COLUMNS": "120", "LINES": "50", "TERM": "xterm"},
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, args=(ours,))
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def text(self) -> str:
        return self._printed.decode(errors="replace")

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)

    def shows(self, pattern: str, *, timeout_seconds: float = 20.0) -> re.Match[str]:
        """Wait until it has printed that."""
        eventually(
            lambda: re.search(pattern, self.text) or self._process.poll() is not None,
            timeout_seconds=timeout_seconds,
            what=f"{pattern!r} in {self.text!r}",
        )
        found = re.search(pattern, self.text)
        assert found, self.text
        return found

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it and wait for its end."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        code = self._process.wait(30)
        self._reader.join(10)
        return code

    def _read(self, source: int) -> None:
        with open(source, "rb", buffering=0) as file:
            try:
                while chunk := file.read(65536):
                    self._printed += chunk
            except OSError:  # how a terminal ends
                return


def configure(folder: Path, **sections: object) -> dict[str, str]:
    """Write a perfloop.yml with free ports and a metric whose label is hostile; return the addresses."""
    ports = {name: f"127.0.0.1:{free_port()}" for name in CHILDREN}
    hostile = r'label_replace(vector(7), "component", "[red]a\x1b[31mb", "", "")'
    config = {
        "performance_collection": {"collection_interval": 1},
        "prometheus": {
            "url": f"http://{ports['prometheus']}",
            "alertmanager_url": f"http://{ports['alertmanager']}",
            "exporters": [ports["exporter"]],
            "rate_range_seconds": 3,
        },
        "web": {"exporter_address": ports["exporter"], "optimizer_address": ports["optimizer"]},
        "metrics": {"hostile": {"expr": hostile, "unit": "[b]tons", "direction": "lower"}},
    }
    (folder / "perfloop.yml").write_text(yaml.safe_dump({**config, **sections}), encoding="utf-8")
    return ports


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Up]]:
    """Whatever a test adds is ended after it."""
    running: list[Up] = []
    yield running
    for up in running:
        up.end()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One that all tests share which do not end it."""
    folder = tmp_path_factory.mktemp("up")
    configure(folder)
    running = Up(folder)
    yield running
    running.end()


def test_a_line_for_each_process_then_a_table_with_current_values(up: Up) -> None:
    up.shows(r"cpu_usage +127\.0\.0\.1:\d+ +\d+\.\d +percent")

    for name in CHILDREN:
        assert re.search(rf"{name} +ready in \d+\.\d s", up.text)
        assert re.search(rf"{name} +http://127\.0\.0\.1:\d+ +ready +\d+", up.text)
    assert "first values within 7 s (scraped and recorded every 1 s), rates one scrape later" in up.text
    assert re.search(r"memory_usage +127\.0\.0\.1:\d+ +\d+\.\d +percent", up.text)


def test_labels_are_shown_as_they_are_and_steer_nothing(up: Up) -> None:
    up.shows(re.escape("[red]a\ufffd[31mb") + r" +7\.0 +\[b\]tons")

    assert "\x1b" not in up.text


def test_the_token_is_readable_by_its_owner_only(up: Up) -> None:
    up.shows("optimizer +ready")
    token = up.folder / ".perfloop" / "token"

    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert len(token.read_text().strip()) >= 40


def test_a_second_one_on_the_same_folder_is_refused(up: Up) -> None:
    up.shows("optimizer +ready")

    second = perfloop("up", cwd=up.folder)

    assert second.returncode == 1
    assert second.stderr == (
        f"perfloop: {up.folder}/.perfloop is in use by another perfloop (pid {up.pid}); it serves one stack\n"
    )


def test_a_killed_exporter_is_started_again_and_the_user_is_told(up: Up) -> None:
    first = int(up.shows(r"exporter +http://\S+ +ready +(\d+)").group(1))

    os.kill(first, signal.SIGKILL)

    up.shows(r"exporter +killed by signal 9; again in 1 s")
    second = int(up.shows(r"exporter +started again, pid (\d+)").group(1))
    address = yaml.safe_load((up.folder / "perfloop.yml").read_text())["web"]["exporter_address"]
    eventually(lambda: _answers(f"http://{address}/-/ready"))
    assert second in {child.pid for child in up.children()}


def test_ctrl_c_on_a_terminal_leaves_no_process_and_a_sane_cursor(tmp_path: Path, started: list[Up]) -> None:
    configure(tmp_path)
    started.append(up := Up(tmp_path, terminal=True))
    up.shows("nothing is measured now")
    children = up.children()

    code = up.end(signal.SIGINT)

    assert code == 0
    assert up.text.rstrip().endswith("Everything has ended")
    assert up.text.rindex("\x1b[?25h") > up.text.rindex("\x1b[?25l")
    assert len(children) == len(CHILDREN)
    assert not _alive(children)


def test_sigterm_during_the_start_leaves_no_process(tmp_path: Path, started: list[Up]) -> None:
    configure(tmp_path)
    started.append(up := Up(tmp_path))
    up.shows("Starting")
    children = eventually(lambda: (found := up.children())[3:] and found, what="four children")

    code = up.end(signal.SIGTERM)

    assert code == 0
    assert "measuring" not in up.text
    assert not _alive(children)


def test_children_die_with_a_parent_that_is_killed(tmp_path: Path, started: list[Up]) -> None:
    configure(tmp_path)
    started.append(up := Up(tmp_path))
    up.shows("optimizer +ready")
    children = up.children()

    up.end(signal.SIGKILL)

    assert len(children) == len(CHILDREN)
    eventually(lambda: not _alive(children), what="the end of all children")


def test_a_state_folder_serves_again_with_its_data_and_its_token(tmp_path: Path, started: list[Up]) -> None:
    addresses = configure(tmp_path)
    started.append(first := Up(tmp_path))
    first.shows("cpu_usage")
    token = (tmp_path / ".perfloop" / "token").read_text()
    samples = f"http://{addresses['prometheus']}/api/v1/query?query=count_over_time(up{{job='perfloop'}}[10m])"
    before = _number(samples)
    first.end()

    started.append(second := Up(tmp_path))
    second.shows("cpu_usage")

    eventually(lambda: _number(samples) > before, what="old samples and new ones")
    assert (tmp_path / ".perfloop" / "token").read_text() == token
    assert stat.S_IMODE((tmp_path / ".perfloop" / "token").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("prometheus", "prometheus.url"),
        ("alertmanager", "prometheus.alertmanager_url"),
        ("exporter", "web.exporter_address"),
        ("optimizer", "web.optimizer_address"),
    ],
)
def test_a_taken_port_is_named_with_its_key_and_file(tmp_path: Path, name: str, key: str) -> None:
    address = configure(tmp_path)[name]
    host, _, port = address.rpartition(":")

    with socket.create_server((host, int(port))):
        done = perfloop("up", cwd=tmp_path)

    assert done.returncode == 1
    assert done.stderr == (
        f"perfloop: {address} is taken by another process; end that, or change {key} in {tmp_path}/perfloop.yml\n"
    )
    assert done.stdout == ""


def test_two_processes_cannot_have_one_address(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    configure(tmp_path, web={"exporter_address": address, "optimizer_address": address})

    done = perfloop("up", cwd=tmp_path)

    assert done.returncode == 1
    assert f"web.exporter_address is {address}, and so is another address" in done.stderr


def test_a_missing_program_is_one_line_that_says_what_installs_it(tmp_path: Path) -> None:
    configure(tmp_path)
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "setpriv").symlink_to(find_binary("setpriv"))

    argv = [sys.executable, "-m", "perfloop", "up"]
    env = {"PATH": str(folder)}
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=30)

    assert done.returncode == 1
    assert done.stderr == "perfloop: prometheus is not installed; `make install` installs what perfloop needs\n"


def test_a_state_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    configure(tmp_path)
    (tmp_path / "file").touch()

    done = perfloop("up", "--state-dir", "file/state", cwd=tmp_path)

    assert done.returncode == 1
    assert done.stderr == f"perfloop: cannot write {tmp_path}/file/state: Not a directory\n"


def test_a_server_that_does_not_start_is_quoted_and_nothing_stays(tmp_path: Path) -> None:
    configure(tmp_path)
    (tmp_path / ".perfloop" / "prometheus").mkdir(parents=True)
    (tmp_path / ".perfloop" / "prometheus" / "wal").touch()

    done = perfloop("up", cwd=tmp_path)

    assert done.returncode == 1
    assert re.fullmatch(
        rf"perfloop: prometheus ended with \d+: .*wal.* \(log: {tmp_path}/\.perfloop/prometheus\.log\)\n", done.stderr
    )
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]


def _alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def _number(url: str) -> int:
    """The result of an instant query."""
    return int(requests.get(url, timeout=5).json()["data"]["result"][0]["value"][1])


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).ok
    except requests.RequestException:
        return False
