"""The pictures of a report as PNG files: charts by matplotlib, photos by OpenCV."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Iterator, Mapping

import numpy as np

from ppcls.errors import MachineError
from ppcls.report.charts import BarChart, Chart, LineChart, Matrix, Series
from ppcls.utils import atomic
from ppcls.utils.extras import install_command
from ppcls.utils.logging import get_logger
from ppcls.utils.opencv import cv2

_COLORS = ("#1f6fd0", "#c2520b", "#2c8043", "#8a4fc2", "#b0306e", "#6b6f00", "#00808a", "#7a5a44")
_MAX_CELLS = 30  # classes of a confusion matrix whose cells have their numbers


def write_charts(charts: Mapping[str, Chart], folder: Path) -> bool:
    """Draw charts into ``NAME.png``; return whether matplotlib, which does it, is installed. Its absence is logged.

    Raises:
        MachineError: a file cannot be written.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        get_logger().info(
            "%s has no charts as PNG files, which matplotlib draws: %s; report.html has all of them",
            *(folder, install_command("report")),
        )
        return False
    with matplotlib.rc_context({"font.size": 9, "axes.grid": True, "grid.alpha": 0.3}):
        for name, chart in charts.items():
            # Not pyplot: it keeps figures, and chooses a window system.
            figure = Figure(figsize=_size(chart), layout="constrained")
            FigureCanvasAgg(figure)
            axes = figure.add_subplot()
            axes.set_title(chart.title)
            _draw(chart, figure, axes)
            with _writing(folder / f"{name}.png") as temporary:
                figure.savefig(temporary, dpi=120, format="png")
    return True


def write_picture(path: Path, image: np.ndarray) -> None:
    """Write an image [H, W, 3] uint8 RGB as a PNG file.

    Raises:
        MachineError: it cannot be written.
    """
    encoded = cv2.imencode(".png", np.ascontiguousarray(image[:, :, ::-1]))[1].tobytes()
    with _writing(path) as temporary:
        temporary.write_bytes(encoded)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[Path]:
    """Replace a file; an OSError becomes a MachineError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise MachineError(f"{path} cannot be written: {error.strerror or error}") from None


def _size(chart: Chart) -> Any:
    if isinstance(chart, Matrix):
        side = min(16.0, 3.0 + 0.35 * len(chart.labels))
        return side, side
    return 6.4, 4.0


def _draw(chart: Chart, figure: Any, axes: Any) -> None:
    if isinstance(chart, LineChart):
        _draw_lines(chart, axes)
    elif isinstance(chart, BarChart):
        _draw_bars(chart, axes)
    else:
        _draw_matrix(chart, figure, axes)


def _draw_lines(chart: LineChart, axes: Any) -> None:
    for series in chart.series:
        _draw_series(series, axes)
    axes.set(xlabel=chart.x_label, ylabel=chart.y_label)
    if chart.log_x:
        axes.set_xscale("log")
    if chart.y_range is not None:
        axes.set_ylim(*chart.y_range)
    if not chart.axes:
        axes.set(xticks=[], yticks=[])
    for mark in chart.marks:
        axes.axvline(mark.x, color="black", linestyle=":", linewidth=1)
        axes.annotate(mark.text, (mark.x, 1), xycoords=("data", "axes fraction"), va="top", fontsize=8)
    if any(series.name for series in chart.series):
        axes.legend(fontsize=8)


def _draw_series(series: Series, axes: Any) -> None:
    points = series.drawn()
    style = {"line": "-", "line+points": "-", "dashed": "--", "points": ""}[series.style]
    axes.plot(
        [x for x, _ in points],
        [y for _, y in points],
        linestyle=style,
        marker="." if "points" in series.style or len(points) == 1 else "",
        color=_COLORS[series.color % len(_COLORS)],
        label=series.name or None,
    )


def _draw_bars(chart: BarChart, axes: Any) -> None:
    axes.bar(range(len(chart.values)), chart.values, color=_COLORS[0])
    axes.set(xlabel=chart.x_label, ylabel=chart.y_label)
    every = max(1, len(chart.labels) // 10)
    axes.set_xticks(range(0, len(chart.labels), every), chart.labels[::every], rotation=45, ha="right")


def _draw_matrix(chart: Matrix, figure: Any, axes: Any) -> None:
    shares = chart.counts / np.maximum(1, chart.counts.sum(axis=1, keepdims=True))
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(picture, ax=axes, shrink=0.7, label="share of the class")
    axes.grid(False)
    axes.set(xlabel="predicted", ylabel="label")
    if len(chart.labels) > _MAX_CELLS:
        return
    axes.set_xticks(range(len(chart.labels)), chart.labels, rotation=90)
    axes.set_yticks(range(len(chart.labels)), chart.labels)
    for row, column in zip(*np.nonzero(chart.counts)):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(chart.counts[row, column]), ha="center", va="center", fontsize=7, color=color)
