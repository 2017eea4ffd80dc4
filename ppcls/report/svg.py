"""Charts as SVG elements of a page: no scripts; the page's style gives the colors."""

from __future__ import annotations

import math
from html import escape
from typing import Callable, List, Sequence

from ppcls.report.charts import BarChart, LineChart, Series, number, ticks

# In the units of the view box; at 390 pixels of page width a unit is 0.9 pixels.
_WIDTH, _HEIGHT = 400, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 20, 40
COLORS = 8
STYLE = """
.chart { margin: 0; min-width: 0 } .chart figcaption { font-size: .85rem; font-weight: 600 }
.chart svg { display: block; width: 100%; height: auto; font: 11.5px system-ui, sans-serif }
.chart .legend { font-weight: 400; color: var(--dim); display: flex; flex-wrap: wrap; gap: 0 .9rem }
.chart .legend i { display: inline-block; width: .9rem; height: .22rem; margin-right: .3rem; vertical-align: middle }
.chart text { fill: var(--dim) } .chart .grid { stroke: var(--line); stroke-width: 1 }
.chart .mark { stroke: var(--fg); stroke-width: 1; stroke-dasharray: 3 3; opacity: .75 }
.chart .mark-text { fill: var(--fg) } .chart .line { fill: none; stroke-width: 1.8; stroke-linejoin: round }
.chart .bar { fill: var(--c0) }
""" + "".join(
    f".s{index} {{ stroke: var(--c{index}) }} .f{index} {{ fill: var(--c{index}) }}\n" for index in range(COLORS)
)

Scale = Callable[[float], float]


def draw_lines(chart: LineChart) -> str:
    """Return a chart as a figure with its title, legend and picture."""
    (left, right), (low, high) = chart.ranges()
    x, y = _x_scale(left, right, chart.log_x), _y_scale(low, high)
    parts: List[str] = []
    if chart.axes:
        parts += _axes(chart.x_label, chart.y_label)
        parts += [_x_tick(x(value), number(value)) for value in ticks(left, right, chart.log_x)]
        parts += [_y_tick(y(value), number(value)) for value in ticks(low, high)]
    for series in chart.series:
        parts += _series(series, x, lambda value: y(min(max(value, low), high)))
    for row, mark in enumerate(chart.marks):
        parts += _mark(x(mark.x), mark.text, row)
    return _figure(chart.title, parts, _legend(chart.series))


def draw_bars(chart: BarChart) -> str:
    """Return a bar chart as a figure."""
    high = max([*chart.values, 1])
    y = _y_scale(0, high)
    width = (_WIDTH - _LEFT - _RIGHT) / max(1, len(chart.values))
    parts = [*_axes(chart.x_label, chart.y_label), *(_y_tick(y(value), number(value)) for value in ticks(0, high))]
    every = max(1, math.ceil(len(chart.labels) / 8))
    for index, (label, value) in enumerate(zip(chart.labels, chart.values)):
        left, top = _LEFT + index * width, y(value)
        parts.append(
            f"<rect class='bar' x='{left + 0.08 * width:.1f}' y='{top:.1f}' width='{0.84 * width:.1f}' "
            f"height='{_HEIGHT - _BOTTOM - top:.1f}'><title>{escape(label)}: {number(value)}</title></rect>"
        )
        if index % every == 0:
            parts.append(_text(left + width / 2, _HEIGHT - _BOTTOM + 14, label, "middle"))
    return _figure(chart.title, parts, "")


def _figure(title: str, parts: List[str], legend: str) -> str:
    return (
        f"<figure class='chart'><figcaption>{escape(title)}{legend}</figcaption>"
        f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' role='img' aria-label='{escape(title, quote=True)}'>"
        f"{''.join(parts)}</svg></figure>"
    )


def _legend(series: Sequence[Series]) -> str:
    items = [
        f"<span><i style='background:var(--c{one.color % COLORS})'></i>{escape(one.name)}</span>"
        for one in series
        if one.name and one.drawn()
    ]
    return f"<span class='legend'>{''.join(items)}</span>" if items else ""


def _series(series: Series, x: Scale, y: Scale) -> List[str]:
    places = [(x(a), y(b)) for a, b in series.drawn()]
    color = series.color % COLORS
    parts = []
    if series.style != "points" and len(places) > 1:
        path = "M" + " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        dash = " stroke-dasharray='4 4'" if series.style == "dashed" else ""
        parts.append(f"<path class='line s{color}'{dash} d='{path}'/>")
    if "points" in series.style or len(places) == 1:
        radius = 2.4 if series.style == "points" else 3
        parts += [f"<circle class='f{color}' cx='{a:.1f}' cy='{b:.1f}' r='{radius}'/>" for a, b in places]
    return parts


def _mark(x: float, text: str, row: int) -> List[str]:
    anchor = "end" if x > 0.6 * _WIDTH else "start"
    shift = -4 if anchor == "end" else 4
    return [
        f"<line class='mark' x1='{x:.1f}' x2='{x:.1f}' y1='{_TOP}' y2='{_HEIGHT - _BOTTOM}'/>",
        _text(x + shift, _TOP + 10 + 13 * (row % 3), text, anchor, "mark-text"),
    ]


def _axes(x_label: str, y_label: str) -> List[str]:
    bottom = _HEIGHT - _BOTTOM
    return [
        f"<line class='grid' x1='{_LEFT}' x2='{_WIDTH - _RIGHT}' y1='{bottom}' y2='{bottom}'/>",
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, x_label, "middle"),
        _text(4, 12, y_label, "start"),
    ]


def _x_tick(x: float, label: str) -> str:
    return _text(x, _HEIGHT - _BOTTOM + 14, label, "middle")


def _y_tick(y: float, label: str) -> str:
    line = f"<line class='grid' x1='{_LEFT}' x2='{_WIDTH - _RIGHT}' y1='{y:.1f}' y2='{y:.1f}'/>"
    return line + _text(_LEFT - 5, y + 4, label, "end")


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    mark = f" class='{kind}'" if kind else ""
    return f"<text{mark} x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}'>{escape(text)}</text>"


def _x_scale(low: float, high: float, log: bool) -> Scale:
    width = _WIDTH - _LEFT - _RIGHT
    if log:
        return lambda value: _LEFT + width * math.log(value / low) / math.log(high / low)
    return lambda value: _LEFT + width * (value - low) / (high - low)


def _y_scale(low: float, high: float) -> Scale:
    height = _HEIGHT - _TOP - _BOTTOM
    return lambda value: _HEIGHT - _BOTTOM - height * (value - low) / (high - low)
