"""Requests from bytes: what a request says, how long it may be, and what is none."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perfloop.exposition.http import MAX_BODY_BYTES, MAX_HEAD_BYTES, BadRequestError, Request, RequestReader


def test_the_query_comes_without_its_escapes_and_repeated_names_keep_their_order() -> None:
    request = read(b"GET /metrics?collect[]=cpu&collect[]=disk%20io&empty=&a=b+c HTTP/1.1\r\n\r\n")

    assert request.path == "/metrics"
    assert request.query == {"collect[]": ("cpu", "disk io"), "empty": ("",), "a": ("b c",)}


def test_a_body_arrives_whole_by_length_and_by_chunks() -> None:
    by_length = read(b"POST /push HTTP/1.1\r\nContent-Length: 6\r\n\r\nabcdef")
    by_chunks = read(
        b"PUT /push HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\nAuthorization: x\r\n\r\n"
    )

    assert (by_length.method, by_length.body) == ("POST", b"abcdef")
    assert (by_chunks.method, by_chunks.body) == ("PUT", b"abcdef")
    assert "authorization" not in by_chunks.headers, "what stands behind the body is no header"


def test_a_repeated_header_counts_as_one_list() -> None:
    request = read(b"GET / HTTP/1.1\r\nAccept: a\r\nAccept: b\r\n\r\n")

    assert request.headers == {"accept": "a, b"}


def test_a_path_has_its_own_limit_for_bodies() -> None:
    reader = RequestReader(body_limit=lambda path: 4 if path == "/push" else 0)

    reader.feed(b"POST /push HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd")

    assert reader.requests.popleft().body == b"abcd"
    with pytest.raises(BadRequestError) as raised:
        reader.feed(b"POST /metrics HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd")
    assert raised.value.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_a_client_that_expects_to_be_asked_is_asked_once() -> None:
    reader = RequestReader()

    reader.feed(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")

    assert (reader.take_continue(), reader.take_continue()) == (True, False)
    reader.feed(b"abcd")
    assert reader.requests.popleft().body == b"abcd"


def test_a_client_that_sends_its_body_unasked_is_not_asked() -> None:
    reader = RequestReader()

    reader.feed(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nabcd")

    assert not reader.take_continue()


def test_a_body_counts_as_held_until_its_request_is_taken() -> None:
    reader = RequestReader()

    reader.feed(b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nab")
    assert reader.held_bytes == 4
    reader.feed(b"cd")
    assert reader.held_bytes == 4

    reader.requests.clear()
    assert reader.held_bytes == 0


def test_a_body_in_tiny_chunks_takes_little_more_memory_than_its_bytes() -> None:
    reader = RequestReader(body_limit=lambda _: 1 << 20)
    reader.feed(CHUNKED)
    chunks = b"2\r\nab\r\n" * 1000
    tracemalloc.start()

    for _ in range(250):
        reader.feed(chunks)
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most_bytes < 3 * 500_000


@pytest.mark.parametrize(
    ("offers", "expected"),
    [
        pytest.param("gzip", True, id="gzip"),
        pytest.param("deflate, *;q=0.1", True, id="anything"),
        pytest.param("*, gzip;q=0", False, id="anything else"),
        pytest.param("gzip;q=0, *", False, id="anything else, said first"),
        pytest.param("*;q=0", False, id="nothing"),
        pytest.param("*;q=0, gzip", True, id="nothing else"),
        pytest.param("", False, id="nothing said"),
    ],
)
def test_gzip_is_for_who_takes_it(offers: str, *, expected: bool) -> None:
    assert read(b"GET / HTTP/1.1\r\nAccept-Encoding: %b\r\n\r\n" % offers.encode()).accepts_gzip is expected


CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nA: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n", 431, id="a large header"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 9000 + b"\r\n", 431, id="a flood of small headers"),
        pytest.param(b"GET /" + b"x" * MAX_HEAD_BYTES + b" HTTP/1.1\r\n\r\n", 431, id="a long path"),
        pytest.param(b"GET /?" + b"a&" * 2000 + b" HTTP/1.1\r\n\r\n", 400, id="too many fields in the query"),
        pytest.param(b"GET /?\xff HTTP/1.1\r\n\r\n", 400, id="a query that is not ASCII"),
        pytest.param(CHUNKED + b"fffff\r\n" + b"x" * (MAX_BODY_BYTES + 1), 413, id="a body beyond the limit"),
        pytest.param(CHUNKED + b"1;" + b"x" * 70_000, 413, id="a chunk extension without end"),
        pytest.param(CHUNKED + b"0\r\nA: " + b"x" * 70_000, 413, id="a trailer without end"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, id="two lengths"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400, id="one length twice"),
        pytest.param(CHUNKED[:-2] + b"Content-Length: 1\r\n\r\n", 400, id="a length and chunks"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, id="a negative length"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n", 400, id="an endless length"),
        pytest.param(b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400, id="a coding that is not chunked"),
        pytest.param(b"GET / HTTP/1.1\r\nA: \0\r\n\r\n", 400, id="NUL in a header"),
        pytest.param(b"GET /\0 HTTP/1.1\r\n\r\n", 400, id="NUL in the path"),
        pytest.param(b"GET / HTTP/1.1\r\nA : b\r\n\r\n", 400, id="space before the colon"),
        pytest.param(b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400, id="a folded header"),
        pytest.param(b"GET / HTTP/1.1\nA: b\n\n", 400, id="lines without carriage returns"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, id="HTTP/2 without asking"),
    ],
)
def test_what_is_ambiguous_or_too_large_is_refused(data: bytes, status: int) -> None:
    with pytest.raises(BadRequestError) as raised:
        feed(RequestReader(), data, size_bytes=1 << 14)

    assert raised.value.status == status


@pytest.mark.parametrize(
    ("url", "path"),
    [
        pytest.param(b"http://example.net/metrics?a=b", "/metrics", id="an absolute URL"),
        pytest.param(b"http://example.net", "/", id="an absolute URL without a path"),
        pytest.param(b"//evil/metrics", "//evil/metrics", id="two slashes are no host"),
        pytest.param(b"/a%2Fb", "/a%2Fb", id="escapes stay"),
        pytest.param(b"*", "*", id="the server as a whole"),
    ],
)
def test_a_url_of_any_form_has_a_path(url: bytes, path: str) -> None:
    assert read(b"GET " + url + b" HTTP/1.1\r\n\r\n").path == path


@given(st.binary())
@example(b"GET /?%ff=%00 HTTP/1.1\r\n\r\n")
def test_a_reader_knows_no_error_but_a_bad_request(data: bytes) -> None:
    with suppress(BadRequestError):
        feed(RequestReader(), data, size_bytes=7)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Something near to a request, or to several."""
    url = draw(st.sampled_from([b"/", b"/push?a=b", b"*", b"http://h:1/p", b"?", b"//", b"/%"]) | st.binary(max_size=9))
    name = st.sampled_from([b"Host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Upgrade", b"Expect"])
    value = st.sampled_from([b"3", b"chunked", b"close", b"h2c", b"100-continue", b"x"]) | st.binary(max_size=9)
    headers = draw(st.lists(st.tuples(name, value), max_size=5))
    method = draw(st.sampled_from([b"GET", b"POST", b"HEAD", b"CONNECT", b"OPTIONS", b"get"]))
    head = method + b" " + url + b" HTTP/1.1\r\n" + b"".join(name + b": " + v + b"\r\n" for name, v in headers)
    return head + b"\r\n" + draw(st.sampled_from([b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"0\r\n"]))


@given(st.lists(messages(), max_size=4).map(b"".join), st.integers(1, 40))
def test_cutting_the_bytes_elsewhere_changes_no_request(data: bytes, size_bytes: int) -> None:
    assert outcome(data, size_bytes=len(data) or 1) == outcome(data, size_bytes=size_bytes)


def outcome(data: bytes, *, size_bytes: int) -> tuple[list[Request], HTTPStatus | None]:
    reader = RequestReader()
    try:
        feed(reader, data, size_bytes=size_bytes)
    except BadRequestError as error:
        return list(reader.requests), error.status
    return list(reader.requests), None


def feed(reader: RequestReader, data: bytes, *, size_bytes: int) -> None:
    for piece in pieces(data, size_bytes):
        reader.feed(piece)


def pieces(data: bytes, size_bytes: int) -> Iterator[bytes]:
    for start in range(0, len(data), size_bytes):
        yield data[start : start + size_bytes]


def read(data: bytes) -> Request:
    reader = RequestReader()
    reader.feed(data)
    return reader.requests.popleft()
