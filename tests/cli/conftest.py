"""A Prometheus with an hour of history and an Alertmanager, which run what a perfloop.yml compiles to."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import yaml

from perfloop.app.compile import compile_all, write_all
from perfloop.cli import main
from perfloop.config import load
from perfloop.stack import servers
from perfloop.stack.process import find_binary, free_port

STEP = 15
# Seconds of the hour during which the CPU was busy: ten minutes, and five more after a pause of five.
BUSY = (range(600, 1200), range(1500, 1800))


class Ground:
    """The folder of a perfloop.yml and the servers that it names; `began_at` is when the history begins."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "perfloop.yml"
        self.prometheus, self.alertmanager = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self.began_at = int(time.time()) // 60 * 60 - 3600
        (folder / "token").write_text("s3cret", encoding="utf-8")
        self.write("perfloop.yml")

    def write(self, name: str, *, warning: float = 80, cooldown: int = 10, prometheus: str | None = None) -> Path:
        """Write a configuration; the fake optimizer is Prometheus itself, so that all targets answer."""
        config = {
            "performance_collection": {
                "collection_interval": 1,
                "alert_thresholds": {
                    "cpu_usage": {
                        "warning_threshold": warning,
                        "duration": 60,
                        "channels": ["chat"],
                        "cooldown_minutes": cooldown,
                    }
                },
            },
            "alert_rules": [
                {
                    "name": "too_idle",
                    "enabled": False,
                    "condition": {"Threshold": {"metric": "cpu_usage", "operator": "LessThan", "value": 55}},
                },
                {"name": "long_queue", "condition": {"Threshold": {"metric": "queue_length", "value": 7}}},
            ],
            "metrics": {
                "queue_length": {"expr": "sum by (instance) (jobs_waiting)", "unit": "jobs", "direction": "lower"},
                # Two series become one with the same labels, which fails at each evaluation.
                "broken": {
                    "expr": 'label_replace(last_two, "instance", "x", "", "")',
                    "unit": "",
                    "direction": "lower",
                },
            },
            "aggregation_rules": [
                {
                    "metric_pattern": "cpu_usage",
                    "aggregation_type": "Max",
                    "time_window": 60,
                    "output_metric": "peak_cpu",
                }
            ],
            "channels": {"chat": {"webhook": {"url": "http://127.0.0.1:9/"}}},
            "prometheus": {
                "url": f"http://{prometheus or self.prometheus}",
                "alertmanager_url": f"http://{self.alertmanager}",
                "exporters": [],
            },
            "web": {"optimizer_address": self.prometheus, "token": {"file": "token"}},
        }
        file = self.folder / name
        file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        return file

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run perfloop beside the perfloop.yml, in this process: a new one takes longer than what it is to do."""
        said, wrong = io.StringIO(), io.StringIO()
        with chdir(self.folder), redirect_stdout(said), redirect_stderr(wrong), called(["perfloop", *arguments]):
            try:
                main()
                code = 0
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else 0
        return subprocess.CompletedProcess(arguments, code, said.getvalue(), wrong.getvalue())

    def compile(self) -> None:
        """Compile perfloop.yml into the folder `compiled`."""
        out = self.folder / "compiled"
        write_all(compile_all(load(self.file), config_path=self.file, out=out), out)

    def backfill(self) -> None:
        """Give Prometheus its hour of history, before it starts."""
        lines = ["# TYPE perfloop:cpu_usage gauge"]
        for offset in range(0, 3601, STEP):
            value = 90 if any(offset in busy for busy in BUSY) else 50
            lines.append(f'perfloop:cpu_usage{{instance="db-1"}} {value} {self.began_at + offset}')
        lines.append("# TYPE jobs_waiting gauge")
        waiting = ((offset, 9 if offset < 60 else 1) for offset in range(0, 3601, STEP))
        lines += [f'jobs_waiting{{instance="a"}} {value} {self.began_at + offset}' for offset, value in waiting]
        lines.append("# TYPE last_two gauge")
        for instance in "ab":
            lines += [f'last_two{{instance="{instance}"}} 1 {self.began_at + at}' for at in range(3000, 3601, STEP)]
        (self.folder / "history.txt").write_text("\n".join([*lines, "# EOF", ""]), encoding="utf-8")
        argv = [find_binary("promtool"), "tsdb", "create-blocks-from", "openmetrics", "history.txt", "prometheus"]
        subprocess.run(argv, cwd=self.folder, check=True, capture_output=True, timeout=60)


@contextmanager
def called(words: list[str]) -> Iterator[None]:
    """Let this process have been called so."""
    before, sys.argv = sys.argv, words
    try:
        yield
    finally:
        sys.argv = before


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Servers that run what perfloop.yml compiles to."""
    made = Ground(tmp_path_factory.mktemp("ground"))
    made.compile()
    made.backfill()
    compiled = made.folder / "compiled"
    children = [
        servers.prometheus(made.folder, config=compiled / "prometheus.yml", port=int(made.prometheus.split(":")[1])),
        servers.alertmanager(
            made.folder, config=compiled / "alertmanager.yml", port=int(made.alertmanager.split(":")[1])
        ),
    ]
    try:
        for child in children:
            child.start()
        for child in children:
            child.wait_ready()
        yield made
    finally:
        for child in children:
            child.stop()
