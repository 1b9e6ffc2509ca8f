"""Families of several sources on one page: no name with two types, no series twice, whatever the sources say."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from perfloop.collectors.others.merge import Merged, merge, openmetrics_names
from perfloop.exposition.page import render_page
from perfloop.exposition.parse import Foreign, PageInvalid, parse
from perfloop.model import Family, MetricType
from tests.collectors.pages import lint, page_of
from tests.exposition.test_parse import PAGES


def families(page: str | bytes) -> tuple[Foreign, ...]:
    return parse(page if isinstance(page, bytes) else page.encode(), max_series=1000, default_help="Somebody's.")


def merged(*pages: str) -> Merged[str]:
    sources = [(str(i), families(page)) for i, page in enumerate(pages)]
    return merge(sources, prefixes=["node_load1", "pg"], taken=frozenset({"written"}))


def families_or_none(page: bytes) -> tuple[Foreign, ...]:
    try:
        return families(page)
    except PageInvalid:
        return ()


@settings(max_examples=200, deadline=None)
@given(st.lists(PAGES, max_size=3))
def test_whatever_comes_together_both_formats_stay_valid(pages: list[bytes]) -> None:
    found = merge([(str(i), families_or_none(page)) for i, page in enumerate(pages)])

    page_of(found.samples)
    list(read_openmetrics(render_page(found.samples, openmetrics=True).decode()))


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        pytest.param("# TYPE a counter\na 1\n", "a is a counter here, and a a gauge elsewhere", id="type"),
        pytest.param("# TYPE a gauge\na 1\n", "a has series that stand elsewhere, too", id="series"),
        pytest.param("h_count 1\n", "h_count is a untyped here, and h a histogram elsewhere", id="part of a histogram"),
        pytest.param("perfloop_x 1\n", "names that begin with perfloop_ are perfloop's own", id="ours"),
        pytest.param("node_load1 1\n", "node_load1 is exported by another collector", id="name of another collector"),
        pytest.param("pg_up 1\n", "pg_up is exported by another collector", id="prefix of another collector"),
        pytest.param("written 1\n", "written is exported by another collector", id="taken"),
    ],
)
def test_of_two_that_do_not_agree_the_later_one_is_refused_as_a_whole(page: str, problem: str) -> None:
    first = '# TYPE a gauge\na 5\n# TYPE h histogram\nh_bucket{le="+Inf"} 1\n'

    found = merged(first, "fine 1\n" + page, "last 1\npgp_keys 1\nnode_load15 1\n")

    assert problem in found.refused["1"]
    page = page_of(found.samples)
    assert page.names() == {"a", "h_bucket", "last", "pgp_keys", "node_load15"}
    assert page.value("a") == 5


def test_sources_may_share_a_family_and_the_first_help_counts() -> None:
    found = merged(
        '# HELP a One.\n# TYPE a gauge\na{x="1"} 1\n', '# HELP a Two.\n# TYPE a gauge\na{x="2"} 2\n', 'a{x="3"} 3\n'
    )

    text = page_of(found.samples).text
    assert text == '# HELP a One.\n# TYPE a gauge\na{x="1"} 1\na{x="2"} 2\n'
    assert list(found.refused) == ["2"], "it says nothing of the type"
    assert lint(text) == ""


def test_a_counter_whose_name_openmetrics_has_for_a_neighbour_loses_its_type() -> None:
    found = merged("# TYPE a gauge\na 1\n# TYPE a_total counter\na_total 2\n# TYPE b_total counter\nb_total 3\n")

    kinds = {family.name: family.type for family, _ in found.samples}
    assert kinds == {"a": MetricType.GAUGE, "a_total": MetricType.UNTYPED, "b_total": MetricType.COUNTER}


def test_creation_times_of_histograms_are_left_out() -> None:
    found = merged('# TYPE a histogram\na_bucket{le="+Inf"} 1\n# TYPE a_created gauge\na_created 1.7e9\n')

    assert page_of(found.samples).names() == {"a_bucket"}


def test_names_of_other_collectors_are_those_that_openmetrics_knows() -> None:
    family = Family(name="node_cpu_seconds_total", type=MetricType.COUNTER, help="")

    assert openmetrics_names(family) == {"node_cpu_seconds_total", "node_cpu_seconds", "node_cpu_seconds_created"}


def test_a_counter_that_is_nothing_but_its_suffix_loses_its_type() -> None:
    found = merged("# TYPE _total counter\n_total 2\n")

    list(read_openmetrics(render_page(found.samples, openmetrics=True).decode()))
    assert page_of(found.samples).value("_total") == 2


def test_a_summary_may_have_the_name_that_no_counter_can_have() -> None:
    summary = b'# TYPE _total summary\n_total{quantile="0.5"} 1\n_total_sum 2\n_total_count 2\n'

    found = merge([("0", families(summary))])

    page = render_page(found.samples, openmetrics=True).decode()
    [family] = read_openmetrics(page)
    assert family.type == "summary"
