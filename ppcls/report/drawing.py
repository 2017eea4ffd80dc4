"""Charts as lines, circles, boxes and texts: the same in the page, as SVG, and in PNG files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, List, Sequence, Tuple, Union

import numpy as np

from ppcls.report.charts import BarChart, Chart, LineChart, Mark, Matrix, Series, number, ticks
from ppcls.utils.terminal import columns_of

COLORS = 10  # of series: "0" to "9"
GRID, DIM, FOREGROUND, HEAT = "line", "dim", "fg", "heat"  # the other colors
# In the units of a drawing; in a page of 390 pixels a unit is 0.9 pixels.
_WIDTH, _HEIGHT = 400.0, 235.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 12.0, 8.0, 38.0
_MARK_ROW, _MARK_ROWS = 14.0, 3  # texts of marks, above the lines
_BAR_LABELS = 8  # below a bar chart
_CELL, _LETTER = 26.0, 6.4  # of a matrix, and about the width of a letter
_MAX_NUMBERS = 40  # classes of a matrix whose cells have their numbers

Point = Tuple[float, float]
Scale = Callable[[float], float]


@dataclass(frozen=True)
class Line:
    """A line through points."""

    points: Sequence[Point]
    color: str
    width: float = 1.0
    dashed: bool = False


@dataclass(frozen=True)
class Circle:
    """A filled circle."""

    center: Point
    radius: float
    color: str


@dataclass(frozen=True)
class Box:
    """A filled box from ``corner``, its upper left one; ``title`` is said of it where a pointer rests."""

    corner: Point
    size: Tuple[float, float]
    color: str
    opacity: float = 1.0
    title: str = ""


@dataclass(frozen=True)
class Text:
    """A text whose base line is at ``place``; ``anchor`` is "start", "middle" or "end" of it; upwards if ``turned``."""

    place: Point
    text: str
    anchor: str = "start"
    color: str = DIM
    turned: bool = False


Shape = Union[Line, Circle, Box, Text]


@dataclass(frozen=True)
class Drawing:
    """Shapes, in their order from below, in an area of a width and height."""

    width: float
    height: float
    shapes: List[Shape]


def draw(chart: Chart) -> Drawing:
    """Return a chart without its title and legend."""
    if isinstance(chart, LineChart):
        return _draw_lines(chart)
    return _draw_bars(chart) if isinstance(chart, BarChart) else _draw_matrix(chart)


def legend(chart: Chart) -> List[Tuple[str, str]]:
    """Return name and color of each series that has a name and a point."""
    series = chart.series if isinstance(chart, LineChart) else ()
    return [(one.name, color_of(one)) for one in series if one.name and one.drawn()]


def color_of(series: Series) -> str:
    """Return the color of a series."""
    return str(series.color % COLORS)


def _draw_lines(chart: LineChart) -> Drawing:
    (left, right), (low, high) = chart.ranges()
    top = _TOP + _MARK_ROW * min(_MARK_ROWS, len(chart.marks))
    x, y = _x_scale(left, right, chart.log_x), _y_scale(low, high, top)
    shapes: List[Shape] = []
    if chart.axes:
        shapes += _axes(chart.x_label)
        shapes += [_x_tick(x(value), number(value)) for value in _x_values(chart, left, right)]
        for value in ticks(low, high):
            shapes += _y_tick(y(value), number(value))
    for series in chart.series:
        shapes += _series(series, x, lambda value: y(min(max(value, low), high)))
    for row, mark in enumerate(chart.marks):
        shapes += _mark(x(mark.x), mark, row)
    return Drawing(_WIDTH, _HEIGHT, shapes)


def _draw_bars(chart: BarChart) -> Drawing:
    high = max([*chart.values, 1])
    y = _y_scale(0, high)
    width = (_WIDTH - _LEFT - _RIGHT) / max(1, len(chart.values))
    shapes: List[Shape] = [*_axes(chart.x_label)]
    for value in ticks(0, high):
        shapes += _y_tick(y(value), number(value))
    every = max(1, math.ceil(len(chart.labels) / _BAR_LABELS))
    for index, (label, value) in enumerate(zip(chart.labels, chart.values)):
        left, top = _LEFT + index * width, y(value)
        size = (0.84 * width, _HEIGHT - _BOTTOM - top)
        shapes.append(Box((left + 0.08 * width, top), size, "0", title=f"{label}: {number(value)}"))
        if index % every == 0:
            shapes.append(_x_tick(left + width / 2, label))
    return Drawing(_WIDTH, _HEIGHT, shapes)


def _draw_matrix(chart: Matrix) -> Drawing:
    """Draw a matrix; the darker a cell, the larger its share of the row."""
    count = len(chart.labels)
    margin = 14 + _LETTER * max(map(columns_of, chart.labels), default=0)
    cell = _CELL if count <= _MAX_NUMBERS else _CELL / 3
    side = margin + count * cell + 8
    shares = chart.counts / np.maximum(1, chart.counts.sum(axis=1, keepdims=True))
    shapes: List[Shape] = [Text((4, 12), "label, predicted above")]
    for index, label in enumerate(chart.labels):
        middle = margin + (index + 0.5) * cell
        if count <= _MAX_NUMBERS:
            shapes.append(Text((margin - 5, middle + 4), label, "end", FOREGROUND))
            shapes.append(Text((middle + 4, margin - 5), label, "start", FOREGROUND, turned=True))
        edges = [(margin, middle - cell / 2), (margin + count * cell, middle - cell / 2)]
        shapes += [Line(edges, GRID), Line([(b, a) for a, b in edges], GRID)]
    end = margin + count * cell
    shapes.append(Line([(margin, end), (end, end), (end, margin)], GRID))
    for row, column in zip(*np.nonzero(chart.counts)):
        left, top = margin + column * cell, margin + row * cell
        shapes.append(Box((left, top), (cell, cell), HEAT, float(0.12 + 0.55 * shares[row, column])))
        if count <= _MAX_NUMBERS:
            place = (left + cell / 2, top + cell / 2 + 4)
            shapes.append(Text(place, str(chart.counts[row, column]), "middle", FOREGROUND))
    return Drawing(side, side, shapes)


def _series(series: Series, x: Scale, y: Scale) -> List[Shape]:
    places = [(x(a), y(b)) for a, b in series.drawn()]
    color = color_of(series)
    shapes: List[Shape] = []
    if series.style != "points" and len(places) > 1:
        shapes.append(Line(places, color, 1.8, series.style == "dashed"))
    if "points" in series.style or len(places) == 1:
        radius = 2.6 if series.style == "points" else 3.0
        shapes += [Circle(place, radius, color) for place in places]
    return shapes


def _mark(x: float, mark: Mark, row: int) -> List[Shape]:
    anchor = "end" if x > 0.6 * _WIDTH else "start"
    shift = -4 if anchor == "end" else 4
    base = _TOP + 4 + _MARK_ROW * (row % _MARK_ROWS)
    return [
        Line([(x, base - 8), (x, _HEIGHT - _BOTTOM)], FOREGROUND, 1.0, dashed=True),
        Text((x + shift, base), mark.text, anchor, FOREGROUND),
    ]


def _axes(x_label: str) -> List[Shape]:
    bottom = _HEIGHT - _BOTTOM
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    return [Line([(_LEFT, bottom), (_WIDTH - _RIGHT, bottom)], GRID), Text((middle, _HEIGHT - 5), x_label, "middle")]


def _x_values(chart: LineChart, left: float, right: float) -> List[float]:
    """Return the numbers on the axis of x; epochs are whole."""
    values = ticks(left, right, chart.log_x)
    return [value for value in values if float(value).is_integer()] if chart.x_label == "epoch" else values


def _x_tick(x: float, label: str) -> Shape:
    is_cut = x + columns_of(label) * _LETTER / 2 > _WIDTH
    return Text((_WIDTH if is_cut else x, _HEIGHT - _BOTTOM + 14), label, "end" if is_cut else "middle")


def _y_tick(y: float, label: str) -> List[Shape]:
    return [Line([(_LEFT, y), (_WIDTH - _RIGHT, y)], GRID), Text((_LEFT - 5, y + 4), label, "end")]


def _x_scale(low: float, high: float, log: bool) -> Scale:
    width = _WIDTH - _LEFT - _RIGHT
    if log:
        return lambda value: _LEFT + width * math.log(value / low) / math.log(high / low)
    return lambda value: _LEFT + width * (value - low) / (high - low)


def _y_scale(low: float, high: float, top: float = _TOP) -> Scale:
    height = _HEIGHT - top - _BOTTOM
    return lambda value: _HEIGHT - _BOTTOM - height * (value - low) / (high - low)
