"""A running exporter, asked over one kept connection."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from perfloop.app.exporter import Exporter, ReadFile
from perfloop.app.options import ExporterOptions
from perfloop.config.apart import read
from perfloop.stack.process import Child
from tests.app.everything import COMPAT, PUSH, TOKEN, Everyone, busy_servers, write_files
from tests.collectors.pages import Page
from tests.support import eventually

NOTHING = "collectors: {system: {enabled: false}, network: {enabled: false}, application: {enabled: false}}\n"


class Running:
    """An exporter in a thread, and one kept connection to it."""

    def __init__(
        self, folder: Path, config: str, options: ExporterOptions | None = None, *, read_file: ReadFile = read
    ) -> None:
        self.file = folder / "perfloop.yml"
        self.file.write_text(config)
        options = options or ExporterOptions(addresses=("127.0.0.1:0",))
        environ = {"REDIS_PASSWORD": "s3cret"}
        self.exporter = Exporter(self.file, base=folder, environ=environ, options=options, read_file=read_file)
        self._thread = threading.Thread(target=self.exporter.serve, daemon=True)
        self._thread.start()
        host, _, port = self.exporter.addresses[0].rpartition(":")
        self.client = http.client.HTTPConnection(host, int(port), timeout=10)

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        self.client.request(method, path, headers={key.replace("_", "-"): value for key, value in headers.items()})
        answer = self.client.getresponse()
        return answer, answer.read()

    def scrape(self) -> Page:
        answer, body = self.ask("/metrics")
        assert answer.status == 200
        return Page(body)

    def push(self, job: str, body: str, token: str) -> int:
        self.client.request("POST", f"/push/{job}", body, {"Authorization": f"Bearer {token}"})
        answer = self.client.getresponse()
        answer.read()
        return answer.status

    def timed_scrape(self) -> tuple[Page, float]:
        started_at = time.monotonic()
        page = self.scrape()
        return page, time.monotonic() - started_at

    def stop(self) -> None:
        self.client.close()
        self.exporter.stop()
        self._thread.join(5)
        assert not self._thread.is_alive()


@pytest.fixture
def exporter(tmp_path: Path) -> Iterator[Callable[[str], Running]]:
    made: list[Running] = []

    def make(config: str = "") -> Running:
        made.append(Running(tmp_path, config))
        return made[-1]

    yield make
    for running in made:
        running.stop()


@pytest.fixture(scope="package")
def everyone(server_folder: Path, postgresql: Child, pgbouncer: Child, mariadb: Child) -> Iterator[Everyone]:
    """All servers that the exporter can measure, each with something to tell."""
    folder = server_folder / "everyone"
    folder.mkdir()
    with busy_servers(folder, postgresql=postgresql, pgbouncer=pgbouncer, mariadb=mariadb) as everyone:
        yield everyone


@pytest.fixture(scope="package")
def everything(everyone: Everyone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An exporter that measures everything, under the names of the other exporters too; all that it asks answers."""
    folder = tmp_path_factory.mktemp("everything")
    options = ExporterOptions(addresses=("127.0.0.1:0",), compat=COMPAT)
    running = Running(folder, write_files(folder, everyone), options)
    assert running.push("nightly", PUSH, TOKEN) == HTTPStatus.OK
    eventually(lambda: set(running.scrape().values("perfloop_exporter_collector_success")) == {1.0})
    yield running
    running.stop()


@pytest.fixture
def black_hole() -> Iterator[str]:
    """Connections are accepted by the kernel, and nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
