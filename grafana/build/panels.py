"""The panels that boards are made of. A panel's id is part of links to it: once given, it is never given again."""

from __future__ import annotations

from grafana_foundation_sdk.builders import common, stat, timeseries
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    DataSourceRef,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import Threshold, ThresholdsMode

from perfloop.rules.catalogue import catalogue

DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
MEASURED = 'job=~"$job",instance=~"$instance"'
CATALOGUE = catalogue({})
# What Grafana calls the catalogue's units.
UNITS = {
    "percent": "percent",
    "milliseconds": "ms",
    "requests per second": "reqps",
    "transactions per second": "ops",
    "keys per second": "ops",
    "connections": "short",
    "clients": "short",
}


def query(expr: str, legend: str) -> Dataquery:
    """Return a query over the board's time range."""
    return Dataquery().expr(expr).legend_format(legend).ref_id("A").datasource(DATASOURCE)


def query_now(expr: str, legend: str) -> Dataquery:
    """Return a query at the end of the time range: what is no longer there is not shown."""
    return query(expr, legend).instant()


def recorded(panel_id: int, name: str, title: str, *, legend: str, span: int = 8) -> timeseries.Panel:
    """Return the chart of one catalogue metric; unit and description are the catalogue's."""
    metric = CATALOGUE[name]
    panel = chart(panel_id, title, metric.help, unit=UNITS[metric.unit], span=span)
    if metric.unit == "percent":
        panel = panel.axis_soft_max(100)
    return panel.with_target(query(f"{metric.series}{{{MEASURED}}}", legend))


def chart(panel_id: int, title: str, description: str, *, unit: str, span: int = 8) -> timeseries.Panel:
    """Return an empty chart of lines that begin at zero."""
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    return (
        timeseries.Panel()
        .id(panel_id)
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .span(span)
        .height(7)
        .axis_soft_min(0)
        .line_width(1)
        .fill_opacity(8)
        .show_points(VisibilityMode.NEVER)
        .legend(legend.show_legend(True))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )


def number(panel_id: int, title: str, description: str, *, unit: str, span: int = 4) -> stat.Panel:
    """Return an empty panel of large numbers, each the last value of its series."""
    return (
        stat.Panel()
        .id(panel_id)
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .span(span)
        .height(4)
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def thresholds(base: str, *steps: tuple[float, str]) -> ThresholdsConfig:
    """Return colours by value: `base` below the first step."""
    found = [Threshold(value=None, color=base), *(Threshold(value=value, color=color) for value, color in steps)]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(found)
