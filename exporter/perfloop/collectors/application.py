"""HTTP probes of configured URLs: one GET per scrape, as a client sees it."""

from __future__ import annotations

import time
from contextlib import closing
from typing import ClassVar
from urllib.parse import urlsplit

from perfloop.errors import Unavailable
from perfloop.exposition.block import Block
from perfloop.exposition.histogram import Histogram
from perfloop.exposition.text import Samples, number
from perfloop.model import Family, MetricType

BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_CHUNK_BYTES = 1 << 16


def _family(name: str, kind: MetricType, text: str) -> Family:
    return Family(name=f"perfloop_application_{name}", type=kind, help=text, labels=("component",))


UP = _family("up", MetricType.GAUGE, "Whether the last probe was answered in time and as expected.")
PROBES = _family("probes_total", MetricType.COUNTER, "HTTP probes that were made.")
FAILURES = _family(
    "probe_failures_total", MetricType.COUNTER, "HTTP probes without an answer, or with another status than expected."
)
STATUS = _family("status_code", MetricType.GAUGE, "Status code of the last answer; none while there is no answer.")
DURATION = _family(
    "response_duration_seconds",
    MetricType.HISTOGRAM,
    "Time until the whole answer was read, whatever its status; probes without an answer are not in it.",
)


class ApplicationCollector:
    """Counts its own probes, so that the counters go on while the application is down.

    Redirects are not followed. Without an expected status, everything below 400 is as expected.
    """

    name: ClassVar[str] = "application"
    may_hang: ClassVar[bool] = True
    families: ClassVar[tuple[Family, ...]] = (UP, PROBES, FAILURES, STATUS, DURATION)

    def __init__(
        self, component: str, url: str, *, expect_status: int | None = None, timeout_seconds: float = 5.0
    ) -> None:
        self.component, self._url, self._expect_status = component, url, expect_status
        self._timeout_seconds = timeout_seconds
        self._probes = self._failures = 0
        self._block = Block((UP, PROBES, FAILURES, STATUS), fixed=(component,))
        self._duration = Histogram(DURATION, (component,), bounds_seconds=BOUNDS_SECONDS)

    def collect(self) -> Samples:
        """Probe once. Raises Unavailable when there is no answer."""
        self._probes += 1
        try:
            status, seconds = get(self._url, timeout_seconds=self._timeout_seconds)
        except OSError as error:
            self._failures += 1
            # The address may hold a token; the component says which one it is.
            raise Unavailable(str(error)) from error
        self._duration.observe(seconds)
        as_expected = status == self._expect_status if self._expect_status else status < 400
        self._failures += not as_expected
        return self._samples(up=int(as_expected), status=status)

    def down(self) -> Samples:
        """Return the counters as they stand, without asking the application."""
        return self._samples(up=0, status=None)

    def close(self) -> None:
        """Do nothing: no connection is kept."""

    def _samples(self, *, up: int, status: int | None) -> Samples:
        row = [number(value) for value in (up, self._probes, self._failures, status)]
        return (*self._block.render_row(row), self._duration.render())


def get(url: str, *, timeout_seconds: float) -> tuple[int, float]:
    """Return status and seconds of one GET. Raises OSError for whatever keeps the answer away."""
    from http.client import HTTPConnection, HTTPException, HTTPSConnection  # noqa: PLC0415 - 5 MB, only if configured

    started_at = time.perf_counter()
    try:
        parts = urlsplit(url)
        connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        with closing(connect(parts.netloc, timeout=timeout_seconds)) as connection:
            target = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
            connection.request("GET", target, headers={"User-Agent": "perfloop"})
            answer = connection.getresponse()
            while answer.read(_CHUNK_BYTES):
                # The socket's own limit is for one piece; this one is for the whole answer.
                if time.perf_counter() - started_at > timeout_seconds:
                    raise TimeoutError(f"the answer was not complete after {timeout_seconds:g} s")
    except (HTTPException, ValueError) as error:
        raise OSError(f"no HTTP: {type(error).__name__}") from error
    return answer.status, time.perf_counter() - started_at
