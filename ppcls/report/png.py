"""The pictures of a report as PNG files: the charts of the page, drawn by Pillow, and photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator, List, Mapping, Optional, Tuple

import numpy as np
from PIL import Image, ImageDraw

from ppcls.report.charts import Chart
from ppcls.report.drawing import DIM, FOREGROUND, GRID, HEAT, Box, Circle, Line, Point, Shape, Text, draw, legend
from ppcls.report.files import replacing
from ppcls.utils.lettering import DrawableNames, font_for
from ppcls.utils.opencv import cv2
from ppcls.utils.terminal import columns_of

# The light colors of the page.
_SERIES = ("#1f6fd0", "#c2520b", "#2c8043", "#8a4fc2", "#b0306e", "#6b6f00", "#00808a", "#7a5a44", "#5450cf", "#a3262c")
_COLORS = {
    **{str(index): color for index, color in enumerate(_SERIES)},
    GRID: "#d5dae1",
    DIM: "#5a6270",
    FOREGROUND: "#1d2129",
    HEAT: "#1f5fbf",
}
_SCALE = 2  # pixels of the file per unit of the drawing
_FINER = 2  # times as many while drawing: Pillow's lines have steps
_UNIT = _SCALE * _FINER
_LARGEST = 2000.0  # units of a drawing; larger ones are drawn smaller
_FONT, _TITLE = 11.5, 13.0
_DASH = 4.0
_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}


def write_charts(charts: Mapping[str, Chart], folder: Path, names: Optional[DrawableNames] = None) -> None:
    """Draw charts into ``NAME.png``.

    Args:
        names: of the classes, which the charts may have.

    Raises:
        MachineError: a file cannot be written.
    """
    for name, chart in charts.items():
        image = draw_chart(chart, names)
        with replacing(folder / f"{name}.png") as temporary:
            image.save(temporary, format="png")


def write_picture(path: Path, image: np.ndarray) -> None:
    """Write an image [H, W, 3] uint8 RGB as a PNG file.

    Raises:
        MachineError: it cannot be written.
    """
    encoded = cv2.imencode(".png", np.ascontiguousarray(image[:, :, ::-1]))[1].tobytes()
    with replacing(path) as temporary:
        temporary.write_bytes(encoded)


def draw_chart(chart: Chart, names: Optional[DrawableNames] = None) -> Image.Image:
    """Return a chart with its title and legend."""
    names = names or DrawableNames(())
    drawing = draw(chart)
    unit = _UNIT * min(1.0, _LARGEST / max(drawing.width, drawing.height))
    rows = _legend_rows([(names.replace(name), color) for name, color in legend(chart)], drawing.width)
    head = 22.0 + 15.0 * len(rows)
    size = (round(drawing.width * unit), round((drawing.height + head) * unit))
    image = Image.new("RGB", size, "white")
    pen = _Pen(ImageDraw.Draw(image, "RGBA"), unit, names)
    pen.text(Text((8, 16), chart.title, color=FOREGROUND), _TITLE)
    for number, row in enumerate(rows):
        x = 8.0
        for name, color in row:
            y = 31.0 + 15.0 * number
            pen.shape(Box((x, y - 5), (12, 3), color))
            pen.shape(Text((x + 16, y), name))
            x += _legend_width(name)
    pen.top = head
    for shape in drawing.shapes:
        pen.shape(shape)
    return image.resize((size[0] // _FINER, size[1] // _FINER), Image.Resampling.BOX)


def _legend_width(name: str) -> float:
    return 28.0 + 6.0 * columns_of(name)


def _legend_rows(entries: List[Tuple[str, str]], width: float) -> List[List[Tuple[str, str]]]:
    rows: List[List[Tuple[str, str]]] = []
    left = width
    for entry in entries:
        needed = _legend_width(entry[0])
        if left + needed > width:
            rows.append([])
            left = 8.0
        rows[-1].append(entry)
        left += needed
    return rows


class _Pen:
    """Draws shapes, whose units it knows."""

    def __init__(self, draw: Any, unit: float, names: DrawableNames) -> None:
        self._draw, self._unit, self._names = draw, unit, names
        self.top = 0.0

    def shape(self, shape: Shape) -> None:
        """Draw a shape."""
        if isinstance(shape, Text):
            self.text(shape, _FONT)
        elif isinstance(shape, Line):
            self._line(shape)
        elif isinstance(shape, Circle):
            (x, y), radius = self._at(shape.center), shape.radius * self._unit
            self._draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=_COLORS[shape.color])
        else:
            (x, y), (width, height) = self._at(shape.corner), shape.size
            color = f"{_COLORS[shape.color]}{round(255 * shape.opacity):02x}"
            self._draw.rectangle([x, y, x + width * self._unit, y + height * self._unit], fill=color)

    def text(self, text: Text, size: float) -> None:
        """Draw a text of a size; one that is turned reads upwards."""
        letters = self._names.replace(text.text)
        if not letters:
            return
        font, anchor = font_for(letters, size * self._unit), _ANCHORS[text.anchor]
        if not text.turned:
            self._draw.text(self._at(text.place), letters, fill=_COLORS[text.color], font=font, anchor=anchor)
            return
        left, top, right, bottom = font.getbbox(letters, anchor="ls")
        mask = Image.new("L", (round(right - left) + 2, round(bottom - top) + 2))
        ImageDraw.Draw(mask).text((-left, -top), letters, fill=255, font=font, anchor="ls")
        mask = mask.rotate(90, expand=True)
        x, y = self._at(text.place)
        self._draw.bitmap((x + top, y - mask.height), mask, fill=_COLORS[text.color])

    def _line(self, line: Line) -> None:
        points = [self._at(point) for point in line.points]
        width = max(1, round(line.width * self._unit))
        for part in _dashes(points, _DASH * self._unit) if line.dashed else [points]:
            self._draw.line(part, fill=_COLORS[line.color], width=width, joint="curve")

    def _at(self, point: Point) -> Point:
        return point[0] * self._unit, (point[1] + self.top) * self._unit


def _dashes(points: List[Point], length: float) -> Iterator[List[Point]]:
    """Yield the parts of a line through points that are drawn, each at most ``length`` long."""
    for (x, y), (to_x, to_y) in zip(points, points[1:]):
        distance = float(np.hypot(to_x - x, to_y - y))
        for start in np.arange(0.0, distance, 2 * length):
            first, last = start / distance, min(1.0, (start + length) / distance)
            yield [(x + share * (to_x - x), y + share * (to_y - y)) for share in (first, last)]
