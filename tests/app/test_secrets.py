"""Secrets stay secret: whatever fails, no page, no answer and no line of the log says a password or a token."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from perfloop.logs import JsonLines, Logfmt
from perfloop.stack.process import free_port
from tests.app.conftest import Running
from tests.app.everything import Everyone
from tests.support import eventually

SECRETS = [
    "pg'p@ss word/1",
    "bouncer-p:ss%2",
    "mysql-p@ss\\3",
    'redis-"pass"4',
    "probe-pass-5",
    "bearer-token-6",
    "module-token-7",
    "push-token-8",
]

_YML = """
collectors:
  application:
    probes:
    - {{component: echoed, url: "http://{web}/asked", expect_body: never,
        basic_auth: {{user: probe, password: {{file: secret-4}}}}}}
    - {{component: bearer, url: "http://{silent}/", bearer_token: {{file: secret-5}}}}
    - {{component: gone, url: "http://{dead}/", bearer_token: {{file: secret-5}}}}
  probe:
    modules:
      own: {{prober: http, http: {{bearer_token: {{file: secret-6}}}}}}
  push: {{token: {{file: secret-7}}}}
components:
"""
_DRIVERS = ("postgresql", "pgbouncer", "mysql", "redis")


def configuration(folder: Path, everyone: Everyone, *, silent: str) -> str:
    """Return a perfloop.yml whose targets refuse the login, are silent or gone; its secrets are files."""
    dead = f"127.0.0.1:{free_port()}"
    for number, secret in enumerate(SECRETS):
        (folder / f"secret-{number}").write_text(secret)
    lines = [_YML.format(web=everyone.web.http, silent=silent, dead=dead)]
    for number, driver in enumerate(_DRIVERS):
        refusing = everyone.mariadb.address if driver == "mysql" else everyone.redis.address
        lines += [
            f"  {driver}-{kind}: {{driver: {driver}, address: '{address}', user: someone, timeout_seconds: 1,"
            f" password: {{file: secret-{number}}}}}\n"
            for kind, address in {"refusing": refusing, "silent": silent, "dead": dead}.items()
        ]
    return "".join(lines)


def forms(secret: str) -> set[str]:
    """Return how a secret might look in a log or a URL."""
    basic = base64.b64encode(f"probe:{secret}".encode()).decode()
    return {secret, quote(secret), quote(secret, safe=""), repr(secret)[1:-1], basic}


def test_whatever_fails_no_secret_is_said(
    everyone: Everyone,
    exporter: Callable[[str], Running],
    black_hole: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    running = exporter(configuration(tmp_path, everyone, silent=black_hole))
    targets = {f"{driver}-{kind}" for driver in _DRIVERS for kind in ("refusing", "silent", "dead")}
    eventually(lambda: running.scrape() and targets | {"echoed", "bearer", "gone"} <= failed(caplog))

    said = [b"".join(body) for body in asked_of(running)]
    said += [formatter.format(record).encode() for formatter in (Logfmt(), JsonLines()) for record in caplog.records]

    assert len(said) > 20
    assert [form for secret in SECRETS for form in forms(secret) if any(form.encode() in each for each in said)] == []


def failed(caplog: pytest.LogCaptureFixture) -> set[str]:
    """Return the components of which the log says that they failed."""
    return {vars(record)["component"] for record in caplog.records if hasattr(record, "reason")}


def asked_of(running: Running) -> Iterator[tuple[bytes, ...]]:
    """Ask for everything that has an answer, also for what is refused; yield heads and bodies."""
    module = f"/probe?module=own&target=http://127.0.0.1:{free_port()}/"
    for method, path, headers in (
        ("GET", "/metrics", {}),
        ("GET", "/metrics", {"Accept": "application/openmetrics-text"}),
        ("GET", "/metrics?collect[]=nothing", {}),
        ("GET", "/", {}),
        ("GET", module, {}),
        ("GET", "/probe?module=none&target=x", {}),
        ("POST", "/push/job", {}),
        ("POST", "/push/job", {"Authorization": "Bearer wrong"}),
        ("POST", "/-/reload", {}),
        ("GET", "/-/healthy", {}),
    ):
        answer, body = running.ask(path, method, **headers)
        yield str(answer.headers).encode(), body
    for mistake in ("nonsense: true", "components: {c: {driver: redis, address: 'h:1', password: {file: gone}}}"):
        running.file.write_text(running.file.read_text() + mistake)
        answer, body = running.ask("/-/reload", "POST")
        yield str(answer.headers).encode(), body
