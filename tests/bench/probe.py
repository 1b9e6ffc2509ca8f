"""Asking a server over a kept connection, and what it costs the server's process, as the kernel counts it."""

from __future__ import annotations

import math
import os
import re
import socket
import struct
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import httptools

_TIMEOUT_SECONDS = 30
_RECEIVED_BYTES = 1 << 18
# What Prometheus 2.42 sends, so that both sides choose the format that it would get.
SCRAPE_HEADERS = (
    "Accept: application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "Accept-Encoding: gzip",
    "X-Prometheus-Scrape-Timeout-Seconds: 10",
)


class Answer(NamedTuple):
    """What came back, and how long after the request its last byte did."""

    status: int
    body: bytes
    seconds: float


class Client:
    """One kept connection, or, for who hangs up after each answer, one for each request.

    Parsing is httptools', so that little of the time is the client's own.
    """

    def __init__(self, port: int, *, kept: bool = True) -> None:
        self._port, self._kept, self._host = port, kept, f"127.0.0.1:{port}"
        self._socket = self._connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self._port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The kernel's own timeout: Python's asks poll() before each call, which is time of the client's.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", _TIMEOUT_SECONDS, 0))
        return connection

    def scrape(self) -> Answer:
        """Ask for /metrics as Prometheus does."""
        return self.ask("GET", "/metrics", *SCRAPE_HEADERS)

    def ask(self, method: str, path: str, *headers: str, body: bytes = b"") -> Answer:
        """Send one request and wait for its whole answer. Raises OSError when the server hangs up."""
        head = (f"{method} {path} HTTP/1.1", f"Host: {self._host}", *headers, f"Content-Length: {len(body)}", "", "")
        request = "\r\n".join(head).encode() + body
        self._parts: list[bytes] = []
        self._complete = self._compressed = False
        parser = httptools.HttpResponseParser(self)
        started_at = time.perf_counter()
        self._socket.sendall(request)
        while not self._complete:
            if not (data := self._socket.recv(_RECEIVED_BYTES)):
                raise OSError(f"{self._host} hung up")
            parser.feed_data(data)
        seconds = time.perf_counter() - started_at
        if not self._kept:
            self._socket.close()
            self._socket = self._connect()
        whole = b"".join(self._parts)
        return Answer(parser.get_status_code(), zlib.decompress(whole, 31) if self._compressed else whole, seconds)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools."""
        self._compressed |= name.lower() == b"content-encoding" and value == b"gzip"

    def on_body(self, part: bytes) -> None:
        """Called by httptools."""
        self._parts.append(part)

    def on_message_complete(self) -> None:
        """Called by httptools."""
        self._complete = True


class CpuMeter:
    """CPU time of a process, to the nanosecond: the sum over its threads of /proc/PID/task/TID/schedstat."""

    def __init__(self, pid: int) -> None:
        self._tasks = Path(f"/proc/{pid}/task")
        self._before = self._read()

    def lap_seconds(self) -> float:
        """Return what was used since the last call; the end of a thread that ended meanwhile is not seen."""
        before, self._before = self._before, self._read()
        return sum(used - before.get(thread, 0) for thread, used in self._before.items()) / 1e9

    def _read(self) -> dict[str, int]:
        found = {}
        for task in self._tasks.iterdir():
            try:
                found[task.name] = int((task / "schedstat").read_bytes().split()[0])
            except OSError:  # the thread has just ended
                continue
        return found


class TickMeter(CpuMeter):
    """CPU time of a process and of its threads that have ended, to the hundredth of a second: /proc/PID/stat."""

    def __init__(self, pid: int) -> None:
        self._stat, self._ticks = Path(f"/proc/{pid}/stat"), os.sysconf("SC_CLK_TCK")
        super().__init__(pid)

    def _read(self) -> dict[str, int]:
        fields = self._stat.read_bytes().rpartition(b")")[2].split()
        return {"process": (int(fields[11]) + int(fields[12])) * 10**9 // self._ticks}


def tree(pid: int) -> list[int]:
    """Return a process and all of its children, and theirs."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [pid, *(found for child in children for found in tree(int(child)))]


def samples(page: bytes) -> set[bytes]:
    """Return the series of a page: each line without its value."""
    return {line.rpartition(b" ")[0] for line in page.splitlines() if line and not line.startswith(b"#")}


def resident_mebibytes(pid: int) -> float:
    """Return what the process holds in memory now, VmRSS."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    return int(found[1]) / 1024 if found else math.nan


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that this share of them does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
