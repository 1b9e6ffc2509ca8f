"""A server with a web configuration in a thread, as the exporter wires it."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import threading
from pathlib import Path

from perfloop.app.web_file import WebFile
from perfloop.exposition.access import Access
from perfloop.exposition.http import Request, Response
from perfloop.exposition.server import Server


class Serving:
    """Answers every path with the method and the path; /-/healthy is open to everybody."""

    def __init__(self, folder: Path, config: str, **limits: float) -> None:
        self.folder, self.file = folder, folder / "web.yml"
        self.file.write_text(config)
        self.seconds = 0.0
        self.web = WebFile(self.file, monotonic=lambda: self.seconds)
        self.access = access = Access(answer, config=self.web.config, wake=self.wake, open_paths={"/-/healthy"})
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = listener.getsockname()[1]
        self.server = Server(
            [listener], access, transport=self.web.transport, headers=access.headers, **limits  # type: ignore[arg-type]
        )  # fmt: skip
        self._thread = threading.Thread(target=self.server.serve, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self.server.wake()

    def rewrite(self, config: str) -> None:
        """Replace the file, and let the time pass after which it is looked at again."""
        new = self.file.with_suffix(".new")
        new.write_text(config)
        new.rename(self.file)
        self.seconds += 2

    def get(self, path: str = "/metrics", **headers: str) -> http.client.HTTPResponse:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        client.request("GET", path, headers=headers)
        return client.getresponse()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def secured(self, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
        return context.wrap_socket(self.connect(), server_hostname="localhost", session=session)

    def curl(self, *arguments: str, path: str = "/metrics", scheme: str = "https") -> str:
        """Return the answer's body, or what curl complains about."""
        command = ["curl", "--silent", "--show-error", "--max-time", "10", "--http1.1", *arguments]
        done = subprocess.run(
            [*command, f"{scheme}://localhost:{self.port}{path}"],
            capture_output=True, text=True, check=False, cwd=self.folder, timeout=20,
        )  # fmt: skip
        return done.stdout + done.stderr

    def stop(self) -> None:
        self.server.stop()
        self._thread.join(5)
        assert not self._thread.is_alive()
        self.access.close()


def answer(request: Request) -> Response:
    if request.path == "/exposition":
        return Response(body=b"answer 42\n")
    if request.path == "/large":
        return Response(body=b"x" * 3_000_000)
    return Response(body=f"{request.method} {request.path}".encode())
