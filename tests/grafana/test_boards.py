"""Every committed board loads in Grafana 10 to 13, says what it shows, and reads only what exists."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from perfloop.rules.catalogue import catalogue
from tests.grafana.boards import BOARDS, Selector, load, panels, queries, selectors

OPTIMIZER = Path(__file__).parents[2] / "exporter" / "perfloop" / "web" / "metrics.py"
OF_PROMETHEUS = {"up", "ALERTS"}

every_board = pytest.mark.parametrize("path", BOARDS, ids=[path.stem for path in BOARDS])


@every_board
def test_a_board_belongs_to_no_single_grafana(path: Path):
    board = load(path)

    assert board["uid"] == path.stem
    assert len(board["uid"]) <= 40
    assert board["id"] is None
    assert board["schemaVersion"] <= 42
    assert not {"version", "gnetId", "__inputs", "__requires"} & board.keys()
    assert "${DS_" not in path.read_text(encoding="utf-8")
    assert board["editable"] is False


@every_board
def test_links_to_a_panel_stay_valid_because_every_panel_has_an_id_of_its_own(path: Path):
    ids = [panel["id"] for panel in load(path)["panels"]]

    assert all(ids)
    assert len(set(ids)) == len(ids)


@every_board
def test_a_panel_says_what_it_shows_and_in_which_unit(path: Path):
    for panel in panels(load(path)):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


@every_board
def test_panels_lie_beside_each_other_and_are_few_enough_to_read(path: Path):
    board = load(path)

    assert len(panels(board)) <= 25
    for one, other in combinations(board["panels"], 2):
        assert not _overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in board["panels"])


@every_board
def test_the_reader_chooses_data_source_job_and_instance(path: Path):
    datasource, job, instance = load(path)["templating"]["list"]

    assert (datasource["name"], datasource["type"], datasource["query"]) == ("datasource", "datasource", "prometheus")
    assert [job["name"], instance["name"]] == ["job", "instance"]
    for variable in (job, instance):
        assert variable["multi"]
        assert variable["includeAll"]
        assert variable["allValue"] == ".+"
        assert variable["refresh"] == 2
    assert 'job=~"$job"' in instance["query"]


@every_board
def test_every_query_asks_the_chosen_data_source(path: Path):
    assert {query.datasource for query in queries(load(path))} == {"${datasource}"}


@every_board
def test_a_query_of_something_measured_follows_the_chosen_job_and_instance(path: Path):
    # The optimizer is one for all hosts, and alerts may be about many: choosing a host must not hide them.
    for query in queries(load(path)):
        for selector in selectors(query):
            if not selector.metric.startswith(("ALERTS", "perfloop_optimizer_")):
                assert {"job", "instance"} <= selector.matchers.keys(), query.title
                assert "$job" in query.expr
                assert "$instance" in query.expr


@every_board
def test_a_counter_is_drawn_as_its_increase_over_the_interval_of_the_screen(path: Path):
    # The optimizer's counters count rare events, and an increase misses the first one: they are drawn as they are.
    for query in queries(load(path)):
        for selector in selectors(query):
            if selector.metric.endswith("_total") and not selector.metric.startswith("perfloop_optimizer_"):
                assert selector.function in {"rate", "increase"}, query.title
        if "[" in query.expr and not query.annotation:
            assert "[$__rate_interval]" in query.expr, query.title


@every_board
def test_a_board_reads_only_metrics_that_exist(path: Path):
    recorded = {metric.series for metric in catalogue({}).values()}
    # Names are literals there; counters get their _total from the library.
    declared = set(re.findall(r'"(perfloop_optimizer_[a-z_]+)"', OPTIMIZER.read_text(encoding="utf-8")))
    optimizer = declared | {f"{name}_total" for name in declared}

    read = {selector.metric for query in queries(load(path)) for selector in selectors(query)}

    assert read <= recorded | optimizer | OF_PROMETHEUS


def test_the_reader_of_boards_sees_every_selector_of_a_query():
    [query] = [q for q in queries(load(BOARDS[0])) if q.title == "Rollback"]

    total = Selector(metric="perfloop_optimizer_rollbacks_total", matchers={})
    assert selectors(query) == [total, structs.replace(total, function="max_over_time"), total]


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool(
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )
