"""Reloads while scrapes go on: each scrape is answered in full, and nothing is left behind."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from perfloop.stack.process import Child
from tests.app.conftest import Running
from tests.app.everything import Everyone
from tests.support import eventually

SCRAPES, RELOADS, CLIENTS = 200, 20, 4

_ALWAYS = "components:\n  kept: {{driver: redis, address: '{kept}'}}\n"
_EVEN = """  db: {{driver: postgresql, address: '{postgresql}', user: postgres}}
  pool: {{driver: pgbouncer, address: '{pgbouncer}', user: postgres}}
  silent: {{driver: redis, address: '{silent}', timeout_seconds: 0.3}}
collectors:
  network: {{targets: [{{component: kept, address: '{kept}'}}]}}
"""
_ODD = """  sql: {{driver: mysql, address: '{mariadb}', user: root}}
  cache: {{driver: memcached, address: '{memcached}'}}
collectors:
  application: {{probes: [{{component: web, url: 'http://{web}/'}}]}}
  process: {{groups: [{{name: caches, names: [redis-server]}}]}}
"""


def held() -> dict[str, int]:
    """Say how many threads and files this process has."""
    return {"threads": threading.active_count(), "files": len(list(Path("/proc/self/fd").iterdir()))}


def scrape_again_and_again(running: Running, problems: list[str]) -> None:
    """Scrape over a connection of our own; note each page that is not whole."""
    client = http.client.HTTPConnection(running.exporter.addresses[0], timeout=10)
    for _ in range(SCRAPES // CLIENTS):
        client.request("GET", "/metrics")
        answer = client.getresponse()
        page = answer.read()
        if answer.status != HTTPStatus.OK or b'\nperfloop_redis_up{component="kept"} 1\n' not in page:
            problems.append(f"{answer.status}: {page.decode()}")
    client.close()


def test_reloads_under_load_cost_no_scrape_and_leave_nothing_behind(
    exporter: Callable[[str], Running], everyone: Everyone, redis: Child, black_hole: str
) -> None:
    addresses = {name: getattr(everyone, name).address for name in ("postgresql", "pgbouncer", "mariadb", "memcached")}
    addresses |= {"kept": redis.address, "silent": black_hole, "web": everyone.web.http}
    calm, even, odd = (text.format(**addresses) for text in (_ALWAYS, _ALWAYS + _EVEN, _ALWAYS + _ODD))
    running = exporter(calm)
    running.scrape()
    before, problems = held(), list[str]()

    threads = [threading.Thread(target=scrape_again_and_again, args=(running, problems)) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    reloads = []
    for number in range(RELOADS):
        running.file.write_text(even if number % 2 else odd)
        reloads.append(running.ask("/-/reload", "POST")[0].status)
    for thread in threads:
        thread.join()
    running.file.write_text(calm)
    running.ask("/-/reload", "POST")

    assert problems == []
    assert reloads == [HTTPStatus.OK] * RELOADS
    eventually(lambda: running.scrape() and all(held()[what] <= before[what] for what in before), what=str(before))
