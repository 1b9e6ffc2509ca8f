"""Patterns that are searched in a body: those that pass are quick in any body, and those that are not are refused."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfloop.collectors.logs.patterns import search_fault
from perfloop.collectors.probes.fetch import SEARCHED_BYTES

PIECES = ["a", "b", ".", "[^a]", "[ab]", "a*", "b+", "[^b]*", "[^a]+", "a?", ".{0,9}", "[^b]{0,99}", "b{200}", "(a|b)"]
PATTERNS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join)
BODIES = [(piece * SEARCHED_BYTES)[:SEARCHED_BYTES] for piece in (b"a", b"b", b"x", b"ab", b"ba" + b"b" * 98)]


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param('"database": *"ok"', id="blanks after a colon"),
        pytest.param(r"status\s*=\s*(ok|fine)", id="blanks between letters"),
        pytest.param('"name":"[^"]*","up":true', id="up to a quote"),
        pytest.param("<title>[^<]{0,99}Home", id="short"),
        pytest.param(r"^\S+ ok$", id="only at the beginning"),
        pytest.param("(?i)healthy|all is well", id="any case"),
    ],
)
def test_what_people_look_for_is_accepted(pattern: str) -> None:
    assert search_fault(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        pytest.param(".*ok", "match what follows", id="anything before"),
        pytest.param("ok.*", "begins at every byte", id="anything after"),
        pytest.param(r"\s+ok", "begins at every byte", id="blanks first"),
        pytest.param("a[^b]*b", "begins at every byte", id="what precedes is among what is repeated"),
        pytest.param("(?i)a[^Ab]*B", "match what follows", id="and in any case"),
        pytest.param("(?m)^[^x]*x", "begins at every byte", id="in each of many lines"),
        pytest.param(".{60000}x", "begins at every byte", id="far away"),
        pytest.param("(?:x|(?:.{200}){200}y)", "begins at every byte", id="far away in parts"),
        pytest.param("(a+)+b", "within a repetition", id="for ever"),
        pytest.param("[^x]{0,100}y{0,100}z", "begins at every byte", id="short twice"),
        pytest.param("(?L)a", "of flags", id="a flag"),
        pytest.param("(", "expected a regular expression, got '('", id="none at all"),
    ],
)
def test_what_could_take_long_is_refused(pattern: str, problem: str) -> None:
    assert problem in (search_fault(pattern) or "")


@settings(max_examples=100, deadline=None)
@given(pattern=PATTERNS)
def test_what_is_accepted_is_quick_in_any_body(pattern: str) -> None:
    if search_fault(pattern) is not None:
        return

    started_at = time.process_time()
    for body in BODIES:
        re.search(pattern.encode(), body)

    assert time.process_time() - started_at < 3
