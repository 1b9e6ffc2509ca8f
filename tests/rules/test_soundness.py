"""PromQL that would be evaluated but mean nothing is refused, what means something is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import promql_parser
import pytest
import yaml
from prometheus_client import CollectorRegistry

from perfloop import config
from perfloop.app.compile import compile_all
from perfloop.app.probe import FAMILIES as PROBE_FAMILIES
from perfloop.config.known import OPEN_PREFIXES, known_types
from perfloop.errors import ConfigInvalid
from perfloop.instrument.meter import Metrics
from perfloop.model import MetricType
from perfloop.rules.soundness import AGGREGATORS, FUNCTIONS, Known, problems
from perfloop.stack.process import find_binary
from perfloop.stores.sql import SqlStore
from perfloop.web.metrics import OptimizerMetrics

ROOT = Path(__file__).parent.parent.parent
CONFIGS = [ROOT / "perfloop.yml", Path(__file__).parent / "everything.yml"]
DAY = 86400
KNOWN = Known(
    types={
        "perfloop_requests_total": MetricType.COUNTER,
        "perfloop_load": MetricType.GAUGE,
        "perfloop_build_info": MetricType.INFO,
        "perfloop_wait_seconds_bucket": MetricType.HISTOGRAM,
        "perfloop_wait_seconds_count": MetricType.HISTOGRAM,
        "perfloop_wait_seconds_sum": MetricType.HISTOGRAM,
    },
    recorded=frozenset(("perfloop:cpu_usage", "peak_cpu_usage")),
    retention_seconds=15 * DAY,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("sum(x", "is not PromQL: unclosed left parenthesis", id="does not parse"),
        pytest.param("rate(x)", "is not PromQL: expected type matrix in call to function 'rate'", id="no range"),
        pytest.param("x[5m]", "gives no value that could be recorded", id="a range"),
        pytest.param("x offset 16d", "looks back 16d, longer than performance_collection.retention", id="offset"),
        pytest.param("rate(x[1d] offset 15d)", "looks back 16d, longer than", id="range and offset"),
        pytest.param("max_over_time(rate(x[1h])[15d:5m])", "looks back 15d1h, longer than", id="range in a subquery"),
        pytest.param("rate(perfloop_load[5m])", "rate() of perfloop_load, which is a gauge", id="rate of a gauge"),
        pytest.param("increase(perfloop_build_info[5m])", "which is a gauge", id="increase of an info"),
        pytest.param("rate(perfloop_load[5m:])", "which is a gauge", id="rate of a gauge in a subquery"),
        pytest.param(
            'rate({__name__="perfloop_load"}[5m])', "rate() of perfloop_load, which is a gauge", id="name as matcher"
        ),
        pytest.param("irate(perfloop:cpu_usage[5m])", "it is recorded as a value already", id="rate of a recorded one"),
        pytest.param("rate(peak_cpu_usage[5m])", "it is recorded as a value already", id="rate of an aggregation"),
        pytest.param("rate(sum(x)[5m:])", "rate() of what is computed", id="rate of a sum"),
        pytest.param("increase((x + y)[1h:1m])", "increase() of what is computed", id="increase of an addition"),
        pytest.param("rate(rate(x[5m])[1h:])", "rate() of rate(), which is a value", id="rate of a rate"),
        pytest.param("sum(perfloop_requests_total)", "which counts from each restart", id="sum of a counter"),
        pytest.param("avg by (a) ((perfloop_requests_total))", "which counts from each restart", id="in parentheses"),
        pytest.param("sum by (le) (perfloop_wait_seconds_bucket)", "which counts from each restart", id="buckets"),
        pytest.param("deriv(perfloop_requests_total[1h])", "which only counts up; rate()", id="deriv of a counter"),
        pytest.param("delta(perfloop_wait_seconds_sum[1h])", "which only counts up; rate()", id="delta of a counter"),
        pytest.param("avg_over_time(perfloop_requests_total[1h])", "which only counts up", id="mean of a counter"),
        pytest.param("perfloop_lod > 3", "perfloop_lod is not a metric of the exporter or the optimizer", id="no name"),
        pytest.param("perfloop_laod", "did you mean perfloop_load?", id="a slip"),
        pytest.param("perfloop:cpu_usag", "is not recorded; did you mean perfloop:cpu_usage?", id="not recorded"),
        pytest.param("perfloop_wait_seconds", "its series are perfloop_wait_seconds_bucket, ", id="a histogram"),
        pytest.param("holt_winters(x[1h], 0.5, 0.5)", "holt_winters() is not a function of both", id="gone in 3"),
        pytest.param("mad_over_time(x[1h])", "mad_over_time() is not a function of both", id="experimental in 3"),
        pytest.param("ratee(x[5m])", "did you mean rate?", id="a slip in a function"),
        pytest.param("limitk(3, x)", "limitk() is not in Prometheus 2.42", id="an operator of 3"),
        pytest.param("x[300] > 1", "a duration without a unit", id="seconds without a unit"),
        pytest.param("x offset 300", "a duration without a unit", id="an offset without a unit"),
        pytest.param('{"foo"}', "has a name in quotes", id="a quoted name"),
        pytest.param('{"a.b"="c"}', "has the name 'a.b'", id="a quoted label"),
        pytest.param('x{a="b" or c="d"}', "has `or` between matchers", id="or between matchers"),
        pytest.param('avg_over_time({__name__=~"a|b"}[5m])', "avg_over_time() drops names", id="a regex on names"),
        pytest.param('rate({job="a"}[5m])', "rate() drops names", id="no name at all"),
        pytest.param("(" * 300 + "x" + ")" * 300, "has more than 250 operators", id="too deep"),
    ],
)
def test_what_means_nothing_is_refused(text: str, expected: str) -> None:
    assert any(expected in problem for problem in problems(text, KNOWN)), problems(text, KNOWN)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("sum(rate(perfloop_requests_total[5m]))", id="sum of rates"),
        pytest.param("sum by (le) (rate(perfloop_wait_seconds_bucket[5m]))", id="rates of buckets"),
        pytest.param("count(perfloop_requests_total)", id="how many counters"),
        pytest.param("sum(perfloop_requests_total > 0)", id="a condition decides"),
        pytest.param("max_over_time(rate(perfloop_requests_total[5m])[1h:1m])", id="a maximum of rates"),
        pytest.param("max_over_time(sum(x)[1h:1m])", id="a maximum of sums"),
        pytest.param("rate(perfloop_requests_total[5m:])", id="rate of a counter in a subquery"),
        pytest.param("deriv(perfloop_load[1h])", id="deriv of a gauge"),
        pytest.param("rate(somebodys_gauge[5m])", id="not ours to know"),
        pytest.param("sum(somebodys_total)", id="not ours to know, either"),
        pytest.param("perfloop:cpu_usage:avg_1d", id="recorded for an alert"),
        pytest.param("x offset 15d", id="as long as it is kept"),
        pytest.param('last_over_time({__name__=~"a|b"}[5m])', id="keeps names"),
        pytest.param('x{a="it\'s 5 offset 3"} # [5] offset 3', id="text is not code"),
        pytest.param("vector(1)", id="no metric"),
        pytest.param("x unless on (a) sum by (a) (perfloop_requests_total)", id="only whether it is there"),
        pytest.param('label_replace(x, "a", "b", "c", "d")', id="quotes that are no names"),
    ],
)
def test_what_means_something_is_not_refused(text: str) -> None:
    assert problems(text, KNOWN) == []


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_nothing_that_is_shipped_or_compiled_is_refused(path: Path) -> None:
    loaded = config.load(path)
    files = compile_all(loaded, config_path=path)
    groups = [group for name in files if name.startswith("rules/") for group in yaml.safe_load(files[name])["groups"]]
    rules = [rule for group in groups for rule in group["rules"]]
    known = Known(
        types=known_types(loaded),
        recorded=frozenset(rule["record"] for rule in rules if "record" in rule),
        open_prefixes=OPEN_PREFIXES,
        retention_seconds=loaded.performance_collection.retention_period,
    )

    refused = {rule.get("record") or rule["alert"]: problems(rule["expr"], known) for rule in rules}

    assert {name: found for name, found in refused.items() if found} == {}


def test_every_function_that_is_allowed_is_in_both_versions(tmp_path: Path) -> None:
    arguments = {
        **dict.fromkeys(("time", "pi"), ""),
        **dict.fromkeys((name for name in FUNCTIONS if name.endswith("_over_time")), "x[5m]"),
        **dict.fromkeys(("rate", "irate", "increase", "resets", "changes", "delta", "deriv", "idelta"), "x[5m]"),
        "quantile_over_time": "0.5, x[5m]",
        "predict_linear": "x[5m], 60",
        "clamp": "x, 1, 2",
        "clamp_max": "x, 1",
        "clamp_min": "x, 1",
        "histogram_fraction": "0, 1, x",
        "histogram_quantile": "0.5, x",
        "label_join": 'x, "a", ",", "b"',
        "label_replace": 'x, "a", "b", "c", "d"',
        "vector": "1",
    }
    texts = [f"{name}({arguments.get(name, 'x')})" for name in sorted(FUNCTIONS)]
    texts += [
        f"{name}({own.get(name, '')}x)"
        for own in [dict.fromkeys(("topk", "bottomk", "quantile"), "1, ")]
        for name in sorted(AGGREGATORS - {"count_values"})
    ]
    rules = [{"record": f"a:b{i}", "expr": text} for i, text in enumerate(texts)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))

    argv = [find_binary("promtool"), "check", "rules", str(tmp_path / "rules.yml")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stdout + done.stderr
    for text in texts:
        promql_parser.parse(text)


def test_the_names_of_what_other_services_show_are_known(tmp_path: Path) -> None:
    known = known_types(config.parse(""))
    registry = CollectorRegistry()
    Metrics(registry)
    store = SqlStore(tmp_path / "store.db")
    optimizers = OptimizerMetrics(store, last_tick_at=lambda: 0.0).registry

    shown = [family for source in (registry, optimizers) for family in source.collect()]
    types = {family.name: family.type for family in shown}

    endings = {"counter": "_total", "info": "_info", "histogram": "_count"}
    assert {name: kind for name, kind in types.items() if known.get(name + endings.get(kind, "")) != kind} == {}
    assert {family.name for family in PROBE_FAMILIES} <= known.keys()


def test_the_metrics_of_the_users_own_queries_are_known() -> None:
    loaded = config.parse(
        """\
components:
  db:
    driver: postgresql
    address: 127.0.0.1:5432
    queries:
      - {name: jobs, sql: select 1 as done, values: {done: {type: counter}}}
metrics: {jobs_done: {expr: 'rate(perfloop_query_jobs_done_total[$range])', unit: jobs per second, direction: higher}}
"""
    )

    assert known_types(loaded)["perfloop_query_jobs_done_total"] is MetricType.COUNTER


def test_a_mistake_has_its_line_and_stands_beside_others() -> None:
    text = """\
metrics:
  a: {expr: 'rate(perfloop_system_load1[5m])', unit: u, direction: lower}
  b:
    unit: u
    direction: lower
    expr: sum(
"""

    with pytest.raises(ConfigInvalid) as caught:
        config.parse(text)

    assert [problem.split(": ")[0] for problem in caught.value.problems] == ["perfloop.yml:2", "perfloop.yml:6"]


def test_without_the_parser_a_file_is_read_all_the_same_and_without_expressions_it_is_not_loaded(
    tmp_path: Path,
) -> None:
    (tmp_path / "promql_parser.py").write_text("raise ImportError('not here')")
    broken = "metrics: {a: {expr: 'sum(', unit: u, direction: lower}}"
    code = f"from perfloop import config; config.parse({broken!r}); print('read')"

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30
    )

    assert done.stdout == "read\n"
    code = "import sys; from perfloop import config; config.parse(''); print('promql_parser' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "False\n"
