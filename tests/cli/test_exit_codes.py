"""0 ok, 1 error, 2 usage, 3 findings; what went wrong is on stderr, in one line for each thing, without a traceback."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from perfloop import __version__
from perfloop.stack.process import free_port
from perfloop.stack.servers import http_ready
from tests.support import eventually, perfloop, without_parser

MISTAKE = "optimisation: {}\n"
# Without --config.file the exporter needs no configuration.
NAMED = ["exporter", "--config.file", "perfloop.yml"]
READERS = [
    ["check"],
    ["compile", "--out", "out"],
    ["exporter"],
    ["optimizer"],
    ["up"],
    ["actions", "list"],
    ["alerts", "list"],
]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["fly"], "No such command 'fly'", id="an unknown command"),
        pytest.param(["check", "--fast"], "No such option", id="an unknown option"),
        pytest.param(["compile"], "Missing option '--out'", id="a missing option"),
        pytest.param(["actions", "show"], "Missing argument 'ID'", id="a missing argument"),
        pytest.param(["actions", "list", "--limit", "0"], "'--limit'", id="a number out of bounds"),
        pytest.param(["demo", "--scenario", "x"], "'--scenario'", id="an unknown scenario"),
        pytest.param(["exporter", "--log.level", "loud"], "'--log.level'", id="an unknown level"),
    ],
)
def test_usage_errors_are_2(arguments: list[str], says: str) -> None:
    done = perfloop(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


@pytest.mark.parametrize("arguments", READERS, ids=lambda words: words[0])
def test_a_mistake_in_the_configuration_is_1_with_its_place(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "perfloop.yml").write_text(MISTAKE, encoding="utf-8")

    done = perfloop(*arguments, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "perfloop.yml:1: optimisation: unknown key; did you mean optimization?\n"
    assert {path.name for path in tmp_path.iterdir()} == {"perfloop.yml"}


@pytest.mark.parametrize("arguments", [*(words for words in READERS if words != ["exporter"]), NAMED], ids=" ".join)
def test_a_missing_configuration_is_1_with_its_name(arguments: list[str], tmp_path: Path) -> None:
    done = perfloop(*arguments, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "perfloop.yml: No such file or directory\n"


@pytest.mark.parametrize("name", ["exporter", "optimizer"])
def test_a_taken_port_is_1_with_the_address(name: str, tmp_path: Path) -> None:
    (tmp_path / "perfloop.yml").write_text("web: {token: {file: token}}\n", encoding="utf-8")
    (tmp_path / "token").write_text("s3cret", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"

        done = perfloop(name, "--web.listen-address", address, cwd=tmp_path)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"perfloop: cannot listen on {address}: Address already in use")


def test_findings_of_promtool_are_3_and_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "perfloop.yml").write_text("metrics: {q: {expr: 'sum(', unit: jobs, direction: lower}}", "utf-8")
    without_parser(tmp_path)

    done = perfloop("check", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (3, "")
    assert "perfloop.yml: " in done.stderr


def test_the_version_is_0() -> None:
    done = perfloop("--version")

    assert (done.returncode, done.stdout) == (0, f"perfloop, version {__version__}\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("name", ["exporter", "optimizer"])
def test_a_service_that_is_told_to_end_does_so_with_0(name: str, number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "perfloop.yml").write_text("web: {token: {file: token}}\n", encoding="utf-8")
    (tmp_path / "token").write_text("s3cret", encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    argv = [sys.executable, "-m", "perfloop", name, "--web.listen-address", address]
    with subprocess.Popen(argv, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: http_ready(f"http://{address}/-/ready"), what=f"the {name}")
        finally:
            process.send_signal(number)

        assert process.wait(timeout=20) == 0
