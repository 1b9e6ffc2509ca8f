"""Receivers of notifications: they take everything, and keep what they were sent and when."""

from __future__ import annotations

import base64
import json
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Post:
    """One POST with a JSON body; `at` is a monotonic time."""

    at: float
    path: str
    authorization: str | None
    body: dict[str, Any]


class HttpSink(ThreadingHTTPServer):
    """Answers 202, as the optimizer does."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        super().__init__(("127.0.0.1", 0), _HttpHandler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def to(self, path: str) -> list[Post]:
        return [post for post in self.posts if post.path == path]


class SmtpSink(socketserver.ThreadingTCPServer):
    """A mail server without encryption that believes every login."""

    daemon_threads = True

    def __init__(self) -> None:
        self.logins: list[str] = []
        self.mails: list[tuple[list[str], str]] = []
        super().__init__(("127.0.0.1", 0), _SmtpHandler)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving(sink: socketserver.BaseServer) -> Iterator[None]:
    """Serve in a thread."""
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        sink.shutdown()
        sink.server_close()


class _HttpHandler(BaseHTTPRequestHandler):
    server: HttpSink

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posts.append(Post(time.monotonic(), self.path, self.headers["Authorization"], body))
        self.send_response(202)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        del format, args


class _SmtpHandler(socketserver.StreamRequestHandler):
    server: SmtpSink

    def handle(self) -> None:
        recipients: list[str] = []
        self._say("220 sink")
        while line := self.rfile.readline().decode().strip():
            verb = line.partition(" ")[0].upper()
            if verb == "EHLO":
                self._say("250-sink\r\n250 AUTH PLAIN")
            elif verb == "AUTH":
                self.server.logins.append(base64.b64decode(line.split()[2]).decode().strip("\0"))
                self._say("235 believed")
            elif verb == "DATA":
                self._say("354 go on")
                self.server.mails.append((recipients, self._text()))
                self._say("250 taken")
            elif verb == "QUIT":
                return self._say("221 bye")
            else:
                recipients += [line.partition(":")[2].split(">")[0].strip(" <")] if verb == "RCPT" else []
                self._say("250 fine")
        return None

    def _text(self) -> str:
        lines = iter(lambda: self.rfile.readline().decode(), ".\r\n")
        return "".join(lines)

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())
