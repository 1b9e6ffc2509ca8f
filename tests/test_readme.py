"""Every command in README.md and docs/how-to.md works: run here on a real stack, or by the test that the table names.

A command that is in neither table fails: whoever writes a new one into a page says here how it is tried.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perfloop.stack.process import SERVER_PATH, free_port
from perfloop.stack.servers import http_ready
from tests.support import eventually, perfloop

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "docs/how-to.md")
PORTS = ("9847", "9848", "9849", "9850")

# Run as they stand, in a folder with the example's perfloop.yml, beside a running `perfloop up`; what they must print.
HERE = {
    "perfloop check": r"perfloop\.yml: ok",
    "perfloop compile --out compiled": r"wrote compiled/rules/perfloop-alerts\.yml",
    "perfloop compile --out compiled --target alertmanager=0.34": r"wrote compiled/alertmanager\.yml",
    "perfloop compile --out manifests --format prometheus-operator --namespace monitoring --label release=monitoring": (
        r"wrote manifests/"
    ),
    "perfloop rules explain CpuUsageHigh": r"perfloop:cpu_usage > 80",
    "perfloop query cpu_usage --from 1h --limit 5": r"instance=127\.0\.0\.1",
    'curl -s -H "Authorization: Bearer $(cat .perfloop/token)" '
    '"http://127.0.0.1:9848/api/v1/metrics?name=cpu_usage&limit=5"': r'"labels":\{"instance"',
    "perfloop actions list": r"id +time +component +policy",
    "perfloop actions list --decisions": r"time +rule +component",
    "perfloop actions list --decisions --limit 5": r"time +rule",
    "perfloop actions list --output json": r"^\[\]$",
    'perfloop actions pause --reason "migration until noon"': r"^paused: migration until noon$",
    "perfloop actions resume": r"^resumed$",
    'curl -s -H "Authorization: Bearer $(cat .perfloop/token)" http://127.0.0.1:9848/api/v1/status': r'"paused":null',
    'curl -s -X POST -H "Authorization: Bearer $(cat .perfloop/token)" http://127.0.0.1:9848/-/reload': r"",
    "amtool --alertmanager.url=http://127.0.0.1:9850 alert add alertname=TestAlert rule=test component=nothing": r"",
    "perfloop alerts list": r"alert +severity +about +since +state",
}
RULES = "tests/cli/test_rules.py::"
ACTIONS = "tests/cli/test_actions.py::"
ALERTS = "tests/cli/test_alerts.py::"
DEMO = "tests/e2e/test_demo.py::test_the_demo_proves_that_a_wider_pool_helped"
CI = "tests/test_repository.py::test_ci_runs_the_test_command_and_nothing_else"
SERVICE = "tests/cli/test_exit_codes.py::test_a_service_that_is_told_to_end_does_so_with_0"
ELSEWHERE = {
    # The example is evaluated each second here, and a week has many.
    "perfloop rules simulate CpuUsageHigh --from 7d": RULES
    + "test_simulate_counts_firings_flapping_and_notifications_as_worked_out_by_hand",
    "perfloop rules test": RULES + "test_test_tries_generated_tests_and_ones_own_against_what_compiles_now",
    "perfloop rules diff compiled": RULES + "test_diff_is_0_for_the_same_and_3_with_what_changed",
    "perfloop doctor": "tests/cli/test_doctor.py::"
    "test_what_was_compiled_is_what_runs_and_only_the_rule_that_fails_is_found",
    "make up": "tests/stack/test_up.py::test_a_line_for_each_process_then_a_table_with_current_values",
    "make demo": DEMO,
    "make test": CI,
    "make lint": CI,  # the first thing that make test does
    "perfloop demo --scenario pool": DEMO,
    "perfloop exporter": SERVICE,
    "perfloop optimizer": SERVICE,
    "perfloop actions show 3f2a": ACTIONS
    + "test_what_is_approved_begins_and_is_shown_with_its_change_verdict_and_history",
    "perfloop actions approve 3f2a": ACTIONS
    + "test_what_is_approved_begins_and_is_shown_with_its_change_verdict_and_history",
    "perfloop actions reject 3f2a": ACTIONS + "test_what_is_rejected_changes_nothing",
    "perfloop actions rollback 3f2a": ACTIONS + "test_what_was_kept_can_be_rolled_back",
    "perfloop actions release 3f2a": ACTIONS + "test_a_locked_component_can_be_released",
    'perfloop alerts ack cpu_usage --match instance=10.0.0.11:9847 --for 2h --comment "load test"': ALERTS
    + "test_a_rules_name_and_more_labels_narrow_what_is_acknowledged",
    "perfloop alerts unack cpu_usage": ALERTS + "test_what_was_acknowledged_is_told_again_after_unack",
    "perfloop alerts send-test ops-chat": ALERTS + "test_a_channel_that_works_is_told_and_only_that",
    "pip install '.[postgresql,redis]'": "tests/test_readme.py::test_the_package_installs_and_its_command_runs",
}
# Imports what the exporter of another host does not have, and fails.
WITHOUT_OPTIMIZER = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"litestar", "uvicorn", "sqlalchemy", "scipy", "numpy", "rich"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
from perfloop.cli import main
main()
"""


def commands() -> list[str]:
    """Return every command line of every sh block, in the pages' order."""
    text = "".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    blocks = re.findall(r"(?ms)^```sh\n(.*?)^```$", text)
    return list(dict.fromkeys(line for block in blocks for line in block.splitlines()))


class Folder:
    """A folder in which `perfloop up` runs on ports of its own, and a shell in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ports = {port: str(free_port()) for port in PORTS}
        example = (ROOT / "perfloop.yml").read_text(encoding="utf-8")
        quick = example.replace("collection_interval: 15 ", "collection_interval: 1 ")
        (path / "perfloop.yml").write_text(self._moved(quick), encoding="utf-8")

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euc", self._moved(command)],
            cwd=self.path,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}:{SERVER_PATH}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def _moved(self, text: str) -> str:
        return re.sub("|".join(PORTS), lambda found: self._ports[found[0]], text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    made = Folder(tmp_path_factory.mktemp("readme"))
    output = made.path / "up.txt"
    with output.open("w", encoding="utf-8") as file:
        argv = [sys.executable, "-m", "perfloop", "up"]
        process = subprocess.Popen(argv, cwd=made.path, stdout=file, stderr=subprocess.STDOUT)
    try:
        eventually(lambda: "measured now" in output.read_text("utf-8"), timeout_seconds=60, what="the first values")
        yield made
    finally:
        process.send_signal(signal.SIGTERM)
        ended = process.wait(timeout=60)
    assert (ended, output.read_text(encoding="utf-8").splitlines()[-1]) == (0, "Everything has ended")


def test_every_command_of_the_pages_is_in_a_table_and_no_other() -> None:
    assert set(commands()) == HERE.keys() | ELSEWHERE.keys()


@pytest.mark.parametrize("command", [command for command in commands() if command in HERE])
def test_a_command_of_the_pages_works_as_it_stands(command: str, folder: Folder) -> None:
    expected = re.compile(HERE[command], re.MULTILINE)

    done = eventually(lambda: _done(folder, command, expected), what=f"{expected.pattern!r} from {command}")

    assert done.returncode == 0


def _done(folder: Folder, command: str, expected: re.Pattern[str]) -> subprocess.CompletedProcess[str] | None:
    done = folder.run(command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done if expected.search(done.stdout) else None


def test_an_alert_of_ones_own_goes_the_whole_way_and_is_refused_with_a_reason(folder: Folder) -> None:
    sent = folder.run(next(command for command in HERE if "alert add" in command))

    line = eventually(
        lambda: re.search(r"(?m)^.* test +nothing .*$", folder.run("perfloop actions list --decisions").stdout)
    )

    assert sent.returncode == 0
    assert "refuse" in line[0]
    assert "no policy matches" in line[0]


@pytest.mark.parametrize(("command", "test"), ELSEWHERE.items(), ids=ELSEWHERE)
def test_the_test_that_tries_a_command_exists(command: str, test: str) -> None:
    file, _, name = test.partition("::")

    assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["up", "demo"])
def test_make_runs_what_those_tests_run(name: str) -> None:
    shown = dry_run(name)

    assert shown.splitlines() == ["scripts/install", f".venv/bin/perfloop {name}"]


def test_make_test_does_what_make_lint_does() -> None:
    shown = dry_run("test")

    assert shown.splitlines()[1] == "scripts/test"
    script = (ROOT / "scripts" / "test").read_text(encoding="utf-8")
    assert "\nscripts/lint\nlint=$?\n" in script
    assert "[ $lint -eq 0 ] &&" in script.splitlines()[-1]


def dry_run(target: str) -> str:
    """Return what make would run; the tests may run below another make, which must not show."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    argv = ["make", "--dry-run", target]
    return subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout


def test_the_package_installs_and_its_command_runs(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]

    subprocess.run([*pip, "--target", str(tmp_path), ".[postgresql,redis]"], cwd=ROOT, check=True, timeout=120)

    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    argv = [tmp_path / "bin" / "perfloop", "--version"]
    told = subprocess.run(argv, env=environ, capture_output=True, text=True, check=True)
    assert told.stdout == perfloop("--version").stdout


def test_the_exporter_needs_none_of_the_optimizers_libraries(tmp_path: Path) -> None:
    (tmp_path / "perfloop.yml").write_text("", encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    argv = [sys.executable, "-c", WITHOUT_OPTIMIZER, "exporter", "--web.listen-address", address]

    with subprocess.Popen(argv, cwd=tmp_path) as process:
        try:
            eventually(lambda: http_ready(f"http://{address}/metrics"), what="metrics")
        finally:
            process.terminate()
