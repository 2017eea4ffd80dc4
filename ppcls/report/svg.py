"""Charts as SVG elements of a page: no scripts; the page's style gives the colors."""

from __future__ import annotations

from html import escape

from ppcls.report.charts import Chart, Matrix
from ppcls.report.drawing import COLORS, DIM, FOREGROUND, GRID, HEAT, Box, Circle, Line, Shape, Text, draw, legend

_VARIABLES = {
    **{str(index): f"var(--c{index})" for index in range(COLORS)},
    **{name: f"var(--{name})" for name in (GRID, DIM, FOREGROUND)},
    HEAT: "rgb(var(--heat))",
}
STYLE = """
.chart { margin: 0; min-width: 0 } .chart figcaption { font-size: .85rem; font-weight: 600 }
.chart svg { display: block; width: 100%; height: auto; font: 11.5px system-ui, sans-serif }
.legend { font-weight: 400; color: var(--dim); display: flex; flex-wrap: wrap; gap: 0 .9rem }
.legend i { display: inline-block; width: .9rem; height: .22rem; margin-right: .3rem; vertical-align: middle }
.chart path { fill: none; stroke-linejoin: round }
""" + "".join(f".s-{name} {{ stroke: {value} }} .f-{name} {{ fill: {value} }}\n" for name, value in _VARIABLES.items())


def draw_chart(chart: Chart) -> str:
    """Return a chart as a figure with its title, legend and picture."""
    drawing = draw(chart)
    named = "".join(
        f"<span><i style='background:{_VARIABLES[color]}'></i>{escape(name)}</span>" for name, color in legend(chart)
    )
    key = f"<span class='legend'>{named}</span>" if named else ""
    # The letters of a small matrix would be huge.
    limit = f" style='max-width: {1.4 * drawing.width:.0f}px'" if isinstance(chart, Matrix) else ""
    return (
        f"<figure class='chart'><figcaption>{escape(chart.title)}{key}</figcaption>"
        f"<svg viewBox='0 0 {drawing.width:g} {drawing.height:g}' role='img'{limit} "
        f"aria-label='{escape(chart.title, quote=True)}'>{''.join(map(_element, drawing.shapes))}</svg></figure>"
    )


def _element(shape: Shape) -> str:
    if isinstance(shape, Line):
        path = "M" + " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
        dash = " stroke-dasharray='4 4'" if shape.dashed else ""
        return f"<path class='s-{shape.color}' stroke-width='{shape.width:g}'{dash} d='{path}'/>"
    if isinstance(shape, Circle):
        x, y = shape.center
        return f"<circle class='f-{shape.color}' cx='{x:.1f}' cy='{y:.1f}' r='{shape.radius:g}'/>"
    if isinstance(shape, Box):
        return _box(shape)
    assert isinstance(shape, Text)
    x, y = shape.place
    turn = f" transform='rotate(-90 {x:.1f} {y:.1f})'" if shape.turned else ""
    where = f"x='{x:.1f}' y='{y:.1f}' text-anchor='{shape.anchor}'"
    return f"<text class='f-{shape.color}' {where}{turn}>{escape(shape.text)}</text>"


def _box(shape: Box) -> str:
    (x, y), (width, height) = shape.corner, shape.size
    opacity = f" opacity='{shape.opacity:.2f}'" if shape.opacity < 1 else ""
    title = f"<title>{escape(shape.title)}</title>" if shape.title else ""
    where = f"x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}'"
    return f"<rect class='f-{shape.color}' {where}{opacity}>{title}</rect>"
