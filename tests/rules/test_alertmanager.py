"""A real Alertmanager with the compiled configuration: one webhook call, with the token, warnings muted."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import amlint.cli
import pytest
import requests

from perfloop import config
from perfloop.app.compile import compile_all, write_all
from perfloop.stack import servers
from perfloop.stack.process import free_port
from tests.support import eventually


class Webhook(ThreadingHTTPServer):
    """Keeps what it is sent: path, Authorization header and payload."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str | None, dict[str, Any]]] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.received.append((self.path, self.headers["Authorization"], body))
        self.send_response(202)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        del format, args


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    server = Webhook()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def alertmanager(tmp_path: Path, webhook: Webhook) -> Iterator[str]:
    """Address of an Alertmanager that was compiled for the webhook, its token beside perfloop.yml."""
    file, out = tmp_path / "perfloop.yml", tmp_path / "compiled"
    (tmp_path / "token").write_text("s3cret", encoding="utf-8")
    file.write_text(
        f"""\
performance_collection: {{collection_interval: 1}}
web: {{optimizer_address: "127.0.0.1:{webhook.server_port}", token: {{file: token}}}}
""",
        encoding="utf-8",
    )
    write_all(compile_all(config.load(file), config_path=file, out=out), out)
    child = servers.alertmanager(tmp_path, config=out / "alertmanager.yml", port=free_port())
    child.start()
    child.wait_ready()
    yield child.address
    child.stop()


def alert(severity: str, *, component: str = "orders-pool") -> dict[str, Any]:
    labels = {"alertname": "PoolWaitHigh", "rule": "pool_wait", "component": component, "severity": severity}
    return {"labels": labels}


def test_an_alert_reaches_the_optimizer_with_the_token_and_its_warning_is_muted(
    alertmanager: str, webhook: Webhook
) -> None:
    alerts = [alert("critical"), alert("warning"), alert("warning", component="other-pool")]
    requests.post(f"{alertmanager}/api/v2/alerts", json=alerts, timeout=5).raise_for_status()

    eventually(lambda: len(webhook.received) >= 2, what="a notification for each component")

    assert {(path, token) for path, token, _ in webhook.received} == {("/api/v1/alerts", "Bearer s3cret")}
    assert {
        (found["labels"]["component"], found["labels"]["severity"])
        for _, _, payload in webhook.received
        for found in payload["alerts"]
    } == {("orders-pool", "critical"), ("other-pool", "warning")}
    assert all(payload["version"] == "4" and payload["truncatedAlerts"] == 0 for _, _, payload in webhook.received)


def test_amlint_has_no_errors_and_no_warnings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "alertmanager.yml"
    files = compile_all(config.Config(), config_path=tmp_path / "perfloop.yml")
    file.write_text(files["alertmanager.yml"], encoding="utf-8")

    code = amlint.cli.main(["check", str(file)])

    assert code == 0, capsys.readouterr().out
