"""Matchers that become PromQL: what Prometheus understands is let through, and read there as it was written."""

from __future__ import annotations

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfloop.errors import ConfigInvalid
from perfloop.model.matchers import Matcher, parse_selector


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('instance="db-1"', r'instance="db-1"', id="quoted"),
        pytest.param("instance != db-1", r'instance!="db-1"', id="bare, with spaces"),
        pytest.param(r'zone=~"a*\d+"', r'zone=~"a*\\d+"', id="a class after a star is no possessive star"),
        pytest.param(r'zone=~"[(?=]+|\\[1]"', r'zone=~"[(?=]+|\\[1]"', id="what stands in brackets"),
        pytest.param(r'zone!~"(?i:a)|(?P<n>b)+?"', r'zone!~"(?i:a)|(?P<n>b)+?"', id="flags, names, lazy"),
    ],
)
def test_a_matcher_becomes_promql(text: str, expected: str) -> None:
    assert parse_selector(text).promql() == expected


@pytest.mark.parametrize("value", ["(?<=a)b", "(?<!a)b", "(?>a)", "a++", "(?P<n>a)(?P=n)", r"a\Z", "(?#why)a"])
def test_what_only_python_understands_is_refused(value: str) -> None:
    with pytest.raises(ConfigInvalid, match="Prometheus' regular expressions have no "):
        parse_selector(f'zone=~"{value}"')


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_prometheus_reads_back_whatever_the_value_holds(value: str) -> None:
    text = Matcher(label="zone", operator="=", value=value).promql()

    selector = promql_parser.parse(f"x{{{text}}}")

    assert isinstance(selector, promql_parser.VectorSelector)
    assert [matcher.value for matcher in selector.matchers.matchers] == [value]
