"""The overview: is anything wrong now, what is measured, and what the loop did about it."""

from __future__ import annotations

from grafana_foundation_sdk.builders import common, stat, timeseries
from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    Dashboard,
    DatasourceVariable,
    QueryVariable,
    Row,
)
from grafana_foundation_sdk.models.common import LineInterpolation, StackingMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    ValueMap,
    ValueMappingResult,
    VariableRefresh,
    VariableSort,
)

from grafana.build.panels import DATASOURCE, MEASURED, chart, number, query, query_now, recorded, thresholds

HOST, COMPONENT = "{{instance}}", "{{component}}"


def overview() -> Dashboard:
    """Return the board `perfloop-overview`."""
    board = (
        Dashboard("perfloop: overview")
        .uid("perfloop-overview")
        .description("What perfloop measures, what is wrong, and what was done about it.")
        .tags(["perfloop"])
        .readonly()
        .time("now-3h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_variable("job", "label_values(up, job)"))
        .with_variable(_variable("instance", 'label_values(up{job=~"$job"}, instance)'))
    )
    for annotation in _annotations():
        board = board.annotation(annotation)
    for panel in _is_it_fine():
        board = board.with_panel(panel)
    for title, panels in _rows().items():
        board = board.with_row(Row(title))
        for chart_panel in panels:
            board = board.with_panel(chart_panel)
    return board


def _variable(name: str, values: str) -> QueryVariable:
    return (
        QueryVariable(name)
        .label(name.capitalize())
        .datasource(DATASOURCE)
        .query(values)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def _annotations() -> list[AnnotationQuery]:
    def marks(name: str, expr: str, color: str, text: str) -> AnnotationQuery:
        return (
            AnnotationQuery()
            .name(name)
            .datasource(DATASOURCE)
            .enable(True)
            .icon_color(color)
            .expr(expr)
            .step("60s")
            .title_format(name)
            .text_format(text)
        )

    # The value is the time of the change itself; Grafana reads it in milliseconds.
    changed = "1000 * perfloop_optimizer_execution_changed_timestamp_seconds"
    # Rollbacks are rare: the first of a policy brings its series with it, where increase() and changes() see nothing.
    total = "perfloop_optimizer_rollbacks_total"
    rolled_back = f"{total} > (max_over_time({total}[1d] offset 1m) or 0 * {total})"
    return [
        marks("Change", changed, "blue", "{{policy}} changed {{component}}").use_value_for_time(True),
        marks("Rollback", rolled_back, "orange", "{{policy}} was undone"),
        marks("Critical", 'ALERTS{alertstate="firing",severity="critical"}', "red", "{{alertname}} {{component}}"),
    ]


def _is_it_fine() -> list[stat.Panel]:
    state = ValueMap(
        options={
            "0": ValueMappingResult(text="running", color="green", index=0),
            "1": ValueMappingResult(text="paused", color="orange", index=1),
        }
    )
    return [
        # No series of ALERTS means that nothing fires: here, absent is zero.
        _firing(1, "Critical alerts", "critical", "red"),
        _firing(2, "Warnings", "warning", "orange"),
        number(3, "Targets down", "Scrape targets that did not answer the last scrape.", unit="none")
        .thresholds(thresholds("green", (1, "red")))
        .with_target(query_now(f"count(up{{{MEASURED}}}) - sum(up{{{MEASURED}}})", "down")),
        number(4, "Optimizer", "Whether the optimizer acts, or was paused by somebody.", unit="none")
        .mappings([state])
        .no_value("not there")
        .with_target(query_now("max(perfloop_optimizer_paused)", "state")),
        number(5, "Under way", "Executions that wait or run now.", unit="none")
        .thresholds(thresholds("text", (1, "blue")))
        .with_target(query_now('sum(perfloop_optimizer_executions{state=~"pending|running"})', "executions")),
        number(6, "Last effects", "Improvement by the last action of a policy; negative is worse.", unit="percentunit")
        .thresholds(thresholds("red", (0, "green")))
        .with_target(query_now("perfloop_optimizer_effect_ratio", "{{policy}} {{component}}")),
    ]


def _firing(panel_id: int, title: str, severity: str, color: str) -> stat.Panel:
    expr = f'count(ALERTS{{alertstate="firing",severity="{severity}"}}) or vector(0)'
    return (
        number(panel_id, title, f"Alerts of severity {severity} that fire now.", unit="none")
        .thresholds(thresholds("green", (1, color)))
        .with_target(query_now(expr, severity))
    )


def _rows() -> dict[str, list[timeseries.Panel]]:
    return {
        "Host": [
            recorded(11, "cpu_usage", "CPU", legend=HOST),
            recorded(12, "memory_usage", "Memory", legend=HOST),
            recorded(13, "disk_usage", "Disk", legend="{{instance}} {{mountpoint}}"),
        ],
        "Application": [
            recorded(21, "response_time", "Response time", legend=COMPONENT),
            recorded(22, "request_throughput", "Throughput", legend=COMPONENT),
            recorded(23, "error_rate", "Errors", legend=COMPONENT),
        ],
        "Database": [
            recorded(31, "db_connections", "Connections", legend=COMPONENT),
            recorded(32, "pool_wait", "Wait for the pool", legend=COMPONENT),
            recorded(33, "query_time", "Query time", legend=COMPONENT),
        ],
        "Cache": [
            recorded(41, "cache_hit_rate", "Hit rate", legend=COMPONENT, span=12),
            recorded(42, "cache_evictions", "Evictions", legend=COMPONENT, span=12),
        ],
        "The loop": _loop(),
    }


def _loop() -> list[timeseries.Panel]:
    return [
        chart(51, "Executions by state", "Executions that the optimizer remembers, by state.", unit="short")
        .stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
        .with_target(query("sum by (state) (perfloop_optimizer_executions)", "{{state}}")),
        _events(52, "Verdicts", "Verdicts on actions so far, judged by their objective.", "verdict", "verdicts"),
        chart(53, "Effect", "Improvement of the objective by the last action; negative is worse.", unit="percentunit")
        .axis_centered_zero(True)
        .with_target(query("perfloop_optimizer_effect_ratio", "{{policy}} {{component}}")),
        _events(54, "Decisions", "Decisions for episodes so far, by outcome.", "outcome", "decisions"),
        _events(55, "Rollbacks", "Changes that were undone so far.", "policy", "rollbacks"),
        chart(56, "Age of the last success", "Time since the optimizer last succeeded, by part.", unit="s").with_target(
            # 0 means "not yet".
            query("time() - max by (what) (perfloop_optimizer_last_success_timestamp_seconds > 0)", "{{what}}")
        ),
    ]


def _events(panel_id: int, title: str, description: str, label: str, subject: str) -> timeseries.Panel:
    """Return a staircase of the count so far; an increase would not show the first event of a series."""
    return (
        chart(panel_id, title, description, unit="short")
        .line_interpolation(LineInterpolation.STEP_AFTER)
        .with_target(query(f"sum by ({label}) (perfloop_optimizer_{subject}_total)", f"{{{{{label}}}}}"))
    )
