"""Foreign pages: what is accepted says the same to the official parsers, and what is not is refused with its line."""

from __future__ import annotations

import contextlib
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from perfloop.exposition.page import render_page
from perfloop.exposition.parse import Foreign, PageInvalid, parse
from perfloop.model import MetricType
from tests.collectors.pages import lint

NAMES = st.sampled_from(["a", "a_total", "a_count", "a_sum", "a_bucket", "a_created", "b", "b:c"])
NUMBERS = st.sampled_from(["0", "1", "-1", "2.5", ".5", "1.", "1e3", "NaN", "+Inf", "-inf", "1e999", "0x1", "1_0", "x"])
TYPES = st.sampled_from(["counter", "gauge", "histogram", "summary", "untyped", "info"])
VALUES = st.sampled_from(["", "x", r"\\", r"\"", r"\n", r"\t", "é", "{", "}", ",", "#", "\r", "0.5", "+Inf", "1"])
LABEL_NAMES = st.sampled_from(["le", "quantile", "job", "x", "__name__", "é"])
LABELS = st.lists(st.builds('{}="{}"'.format, LABEL_NAMES, VALUES), max_size=3).map(",".join)
SAMPLES = st.builds("{}{{{}}} {}\n".format, NAMES, LABELS, NUMBERS) | st.builds("{} {}\n".format, NAMES, NUMBERS)
HEADERS = st.builds("# TYPE {} {}\n".format, NAMES, TYPES) | st.builds("# HELP {} {}\n".format, NAMES, VALUES)
PAGES = st.lists(HEADERS | SAMPLES | st.just("# no comment\n"), max_size=12).map(lambda lines: "".join(lines).encode())


def read(page: bytes, *, max_series: int = 100) -> tuple[Foreign, ...]:
    return parse(page, max_series=max_series, default_help="Somebody's.")


def rendered(families: tuple[Foreign, ...], *, openmetrics: bool = False) -> str:
    return render_page([(each.family, each.lines) for each in families], openmetrics=openmetrics).decode()


def samples_of(page: str) -> dict[tuple[str, frozenset[tuple[str, str]]], str]:
    """Return the samples of a page; labels without a value do not count, as for Prometheus."""
    found = {}
    for family in read_text(page):
        for sample in family.samples:
            # The official parser adds this suffix to counters that have none.
            name = sample.name if f"{sample.name}{{" in page or f"{sample.name} " in page else sample.name[:-6]
            labels = {k: "+Inf" if k == "le" and v.lower() == "inf" else v for k, v in sample.labels.items() if v}
            found[name, frozenset(labels.items())] = str(float(sample.value))
    return found


@settings(max_examples=200, deadline=None)
@given(PAGES)
def test_what_is_accepted_says_the_same_to_the_official_parser(page: bytes) -> None:
    with contextlib.suppress(PageInvalid):
        families = read(page)

        assert samples_of(rendered(families)) == samples_of(page.decode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | PAGES.flatmap(lambda page: st.integers(0, len(page)).map(lambda end: page[:end])))
def test_no_bytes_do_more_harm_than_being_refused(page: bytes) -> None:
    with contextlib.suppress(PageInvalid):
        rendered(read(page))


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        pytest.param("a 1\nb", "line 2: has no line feed", id="half-written"),
        pytest.param("a 1\na b c\n", "line 2: expected NAME", id="no sample"),
        pytest.param("a 1 1700000000000\n", "line 1: has a timestamp", id="timestamp"),
        pytest.param("a one\n", "line 1: the value is not a number", id="word"),
        pytest.param("a 1e999\n", "line 1: the value is not a number", id="no float"),
        pytest.param("a 0x1p3\n", "line 1: the value is not a number", id="hexadecimal"),
        pytest.param('a{b="1",b="2"} 1\n', "line 1: a label stands twice", id="label twice"),
        pytest.param('a{__name__="b"} 1\n', "line 1: label names that begin with __", id="reserved label"),
        pytest.param('a{b="\\t"} 1\n', "line 1: expected NAME", id="unknown escape"),
        pytest.param('{"a.b"} 1\n', "line 1: expected NAME", id="quoted name"),
        pytest.param("a1\n", "line 1: expected NAME", id="no blank"),
        pytest.param('a{b="1",c="2"} 1\na{c="2",b="1"} 1\n', "line 2: this series stands twice", id="other order"),
        pytest.param('a 1\na{b=""} 1\n', "line 2: this series stands twice", id="empty label"),
        pytest.param("# TYPE a gauge\n# TYPE a gauge\n", "line 2: a second TYPE", id="type twice"),
        pytest.param("a 1\n# TYPE a gauge\n", "line 2: a second TYPE for this name, or one after", id="type late"),
        pytest.param("# HELP a b\n# HELP a b\n", "line 2: a second HELP", id="help twice"),
        pytest.param("# TYPE a info\n", "line 1: expected one of the types counter", id="unknown type"),
        pytest.param("# TYPE 1 gauge\n", "line 1: expected a metric name after", id="type of nothing"),
        pytest.param("# TYPE a summary\na_count 1\n# TYPE a_count gauge\n", None, id="a type without samples"),
        pytest.param("a_count 1\n# TYPE a summary\na_sum 1\n", "the families a_count and a share a name", id="share"),
        pytest.param("a 1\nb 1\nc 1\nd 1\n", "line 4: more than 3 series", id="too many"),
        pytest.param(b"a 1\nb \xff\n", "line 2: is not UTF-8", id="not UTF-8"),
        pytest.param("\ufeffa 1\n", "line 1: expected NAME", id="byte order mark"),
        pytest.param("a 1\r\n", "line 1: the value is not a number", id="carriage return"),
    ],
)
def test_a_page_that_breaks_the_format_is_refused_with_its_line(page: str | bytes, problem: str | None) -> None:
    content = page.encode() if isinstance(page, str) else page
    if problem is None:
        assert read(content)
        return

    with pytest.raises(PageInvalid, match=problem):
        read(content, max_series=3)


def test_a_refusal_does_not_say_what_stands_in_the_line() -> None:
    with pytest.raises(PageInvalid) as caught:
        read(b"root:secret:19000:0:99999:7:::\n")

    assert "secret" not in str(caught.value)


def test_all_that_the_official_library_writes_is_read_and_stays_what_it_was() -> None:
    registry = CollectorRegistry()
    Counter("jobs", 'Jobs "done" \\ here,\nall of them.', ["kind"], registry=registry).labels('a"\\\nb').inc(3)
    Gauge("level", "Level.", registry=registry).set(float("-inf"))
    Histogram("wait_seconds", "Wait.", ["queue"], registry=registry).labels("q").observe(0.3)
    Summary("size_bytes", "Size.", registry=registry).observe(7)
    page = generate_latest(registry)

    families = read(page)

    assert samples_of(rendered(families)) == samples_of(page.decode())
    kinds = {each.family.name: each.family.type for each in families}
    assert kinds["jobs_total"] is MetricType.COUNTER
    assert kinds["wait_seconds"] is MetricType.HISTOGRAM
    assert kinds["size_bytes"] is MetricType.SUMMARY
    assert families[0].family.help == 'Jobs "done" \\ here,\nall of them.'
    assert lint(rendered(tuple(each for each in families if not each.family.name.endswith("_created")))) == ""


def test_buckets_and_quantiles_are_put_in_the_order_that_openmetrics_wants() -> None:
    page = b"""# TYPE h histogram
h_count{x="1"} 3
h_bucket{le="inf",x="1"} 3
h_bucket{le="10",x="1"} 2
h_bucket{le="9",x="1"} 2
h_sum{x="1"} 30
# TYPE s summary
s_count 1
s{quantile="0.9"} 2
s_sum 2
s{quantile="0.5"} NaN
"""
    families = read(page)

    list(read_openmetrics(rendered(families, openmetrics=True)))
    assert [line.partition(b" ")[0] for line in families[0].lines.splitlines()] == [
        b'h_bucket{le="9",x="1"}',
        b'h_bucket{le="10",x="1"}',
        b'h_bucket{le="+Inf",x="1"}',
        b'h_sum{x="1"}',
        b'h_count{x="1"}',
    ]


@pytest.mark.parametrize(
    "page",
    [
        pytest.param("# TYPE a_total counter\na_total -1\n", id="negative counter"),
        pytest.param("# TYPE a_total counter\na_total NaN\n", id="counter of nothing"),
        pytest.param('# TYPE a histogram\na_bucket{le="1"} 1\na_sum 1\na_count 1\n', id="no +Inf"),
        pytest.param('# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\n', id="falling"),
        pytest.param('# TYPE a histogram\na_bucket{le="+Inf"} 1\na_count 2\na_sum 1\n', id="another count"),
        pytest.param('# TYPE a histogram\na_bucket{le="+Inf"} 1\na_count 1\n', id="no sum"),
        pytest.param('# TYPE a histogram\na_bucket{le="-1"} 1\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n', id="-"),
        pytest.param('# TYPE a histogram\na_bucket{le="1"} 1\na_bucket{le="1.0"} 1\na_bucket{le="+Inf"} 1\n', id="1"),
        pytest.param('# TYPE a histogram\na_bucket{le="x"} 1\n', id="le is no number"),
        pytest.param("# TYPE a histogram\na 1\n", id="bare histogram"),
        pytest.param("# TYPE a summary\na 1\n", id="no quantile"),
        pytest.param('# TYPE a summary\na{quantile="2"} 1\n', id="quantile of 2"),
        pytest.param("# TYPE a summary\na_sum -1\na_count 1\n", id="negative sum"),
        pytest.param("# TYPE a summary\na_count 1.5\n", id="broken count"),
    ],
)
def test_a_family_that_breaks_the_rules_of_its_type_is_untyped_and_complete(page: str) -> None:
    families = read(page.encode())

    assert {each.family.type for each in families} == {MetricType.UNTYPED}
    assert samples_of(rendered(families)) == samples_of(page)
    list(read_openmetrics(rendered(families, openmetrics=True)))


@pytest.mark.parametrize(
    "page",
    [
        b"x" + b" " * 1_000_000,
        b"x{" + b" " * 1_000_000,
        b"x{" + b'a="b",' * 200_000,
        b'x{a="' + b"\\" * 1_000_000,
        b"a" * 1_000_000,
        b"# HELP " * 100_000,
        b"x " + b"1" * 1_000_000,
    ],
    ids=lambda page: page[:8].decode(),
)
def test_a_line_of_a_megabyte_is_refused_at_once(page: bytes) -> None:
    started_at = time.process_time()

    with pytest.raises(PageInvalid):
        read(page + b"\n")

    assert time.process_time() - started_at < 2


def test_the_names_of_a_page_are_left_to_that_page() -> None:
    [family] = read(b"name_of_a_stranger 1\n")

    same = b"name_of_a_stranger".decode()

    assert sys.intern(same) is same, "nothing of the page is in the interpreter's own table"
    assert family.family.name == same
