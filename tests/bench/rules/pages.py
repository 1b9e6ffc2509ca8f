"""What Prometheus scrapes: copies of a real exporter's page, or each series that any rule reads once for each host."""

from __future__ import annotations

import math
import random
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from msgspec import Struct

from perfloop.rules.groups import Group
from perfloop.rules.reading import series_read
from perfloop.stack import servers
from perfloop.stack.process import Child, free_port
from tests.app.conftest import Running
from tests.app.everything import busy_servers, write_files

#: What stands on which kind of host, by component; each is about 1,000 series with those of the host itself.
KINDS = (
    ("db", "pool"),
    ("cache", "cache-too", "shop", "shop-plain", "loopback", "names", "parser"),
    ("sql", "memory", "push"),
)
_BETWEEN_SECONDS = 15.0
_COUNTERS = ("_total", "_sum", "_count", "_bucket")
# Counters of what hardly ever happens: were they to grow, every alert would fire on every host.
_RARE = re.compile(
    "fail|error|reject|refus|drop|corrupt|deadlock|restart|kill|overflow|abort|lost|missed|stall|conflict"
)
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\{([^{}]*)\}")
_MATCHER = re.compile(r"(\w+)\s*=~?\s*\"([^\"|]*)")
_COMPONENT = re.compile(r'component="([^"]*)"')

Value = Callable[[float], float]


class Series(Struct, frozen=True):
    """One series as it stands on the page, and its value so many seconds after the beginning."""

    name: str
    value: Value


def real_page() -> list[tuple[str, float, float]]:
    """Measure everything that the exporter can, twice: each series with its two values."""
    with tempfile.TemporaryDirectory(prefix="perfloop-bench-") as name, ExitStack() as running:
        folder = Path(name)
        folder.chmod(0o755)  # for the user postgres
        database_port = free_port()
        settings = {"shared_preload_libraries": "pg_stat_statements", "fsync": "off"}
        children = {
            "postgresql": servers.postgresql(folder, port=database_port, settings=settings),
            "pgbouncer": servers.pgbouncer(folder, port=free_port(), database_port=database_port),
            "mariadb": servers.mariadb(folder, port=free_port()),
        }
        for child in children.values():
            _started(child, running)
        (folder / "everyone").mkdir()
        everyone = running.enter_context(busy_servers(folder / "everyone", **children))
        exporter = Running(folder, write_files(folder, everyone))
        running.callback(exporter.stop)
        exporter.scrape()
        time.sleep(_BETWEEN_SECONDS)
        before = _values(exporter.scrape().text)
        time.sleep(_BETWEEN_SECONDS)
        after = _values(exporter.scrape().text)
    return [(series, before.get(series, value), value) for series, value in after.items()]


def fleet(page: Sequence[tuple[str, float, float]], size: int) -> list[Series]:
    """Return the series of so many hosts of each kind in turn that there are about `size` of them."""
    found: list[Series] = []
    host = 0
    while len(found) < 0.95 * size:
        found += _host(page, host)
        host += 1
    return found


def dense(groups: Sequence[Group], size: int) -> list[Series]:
    """Return each series that any rule reads and none records, once for each of so many hosts: the worst input."""
    exprs = [rule.expr for group in groups for rule in group.rules]
    recorded = {rule.record for group in groups for rule in group.rules}
    names = sorted({name for expr in exprs for name in series_read(expr)} - recorded - {"up", "ALERTS"})
    labels: dict[str, dict[str, str]] = {name: {} for name in names}
    for name, matchers in (found for expr in exprs for found in _SELECTOR.findall(expr)):
        if name in labels:
            labels[name] |= {label: value for label, value in _MATCHER.findall(matchers) if label != "job"}
    found = []
    for host in range(max(1, round(size / len(names)))):
        for i, name in enumerate(names):
            told = {"component": "all", **labels[name], "instance": f"host-{host}:9847"}
            if name.endswith("_bucket"):
                told["le"] = "+Inf"
            text = ",".join(f'{label}="{value}"' for label, value in told.items())
            grows = name.endswith(_COUNTERS) and not _RARE.search(name)
            found.append(Series(f"{name}{{{text}}}", _growing(1 + i % 7) if grows else _swinging(0.5, 0.4, host + i)))
    return found


@contextmanager
def serving(series: Sequence[Series]) -> Iterator[str]:
    """Serve the series, each with the value that it has by now."""
    began_at = time.time()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            at = time.time() - began_at
            body = "".join(f"{each.name} {each.value(at)!r}\n" for each in series).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((servers.HOST, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"{servers.HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _host(page: Sequence[tuple[str, float, float]], host: int) -> Iterator[Series]:
    kind = KINDS[host % len(KINDS)]
    random_ = random.Random(host)
    for name, before, after in page:
        component = _COMPONENT.search(name)
        if component and component[1] not in kind:
            continue
        own = name.replace(f'component="{component[1]}"', f'component="{component[1]}-{host}"') if component else name
        bare, _, labels = own.partition("{")
        text = f'{bare}{{instance="host-{host}:9847"{"," + labels if labels else "}"}'
        yield Series(text, _moving(bare, before, after, phase=random_.uniform(0, 6)))


def _moving(name: str, before: float, after: float, *, phase: float) -> Value:
    """Return how a value goes on that was `before` and then `after`."""
    rate = (after - before) / _BETWEEN_SECONDS
    is_clock = after > 1e9 and abs(rate - 1) < 0.1
    if name.endswith(_COUNTERS) or is_clock:
        return lambda at: after + rate * at
    return _swinging(after, max(abs(after - before), 0.02 * abs(after)), phase)


def _growing(rate: float) -> Value:
    return lambda at: rate * at


def _swinging(middle: float, distance: float, phase: float) -> Value:
    return lambda at: middle + distance * math.sin(at / 60 + phase)


def _values(page: str) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in page.splitlines() if line.startswith("perfloop_"))
    return {series: float(value) for series, _, value in lines}


def _started(child: Child, running: ExitStack) -> None:
    child.start()
    running.callback(child.stop)
    child.wait_ready()
