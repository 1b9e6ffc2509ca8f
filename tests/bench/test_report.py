"""The form that every benchmark's result has, for programs and for docs/performance.md. Nothing is measured here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.__main__ import NAMES, PAGE
from tests.bench.report import Measure, Report, Result, alone, compared, growth, update_page

CHEAPER = compared("CPU per scrape", "ms", ours=0.5, theirs=2.0, reach=0.3)


def report(*measures: Measure) -> Report:
    result = Result(measures=measures, versions={"peer": "1.5.0"}, notes=["Said below the table."])
    return Report(name="exporter", result=result, others=(0.01, 0.2))


def test_the_json_has_exactly_the_agreed_keys(tmp_path: Path) -> None:
    report(CHEAPER, alone("delivery", "ms", ours=4.0)).write(tmp_path)

    assert json.loads((tmp_path / "exporter.json").read_bytes()) == [
        {
            "measure": "CPU per scrape",
            "unit": "ms",
            "ours": 0.5,
            "theirs": 2.0,
            "ratio": 0.25,
            "reach": 0.3,
            "met": True,
        },
        {
            "measure": "delivery",
            "unit": "ms",
            "ours": 4.0,
            "theirs": None,
            "ratio": None,
            "reach": None,
            "met": True,
        },
    ]


@pytest.mark.parametrize(
    ("measure", "ratio", "met"),
    [
        pytest.param(compared("m", "ms", ours=1, theirs=4, reach=0.25), 0.25, True, id="just reached"),
        pytest.param(compared("m", "ms", ours=2, theirs=4, reach=0.25), 0.5, False, id="not reached"),
        pytest.param(compared("m", "ms", ours=9, theirs=1), 9, True, id="nothing promised"),
        pytest.param(compared("m", "share", ours=0, theirs=0, reach=0.5), None, False, id="a peer's zero"),
        pytest.param(growth("m", "ms", small=2, large=30, reach=12), 15, False, id="grows too fast"),
    ],
)
def test_a_goal_is_met_by_its_ratio(measure: Measure, ratio: float | None, *, met: bool) -> None:
    assert (measure.ratio, measure.met) == (ratio, met)


def test_the_page_shows_the_table_the_versions_and_the_noise() -> None:
    shown = report(CHEAPER).markdown()

    assert "| CPU per scrape | ms | 0.5 | 2 | 0.25 | 0.3 | yes |" in shown
    assert "Said below the table." in shown
    assert "peer 1.5.0" in shown
    assert "not quiet: something else used 1% of its cores just before and 20% after" in shown


def test_a_new_table_takes_the_place_of_the_last_one() -> None:
    page = "# Page\n<!-- bench-exporter -->\nold\n<!-- end of bench-exporter -->\nend\n"

    assert update_page(page, {"exporter": "new\n"}) == page.replace("old", "new")


def test_the_page_has_a_place_for_every_benchmark() -> None:
    update_page(PAGE.read_text(encoding="utf-8"), dict.fromkeys(NAMES, ""))
