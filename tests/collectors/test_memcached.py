"""A real Memcached: what was done there is what the page shows."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from perfloop.collectors.memcached import MemcachedCollector
from perfloop.errors import PerfloopError, Rejected, Unavailable
from perfloop.exposition.page import render_page
from perfloop.model import Component
from perfloop.stack import servers
from perfloop.stack.process import Child, free_port
from tests.collectors.doubles import Conversation, answering, dripping, flooding, talking
from tests.collectors.pages import Page, lint, page_of
from tests.support import eventually, freeze

Say = Callable[[bytes], bytes]


@pytest.fixture
def say(memcached: Child) -> Iterator[Say]:
    host, _, port = memcached.address.rpartition(":")
    with socket.create_connection((host, int(port))) as connection:

        def exchange(request: bytes) -> bytes:
            connection.sendall(request)
            return connection.recv(1 << 16)

        yield exchange
        exchange(b"flush_all\r\n")


@pytest.fixture
def collector(memcached: Child) -> Iterator[MemcachedCollector]:
    made = MemcachedCollector(component(memcached.address))
    yield made
    made.close()


def component(address: str) -> Component:
    return Component(name="pages", driver="memcached", address=address)


def value(page: Page, name: str, **labels: str) -> float:
    return page.value(f"perfloop_memcached_{name}", component="pages", **labels)


def test_commands_are_counted_by_what_they_found(say: Say, collector: MemcachedCollector) -> None:
    before = page_of(collector.collect())
    say(b"set present 0 0 5\r\nhello\r\n")
    say(b"get present\r\n")
    say(b"get absent\r\n")
    say(b"get absent\r\n")
    say(b"delete absent\r\n")

    page = page_of(collector.collect())

    def grown(name: str, **labels: str) -> float:
        return value(page, name, **labels) - value(before, name, **labels)

    assert grown("commands_total", command="get", status="hit") == 1
    assert grown("commands_total", command="get", status="miss") == 2
    assert grown("commands_total", command="delete", status="miss") == 1
    assert value(page, "commands_total", command="cas", status="changed") == 0
    assert grown("sets_total") == 1
    assert value(page, "items") >= 1
    assert value(page, "items_max_bytes") == 16 * 1024 * 1024
    assert value(page, "connections") >= 2
    assert value(page, "max_connections") == 1024
    assert value(page, "item_max_bytes") == 1024 * 1024
    assert value(page, "evictions_enabled") == 1
    assert value(page, "cpu_user_seconds_total") < 60
    assert value(page, "start_timestamp_seconds") == pytest.approx(time.time(), abs=3600)
    assert lint(page.text) == ""
    assert list(read_openmetrics(render_page(collector.collect(), openmetrics=True).decode()))


def test_each_slab_class_in_use_has_its_series(say: Say, collector: MemcachedCollector) -> None:
    say(b"set small 0 0 5\r\nhello\r\n")
    say(b"set large 0 0 5000\r\n" + bytes(5000) + b"\r\n")

    page = page_of(collector.collect())

    slabs = page.labels("perfloop_memcached_slab_items", "slab")
    assert len(slabs) >= 2
    assert slabs <= page.labels("perfloop_memcached_slab_chunk_bytes", "slab")
    for slab in slabs:
        assert value(page, "slab_items", slab=slab) >= 1
        assert value(page, "slab_chunks_used", slab=slab) >= 1
        assert value(page, "slab_evictions_total", slab=slab) == 0
    assert value(page, "slab_classes") >= 2


def test_a_unix_socket_is_an_address_too(server_folder: Path) -> None:
    folder = server_folder / "unix"
    folder.mkdir()
    folder.chmod(0o777)
    path = folder / "memcached.sock"
    child = servers.memcached(folder, port=0, options=("-s", str(path)))
    child.start()
    try:
        eventually(path.exists, what="Memcached")
        made = MemcachedCollector(component(str(path)))
        assert value(page_of(made.collect()), "up") == 1
        made.close()
    finally:
        child.kill()


def test_a_restarted_server_is_found_again(server_folder: Path) -> None:
    port = free_port()
    made = MemcachedCollector(component(f"127.0.0.1:{port}"))
    for _ in range(2):
        child = servers.memcached(server_folder / "again", port=port)
        child.start()
        child.wait_ready()
        assert value(page_of(made.collect()), "up") == 1
        child.kill()
        with pytest.raises(Unavailable):
            made.collect()
    assert value(page_of(made.down()), "up") == 0


def test_a_stopped_server_is_given_up_and_found_again(memcached: Child) -> None:
    made = MemcachedCollector(component(memcached.address), timeout_seconds=0.3)
    page_of(made.collect())
    freeze(memcached.pid)
    try:
        with pytest.raises(Unavailable, match="timed out"):
            made.collect()
    finally:
        os.kill(memcached.pid, signal.SIGCONT)

    assert value(page_of(made.collect()), "up") == 1
    made.close()


def test_silence_and_refusal_are_said_with_the_address(black_hole: str, dead_address: str) -> None:
    with pytest.raises(Unavailable, match=f"{black_hole}: timed out"):
        MemcachedCollector(component(black_hole), timeout_seconds=0.1).collect()
    with pytest.raises(Unavailable, match=f"{dead_address}: .*refused"):
        MemcachedCollector(component(dead_address)).collect()


def test_an_answer_that_drips_is_given_up_in_time() -> None:
    stop, started_at = threading.Event(), time.monotonic()
    with talking(dripping(stop)) as address, pytest.raises(Unavailable, match="timed out"):
        MemcachedCollector(component(address), timeout_seconds=0.3).collect()

    assert time.monotonic() - started_at < 1
    stop.set()


@pytest.mark.parametrize(
    "conversation",
    [
        pytest.param(answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"), id="another protocol"),
        pytest.param(answering(b"ERROR\r\n" * 4), id="errors"),
        pytest.param(answering(b"CLIENT_ERROR unauthenticated\r\n" * 4), id="a login is asked for"),
        pytest.param(flooding(b"STAT pid 1\r\n" * 10_000), id="it never ends"),
        pytest.param(answering(b""), id="it hangs up"),
    ],
)
def test_a_strange_answer_is_an_error_and_no_more(conversation: Conversation) -> None:
    with talking(conversation) as address:
        made = MemcachedCollector(component(address))
        with pytest.raises((Unavailable, Rejected)):
            made.collect()
        made.close()


LINE = st.one_of(
    st.binary(max_size=30),
    st.builds(
        lambda key, value: b"STAT " + key + b" " + value,
        st.sampled_from(
            [b"uptime", b"time", b"curr_items", b"items:1:number", b"1:chunk_size", b"version", b"get_hits"]
        ),
        st.one_of(st.binary(max_size=8), st.integers().map(lambda n: b"%d" % n), st.just(b"yes")),
    ),
    st.just(b"END"),
)


@settings(max_examples=50, deadline=None)
@given(lines=st.lists(LINE, max_size=25))
def test_whatever_is_answered_the_page_is_valid_or_not_there(lines: list[bytes]) -> None:
    answer = b"STAT pid 1\r\n" + b"\r\n".join([*lines, *[b"END"] * 4]) + b"\r\n"
    with talking(answering(answer)) as address:
        made = MemcachedCollector(component(address), timeout_seconds=2)
        try:
            assert value(page_of(made.collect()), "up") == 1
        except PerfloopError:
            assert value(page_of(made.down()), "up") == 0
        made.close()
