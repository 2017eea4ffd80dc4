"""Charts as data: drawn as SVG in the page, and by matplotlib as PNG files."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import List, Optional, Sequence, Tuple, Union

import numpy as np

_MAX_POINTS = 400  # of a series: more are not seen at the size of a page
_TICKS = 5


@dataclass(frozen=True)
class Series:
    """A line, or points, of a chart.

    Attributes:
        name: in the legend; "" is not listed there.
        points: (x, y), ordered by x for a line.
        style: "line", "dashed", "points" or "line+points".
        color: number of its color, from 0.
    """

    name: str
    points: Sequence[Tuple[float, float]]
    style: str = "line"
    color: int = 0

    def drawn(self) -> List[Tuple[float, float]]:
        """Return the points that are finite, at most ``_MAX_POINTS`` of a line, first and last included."""
        finite = [(float(x), float(y)) for x, y in self.points if math.isfinite(x) and math.isfinite(y)]
        if len(finite) <= _MAX_POINTS or self.style == "points":
            return finite
        kept = np.unique(np.linspace(0, len(finite) - 1, _MAX_POINTS).round().astype(int))
        return [finite[index] for index in kept]


@dataclass(frozen=True)
class Mark:
    """A vertical line at ``x`` with a text."""

    x: float
    text: str


@dataclass(frozen=True)
class LineChart:
    """Lines and points over a common axis.

    Attributes:
        y_range: from and to; None for that of the points.
        log_x: whether x grows by factors.
        axes: whether the axes have numbers; those of a map of embeddings mean nothing.
    """

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    marks: Sequence[Mark] = ()
    y_range: Optional[Tuple[float, float]] = None
    log_x: bool = False
    axes: bool = True

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(series.drawn() for series in self.series)

    def ranges(self) -> Tuple[Tuple[float, float], Tuple[float, float]]:
        """Return from and to of x and of y, with some room."""
        points = [point for series in self.series for point in series.drawn()]
        xs = [x for x, _ in points] + [mark.x for mark in self.marks]
        ys = [y for _, y in points]
        return _widened(min(xs), max(xs), self.log_x), self.y_range or _widened(min(ys), max(ys))


@dataclass(frozen=True)
class BarChart:
    """A bar for each of a few intervals or names."""

    title: str
    x_label: str
    y_label: str
    labels: Sequence[str]
    values: Sequence[float]


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix: rows by label, columns by prediction."""

    title: str
    labels: Sequence[str]
    counts: np.ndarray = field(repr=False)


Chart = Union[LineChart, BarChart, Matrix]


def _widened(low: float, high: float, log: bool = False) -> Tuple[float, float]:
    if log:
        return (low, high) if high > low else (low / 2, high * 2)
    if high > low:
        return low, high
    return low - (abs(low) / 2 or 0.5), high + (abs(high) / 2 or 0.5)


def ticks(low: float, high: float, log: bool = False) -> List[float]:
    """Return round numbers between two numbers, for an axis."""
    if log:
        return [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
    raw = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def number(value: float) -> str:
    """Return a number as the axis of a chart has it: "0.001", "1e-05", "12,000"."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
