"""A GitHub for tests: issues, comments and labels of one repository over real HTTP, with faults when asked for.

GitHub itself cannot be had here. What this does beyond keeping issues is what the notifier relies on: pages with Link
headers, pull requests among the issues, labels dropped for those who may not set them, `since`, rate limits.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from perfloop.testing import FakeClock

TOKEN = "ghp_s3cret"
REPOSITORY = "acme/shop"
Fault = Callable[["GitHub"], tuple[int, dict[str, str]] | None]


def answers(status: int, **headers: str) -> Fault:
    """A fault: this status instead of any work."""
    return lambda _: (status, {name.replace("_", "-"): value for name, value in headers.items()})


def hangs(github: GitHub) -> None:
    """A fault: no answer until the test has ended."""
    github.ended.wait(30)


class Lost(Exception):
    """A fault: the work is done, and the connection ends without an answer."""


class GitHub(ThreadingHTTPServer):
    """The server. `faults` meet the next requests that write, `read_faults` those that read."""

    daemon_threads = True

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.clock, self.ended = clock, threading.Event()
        self.issues: list[dict[str, Any]] = []
        self.comments: dict[int, list[dict[str, Any]]] = {}
        self.requests: list[str] = []
        self.faults: deque[Fault | type[Lost] | None] = deque()
        self.read_faults: deque[Fault | None] = deque()
        self.may_label, self.page_size = True, 100
        self.before_open: Callable[[], object] = lambda: None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> GitHub:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def said(self, number: int) -> list[str]:
        """Return the comments of an issue."""
        return [comment["body"] for comment in self.comments.get(number, [])]

    def states(self) -> list[str]:
        return [issue["state"] for issue in self.issues]

    def add(self, *, body: str, labels: list[str], **more: Any) -> dict[str, Any]:
        """Let somebody open an issue."""
        with self._lock:
            now = self.now()
            issue = {
                "number": len(self.issues) + 1,
                "state": "open",
                "body": body,
                "labels": [{"id": 1, "name": name} for name in labels],
                "created_at": now,
                "updated_at": now,
                "closed_at": None,
                **more,
            }
            self.issues.append(issue)
            return issue

    def change(self, number: int, **values: Any) -> dict[str, Any]:
        """Let somebody close, reopen or edit an issue."""
        issue = self.issues[number - 1]
        was = issue["state"]
        issue |= values | {"updated_at": self.now()}
        if issue["state"] != was:
            issue["closed_at"] = self.now() if issue["state"] == "closed" else None
        return issue

    def now(self) -> str:
        return datetime.fromtimestamp(self.clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Handler(BaseHTTPRequestHandler):
    server: GitHub
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # headers and body in one packet

    def do_GET(self) -> None:
        self._serve(self._read)

    def do_POST(self) -> None:
        self._serve(self._post)

    def do_PATCH(self) -> None:
        self._serve(lambda path, body: (200, self.server.change(int(path[0]), **body)))

    def _serve(self, work: Callable[[list[str], dict[str, Any]], tuple[int, Any]]) -> None:
        url, github = urlsplit(self.path), self.server
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        github.requests.append(f"{self.command} {url.path}")
        faults = github.read_faults if self.command == "GET" else github.faults
        fault = faults.popleft() if faults else None
        refusal = None if fault is None or fault is Lost else fault(github)  # type: ignore[arg-type,call-arg]
        if refusal is not None:
            return self._answer(refusal[0], {"message": f"the test says {refusal[0]}"}, refusal[1])
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self._answer(401, {"message": "Bad credentials"})
        prefix = f"/repos/{REPOSITORY}/issues"
        if not url.path.startswith(prefix):
            return self._answer(404, {"message": "Not Found"})
        status, found = work([part for part in url.path.removeprefix(prefix).split("/") if part], body)
        if fault is Lost:
            self.close_connection = True
            return None
        return self._answer(status, *found) if isinstance(found, tuple) else self._answer(status, found)

    def _post(self, path: list[str], body: dict[str, Any]) -> tuple[int, Any]:
        github = self.server
        if path:
            comment = {"body": body["body"], "created_at": github.now(), "updated_at": github.now()}
            github.comments.setdefault(int(path[0]), []).append(comment)
            return 201, comment
        github.before_open()
        labels = body["labels"] if github.may_label else []
        return 201, github.add(body=body["body"], title=body["title"], labels=labels)

    def _read(self, path: list[str], _: dict[str, Any]) -> tuple[int, Any]:
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        github = self.server
        since = query.get("since", "")
        if path:
            found = [c for c in github.comments.get(int(path[0]), []) if c["updated_at"] >= since]
        else:
            found = [
                issue
                for issue in github.issues
                if query["state"] in {issue["state"], "all"}
                and query["labels"] in {label["name"] for label in issue["labels"]}
                and issue["updated_at"] >= since
            ]
        page, size = int(query.get("page", "1")), min(int(query["per_page"]), github.page_size)
        more = f'<http://elsewhere.example/x?{urlencode({**query, "page": page + 1})}>; rel="next"'
        return 200, (found[(page - 1) * size : page * size], {"Link": more} if len(found) > page * size else {})

    def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(payload))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        del format, args
