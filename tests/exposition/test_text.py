"""Pages as text: what any label or value becomes, read back by the official parser."""

from __future__ import annotations

import math
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from perfloop.exposition.block import Block, pairs
from perfloop.exposition.histogram import Histogram
from perfloop.exposition.page import render_page
from perfloop.exposition.text import header, number, series
from perfloop.model import Alias, Family, MetricType

SIZE = Family(name="size_bytes", type=MetricType.GAUGE, help="How large.", labels=("target", "name"))
READS = Family(name="reads_total", type=MetricType.COUNTER, help="How often.", labels=("target", "name"))
READ_SECONDS = Family(name="read_seconds_total", type=MetricType.COUNTER, help="How long.", labels=("target", "name"))
TOKENS = st.one_of(st.integers(-(2**60), 2**60), st.floats(allow_nan=False)).map(number)
# Surrogates are no text: no UTF-8 holds them.
NAMES = st.text(st.characters(exclude_categories=["Cs"]))


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(NAMES, st.tuples(TOKENS, TOKENS)))
def test_every_label_and_value_comes_back_as_it_was(rows: dict[str, tuple[bytes, bytes]]) -> None:
    block = Block([SIZE, READS], fixed=("here",))

    page = render_page(block.render([(name,) for name in rows], list(rows.values())))

    found = {
        (sample.name, sample.labels["name"]): float(sample.value)
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }
    assert found == {
        (family.name, name): float(tokens[i]) for name, tokens in rows.items() for i, family in enumerate((SIZE, READS))
    }


@given(st.binary())
def test_names_that_are_not_utf_8_are_still_readable(name: bytes) -> None:
    page = render_page(Block([SIZE], fixed=("here",)).render([(name,)], [(b"1",)]))

    [family] = text_string_to_metric_families(page.decode())
    assert family.samples[0].labels["name"] == name.decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("value", "line"),
    [
        pytest.param(
            'C:\\dir "x"\ny', b'size_bytes{target="t",name="C:\\\\dir \\"x\\"\\ny"}', id="what must be escaped"
        ),
        pytest.param("100%s", b'size_bytes{target="t",name="100%s"}', id="percent signs"),
        pytest.param(b"eth0", b'size_bytes{target="t",name="eth0"}', id="bytes of the kernel"),
        pytest.param("\udce9", b'size_bytes{target="t",name="?"}', id="a file name that was no UTF-8"),
    ],
)
def test_labels_are_escaped(value: str | bytes, line: bytes) -> None:
    assert series("size_bytes", SIZE.labels, ("t", value)) == line


@pytest.mark.parametrize(
    ("value", "token"),
    [
        pytest.param(None, b"", id="no value"),
        pytest.param(math.nan, b"", id="NaN is no value"),
        pytest.param(0, b"0", id="zero is one"),
        pytest.param(2**63, b"9223372036854775808", id="large"),
        pytest.param(0.1, b"0.1", id="fraction"),
        pytest.param(math.inf, b"+Inf", id="infinity"),
        pytest.param(-math.inf, b"-Inf", id="minus infinity"),
    ],
)
def test_numbers_are_written_as_prometheus_reads_them(value: float | None, token: bytes) -> None:
    assert number(value) == token


def test_a_missing_value_has_no_line_and_its_neighbours_do() -> None:
    block = Block([READS, READ_SECONDS], fixed=("t",), exponents={READ_SECONDS: -3})

    page = render_page(block.render([("a ",), ("b",)], [(b"1", b""), (b"", b"1500")]))

    assert page.decode().splitlines() == [
        "# HELP reads_total How often.",
        "# TYPE reads_total counter",
        'reads_total{target="t",name="a "} 1',
        "# HELP read_seconds_total How long.",
        "# TYPE read_seconds_total counter",
        'read_seconds_total{target="t",name="b"} 1500e-3',
    ]


def test_the_template_follows_the_labels() -> None:
    block = Block([SIZE], fixed=("t",))
    list(block.render([("a",)], [(b"1",)]))

    page = render_page(block.render([("b",), ("c",)], [(b"2",), (b"3",)]))

    assert page.endswith(b'size_bytes{target="t",name="b"} 2\nsize_bytes{target="t",name="c"} 3\n')


def test_a_family_without_samples_has_no_header() -> None:
    assert render_page(Block([SIZE]).render([], [])) == b""


def test_samples_of_one_family_stand_together_whoever_they_come_from() -> None:
    a, b = Block([SIZE, READS], fixed=("a",)), Block([SIZE, READS], fixed=("b",))

    page = render_page([*a.render([("x",)], [(b"1", b"2")]), *b.render([("x",)], [(b"3", b"4")])])

    assert [line.split()[0] for line in page.decode().splitlines() if line[0] != "#"] == [
        'size_bytes{target="a",name="x"}',
        'size_bytes{target="b",name="x"}',
        'reads_total{target="a",name="x"}',
        'reads_total{target="b",name="x"}',
    ]
    assert page.count(b"# HELP") == 2


def test_an_info_metric_is_a_gauge_in_this_format() -> None:
    family = Family(name="build_info", type=MetricType.INFO, help="One\nline \\ only.")

    assert header(family) == b"# HELP build_info One\\nline \\\\ only.\n# TYPE build_info gauge\n"


def test_a_histogram_counts_into_cumulative_buckets() -> None:
    family = Family(name="wait_seconds", type=MetricType.HISTOGRAM, help="How long.", labels=("component",))
    histogram = Histogram(family, ("50%",), bounds_seconds=(0.1, 1))

    for seconds in (0.1, 0.5, 5.0):
        histogram.observe(seconds)

    _, lines = histogram.render()
    assert lines.decode().splitlines() == [
        'wait_seconds_bucket{component="50%",le="0.1"} 1',
        'wait_seconds_bucket{component="50%",le="1.0"} 2',
        'wait_seconds_bucket{component="50%",le="+Inf"} 3',
        'wait_seconds_sum{component="50%"} 5.6',
        'wait_seconds_count{component="50%"} 3',
    ]


def test_an_alias_shows_the_same_values_under_another_name_and_its_labels():
    waits = Family(name="waits_seconds_total", type=MetricType.COUNTER, help="Waits.", labels=("component", "device"))
    theirs = Family(name="peer_waits", type=MetricType.UNTYPED, help="Waits.", labels=("disk", "server"))
    alias = Alias(family=theirs, renamed={"disk": "device"}, fixed={"server": "db:1"})
    block = Block([SIZE_OF, waits], fixed=("db",), exponents={waits: -3}, aliases={waits: alias})

    page = render_page(block.render([(b"vda",), (b"vdb",)], [(b"1", b"12"), (b"2", b"")]))

    assert page.decode().splitlines() == [
        "# HELP size_bytes Sizes.",
        "# TYPE size_bytes gauge",
        'size_bytes{component="db",device="vda"} 1',
        'size_bytes{component="db",device="vdb"} 2',
        "# HELP waits_seconds_total Waits.",
        "# TYPE waits_seconds_total counter",
        'waits_seconds_total{component="db",device="vda"} 12e-3',
        "# HELP peer_waits Waits.",
        "# TYPE peer_waits untyped",
        'peer_waits{disk="vda",server="db:1"} 12e-3',
    ]


SIZE_OF = Family(name="size_bytes", type=MetricType.GAUGE, help="Sizes.", labels=("component", "device"))


def test_openmetrics_is_what_its_reference_parser_reads():
    families = [
        Family(name="reads_total", type=MetricType.COUNTER, help='Reads "now".'),
        Family(name="build_info", type=MetricType.INFO, help="Build."),
        Family(name="peer_reads", type=MetricType.COUNTER, help="A counter whose name OpenMetrics forbids."),
        Family(name="peer_size", type=MetricType.UNTYPED, help="Of no declared type."),
        Family(name="load1", type=MetricType.GAUGE, help="Load."),
    ]
    histogram = Histogram(DURATION, ("a",), bounds_seconds=(0.5, 1))
    histogram.observe(0.7)

    page = render_page(
        [*Block(families).render_row([b"12e-2", b"1", b"3", b"4", b"0.5"]), histogram.render()], openmetrics=True
    )

    parsed = {f.name: (f.type, [s.name for s in f.samples]) for f in read_openmetrics(page.decode())}
    assert parsed == {
        "reads": ("counter", ["reads_total"]),
        "build": ("info", ["build_info"]),
        "peer_reads": ("unknown", ["peer_reads"]),
        "peer_size": ("unknown", ["peer_size"]),
        "load1": ("gauge", ["load1"]),
        "duration_seconds": (
            "histogram",
            ["duration_seconds_bucket"] * 3 + ["duration_seconds_sum", "duration_seconds_count"],
        ),
    }


DURATION = Family(name="duration_seconds", type=MetricType.HISTOGRAM, help="Durations.", labels=("component",))


def test_two_threads_may_render_one_block() -> None:
    block, interval = Block([SIZE]), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def render(size: int) -> None:
        for _ in range(400):
            rows = [(b"target", b"%d" % i) for i in range(size)]
            [sheet] = block.render(rows, [(b"1",)] * size)
            [(_, lines)] = pairs(sheet)
            assert lines.count(b"\n") == size

    with ThreadPoolExecutor() as pool:
        done = [pool.submit(render, size) for size in (1, 2, 3)]
    sys.setswitchinterval(interval)

    for each in done:
        each.result()


def test_blocks_that_share_a_family_are_one_family_on_the_page() -> None:
    blocks = [Block([SIZE, READS], fixed=(target,)) for target in ("a", "b")]

    page = render_page(sheet for block in blocks for sheet in block.render([("x",)], [(b"1", b"2")]))

    assert page.decode().splitlines() == [
        "# HELP size_bytes How large.",
        "# TYPE size_bytes gauge",
        'size_bytes{target="a",name="x"} 1',
        'size_bytes{target="b",name="x"} 1',
        "# HELP reads_total How often.",
        "# TYPE reads_total counter",
        'reads_total{target="a",name="x"} 2',
        'reads_total{target="b",name="x"} 2',
    ]


def test_a_page_says_the_same_in_both_formats_and_its_headers_are_no_templates() -> None:
    share = Family(name="share_ratio", type=MetricType.GAUGE, help="100 %b of it.", labels=("of",))
    samples = Block([share]).render([("50%",)], [(b"0.5",)])

    pages = [render_page(samples, openmetrics=openmetrics).decode() for openmetrics in (False, True)]

    assert pages[0] == '# HELP share_ratio 100 %b of it.\n# TYPE share_ratio gauge\nshare_ratio{of="50%"} 0.5\n'
    assert pages[1] == pages[0] + "# EOF\n"
