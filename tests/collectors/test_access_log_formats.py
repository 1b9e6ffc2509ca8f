"""Lines of every format, lines that are none, routes with a cap, and expressions that may hang."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfloop.collectors.access_log import AccessLogCollector
from perfloop.collectors.logs.counts import Counts, Totals
from perfloop.collectors.logs.formats import FIELDS, Format
from perfloop.collectors.logs.patterns import fault
from perfloop.collectors.logs.routes import Routes
from tests.collectors.pages import Page, lint, page_of

OWN = r"(?P<method>[A-Z]+) (?P<path>[^ ]+) (?P<status>[0-9]+)(?: (?P<bytes>[0-9]+|-) (?P<duration>[0-9.]+))?"
CADDY = {"method": "request.method", "path": "request.uri", "status": "status", "bytes": "size", "duration": "took"}
FORMATS = [
    Format(name="nginx"),
    Format(name="apache"),
    Format(name="haproxy"),
    Format(name="json", keys={field: field for field in FIELDS}),
    Format(name="json", keys=CADDY),
    Format(name="pattern", pattern=OWN),
]
START = "127.0.0.1 - - [21/Nov/2026:10:00:00 +0000] "
PROXY = "127.0.0.1:5 [21/Nov/2026:10:00:00.000] web~ app/one "


def read(line: str, written: Format) -> list[object]:
    rows = written.parser()(line.encode() + b"\n")
    return [value.decode() if isinstance(value, bytes) else value for row in rows for value in row]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(START + '"GET /a HTTP/1.1" 200 12', ["GET", "/a", "200", "12", ""], id="common"),
        pytest.param(START + '"GET /a HTTP/1.1" 200 - 0.5', ["GET", "/a", "200", "-", "0.5"], id="common and time"),
        pytest.param(START + '"GET /a?b HTTP/2.0" 200 1 "-" "x"', ["GET", "/a", "200", "1", ""], id="combined"),
        pytest.param(START + '"GET /a HTTP/1.1" 200 1 "-" "x" 0.1', ["GET", "/a", "200", "1", "0.1"], id="and time"),
        pytest.param(
            START + '"GET /a HTTP/1.1" 200 1 "-" "x" 0.1 0.2', ["GET", "/a", "200", "1", "0.1"], id="and more"
        ),
        pytest.param(START + r'"GET /a HTTP/1.1" 200 1 "-" "\"x\" y" 7', ["GET", "/a", "200", "1", "7"], id="quotes"),
        pytest.param(START + r'"\x16\x03\x01" 400 150 "-" "-" 0.0', ["", "", "400", "150", "0.0"], id="no HTTP"),
        pytest.param(START + '"" 408 0 "-" "-" 9.9', ["", "", "408", "0", "9.9"], id="nothing asked"),
        pytest.param(START + '"GET /a b HTTP/1.1" 200 1', ["GET", "/a", "200", "1", ""], id="a blank in the path"),
        pytest.param('::1 - "x y" [d] "GET /a HTTP/1.1" 200 1', [], id="a forged user"),
        pytest.param("::1 - a [b] ] [d] " + '"GET /a HTTP/1.1" 200 1', ["GET", "/a", "200", "1", ""], id="brackets"),
        pytest.param(START + '"GET /a HTTP/1.1" 200', [], id="cut off"),
    ],
)
def test_combined_lines_are_read(line: str, expected: list[str]) -> None:
    assert read(line, Format(name="nginx")) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(
            PROXY + '10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 "GET /a?b HTTP/1.1"',
            ["GET", "/a", "200", "2750", "109"],
            id="as it is",
        ),
        pytest.param(
            "Nov 21 10:00:00 lb haproxy[7]: "
            + PROXY
            + '0/0/1/2/+3 200 +9 c=d - --VN 1/1/1/1/0 0/0 {a b|c} {} "GET / H"',
            ["GET", "/", "200", "9", "3"],
            id="through syslog, with headers, while it goes on",
        ),
        pytest.param(
            PROXY + '-1/-1/-1/-1/5 -1 0 - - CR-- 1/1/0/0/0 0/0 "<BADREQ>"', ["", "", "-1", "0", "5"], id="broken off"
        ),
        pytest.param(PROXY + "0/0/5 200 - - ---- 1/1/1/1/0 0/0", [], id="TCP"),
        pytest.param("Proxy web started.", [], id="a notice"),
    ],
)
def test_lines_of_haproxy_are_read(line: str, expected: list[str]) -> None:
    assert read(line, Format(name="haproxy")) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(
            '{"request": {"method": "GET", "uri": "/a?b"}, "status": 200, "size": 3, "took": 0.5, "x": [1]}',
            ["GET", "/a?b", 200, 3, 0.5],
            id="an object",
        ),
        pytest.param('{"status": "200"}', [None, None, "200", None, None], id="fields that are not there"),
        pytest.param('{"request": {}}', [], id="no status"),
        pytest.param('{"request": "GET", "status": 200}', [], id="another shape"),
        pytest.param('{"status": [200]}', [], id="a list"),
        pytest.param("[" * 5000, [], id="deep"),
        pytest.param("not JSON", [], id="no JSON"),
    ],
)
def test_objects_are_read(line: str, expected: list[object]) -> None:
    assert read(line, Format(name="json", keys=CADDY)) == expected


def test_lines_of_an_own_pattern_are_read() -> None:
    own = Format(name="pattern", pattern=OWN)

    assert read("GET /a 200 5 0.25\r", own) == ["GET", "/a", "200", "5", "0.25"]
    assert read("GET /a 200", own) == ["GET", "/a", "200", None, None]
    assert read("GET /a 200 5 0.25 and more", own) == []


def counted(rows: str, routes: tuple[str, ...] = (), *, max_routes: int = 3) -> tuple[Page, Totals]:
    """Count lines of an own pattern: `GET /a 200`."""
    totals = Totals()
    counts = Counts("shop", totals, routes=Routes(routes, max_routes=max_routes), per_second=1)
    block = re.sub(r" *; *", "\n", rows).encode() + b"\n"
    counts.add(Format(name="pattern", pattern=OWN).parser()(block), lines=block.count(b"\n"))
    return page_of(counts.render()), totals


@pytest.mark.parametrize(
    ("path", "route"),
    [
        pytest.param("/users/7", "/users/{id}", id="a segment"),
        pytest.param("/users/7/?q=/users/8", "/users/{id}", id="with a query"),
        pytest.param("https://shop.example/users/7#x", "/users/{id}", id="with an origin"),
        pytest.param("/users/7/orders", "other", id="longer"),
        pytest.param("/static/a/b.css", "/static/*", id="a beginning"),
        pytest.param("/a.b", "/a.b", id="a dot is a dot"),
        pytest.param("/aXb", "other", id="and nothing else"),
        pytest.param("*", "other", id="no path"),
    ],
)
def test_a_path_has_the_first_route_that_fits(path: str, route: str) -> None:
    page, _ = counted(f"GET {path} 200", ("/users/{id}", "/static/*", "/a.b"))

    assert page.labels("perfloop_http_requests_total", "route") == {route}


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/users/42/orders", "/users/{id}/orders"),
        ("/v1/items/7f9c24e8-3b12-4f6a-9d2b-0123456789ab", "/v1/items/{id}"),
        ("/blob/d41d8cd98f00b204e9800998ecf8427e", "/blob/{id}"),
        ("/t/" + "word" * 20, "/t/{id}"),
        ("/deadbeef", "/deadbeef"),
        ("/", "/"),
    ],
)
def test_without_routes_identifiers_are_taken_out_of_paths(path: str, route: str) -> None:
    page, _ = counted(f"GET {path}?token=secret 200")

    assert page.labels("perfloop_http_requests_total", "route") == {route}


def test_routes_are_capped_and_what_came_too_late_is_counted() -> None:
    page, totals = counted("GET /a 200; GET /b 200; GET /c 200; GET /d 200; GET /e 302; GET /a 500", max_routes=3)

    assert page.labels("perfloop_http_requests_total", "route") == {"/a", "/b", "/c", "other"}
    assert sum(page.values("perfloop_http_requests_total", route="other")) == totals.capped == 2
    assert page.value("perfloop_http_requests_total", component="shop", route="/a", method="GET", code="5xx") == 1


def test_who_looks_for_holes_opens_no_routes() -> None:
    page, totals = counted("GET /wp-login.php 404; GET /.env 404; GET /shop 404; GET /shop 200; GET /shop 404")

    assert page.labels("perfloop_http_requests_total", "route") == {"/shop", "other"}
    assert sum(page.values("perfloop_http_requests_total", route="/shop")) == 2
    assert totals.capped == 0


def test_methods_and_codes_are_bounded_too() -> None:
    page, _ = counted("BREW /a 200; GET /a 999; GET /a 7", ("/a",))

    assert page.labels("perfloop_http_requests_total", "method") == {"GET", "other"}
    assert page.labels("perfloop_http_requests_total", "code") == {"2xx", "5xx", "other"}


def test_durations_fall_into_their_buckets_and_sum_up_exactly() -> None:
    page, _ = counted("GET /a 200 - 0.001; GET /a 200 - 0.0011; GET /a 200 5 99", ("/a",))

    labels = {"component": "shop", "route": "/a"}
    name = "perfloop_http_request_duration_seconds"
    buckets = [page.value(f"{name}_bucket", **labels, le=le) for le in ("0.001", "0.0025", "10.0", "+Inf")]
    assert buckets == [1, 2, 2, 3]
    assert page.value(f"{name}_sum", **labels) == 99.0021
    assert page.value("perfloop_http_response_bytes_total", **labels) == 5
    assert lint(page.text) == ""


@pytest.mark.parametrize(
    "value",
    ["-1", "1e400", "nan", "9" * 400, "true", "null", '"-"', '""', "{}", "1e99", '"\\ud800"', "18446744073709551616"],
)
def test_numbers_that_cannot_be_are_left_out(value: str, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(
        f'{{"status": 200, "bytes": {value}, "duration": {value}, "path": {value}}}\n' * 2 + '{"status": 200}\n'
    )
    source = AccessLogCollector("shop", log, state=tmp_path / "s", written=FORMATS[3], from_start=True)

    page = page_of(source.collect())

    assert page.values("perfloop_http_request_duration_seconds_sum") == []
    assert page.value("perfloop_access_log_lines_total", component="shop") == 3


LINES = st.lists(
    st.one_of(
        st.binary(max_size=80),
        st.text(max_size=80).map(str.encode),
        st.sampled_from(
            [START, PROXY, '"GET /a HTTP/1.1" 200 5 ', '"-" "x" 0.1', "0/0/0/0/0 200 3 ", "\\", "\0", "{"]
        ).map(str.encode),
        st.builds(lambda **entry: json.dumps(entry).encode(), status=st.integers(), path=st.text(), bytes=st.floats()),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(lines=LINES, written=st.sampled_from(FORMATS), joint=st.sampled_from([b"", b"\n", b"\n\n"]))
def test_no_line_can_break_anything(lines: list[bytes], written: Format, joint: bytes) -> None:
    block, totals = joint.join(lines) + b"\n", Totals()
    counts = Counts("shop", totals, routes=Routes(max_routes=5), per_second=1)

    counts.add(written.parser()(block), lines=block.count(b"\n"))

    page = page_of(counts.render())
    assert totals.lines == block.count(b"\n")
    assert 0 <= totals.unparsed <= totals.lines
    assert sum(page.values("perfloop_http_requests_total")) == totals.lines - totals.unparsed
    assert len(page.labels("perfloop_http_requests_total", "route")) <= 6


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(OWN, None, id="fine"),
        pytest.param(r'"(?P<method>\w+) (?P<path>[^ "]*+)[^"]*" (?P<status>\d{3}) (?P<bytes>\d+|-)', None, id="usual"),
        pytest.param(r"(?P<status>\d+) .*", None, id="anything at the end"),
        pytest.param(r"^(?P<path>.*) (?P<status>\d+)$", "no repetition may", id="quadratic"),
        pytest.param(r"(a+)+(?P<status>\d)", "repetition within a repetition", id="nested"),
        pytest.param(r"(a|aa)+(?P<status>\d)", "repetition within a repetition", id="alternatives"),
        pytest.param(r"(a?){30}(?P<status>\d)", "repetition within a repetition", id="options"),
        pytest.param(r"(?:a?){20}(?P<status>\d)", "no repetition may", id="a few options"),
        pytest.param(r".*,.*,.*(?P<status>\d)", "no repetition may", id="cubic"),
        pytest.param(r"(?:a+|b)a+a(?P<status>\d)", "no repetition may", id="across alternatives"),
        pytest.param(r"(.)\1(?P<status>\d)", "back references", id="back reference"),
        pytest.param(r"(?=.*x)(?P<status>\d)", "look-arounds", id="look-ahead"),
        pytest.param(r"(?i)(?P<status>\d)", "flags", id="flags"),
        pytest.param(r"(?i:x*)X(?P<status>\d)", "flags", id="local flags"),
        pytest.param(r"(?P<status>\d", "no regular expression", id="no expression"),
        pytest.param(r"(?P<code>\d)", "no field 'code'", id="unknown group"),
        pytest.param(r"\d+", "group named status", id="no status"),
    ],
)
def test_an_expression_that_strangers_could_hang_is_refused(text: str, said: str | None) -> None:
    problem = fault(text)

    assert problem is None if said is None else said in str(problem)


@pytest.mark.parametrize(
    "line", ['"' * 9000, "a" * 9000, "GET " * 4000, '"GET /' + "\\" * 9001, "[" * 9000, "1/" * 9000]
)
@pytest.mark.parametrize("written", FORMATS, ids=lambda written: written.name)
def test_a_hostile_line_is_read_once(line: str, written: Format) -> None:
    """A quadratic reading of a million bytes would not end within the test."""
    assert written.parser()((line * 120).encode() + b"\n") == []
