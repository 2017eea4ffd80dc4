"""The learning rate over a run as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Tuple

from ppcls.engine.lr_schedule import Points, first_after_warmup
from ppcls.errors import MachineError
from ppcls.optimizer.schedule import Schedule
from ppcls.utils.extras import missing_extra
from ppcls.utils.logging import get_logger

_RIGHT_SIDE = 0.7  # share of the width from which on labels stand to the left of their point


def draw_schedule(curves: Mapping[str, Tuple[Schedule, Points]], target: Path, title: str) -> None:
    """Draw the rates of one or more runs, one after the other, into a picture file.

    Args:
        curves: as ``schedule_points`` returns them, by what a legend calls them.

    Raises:
        MachineError: matplotlib is missing, or the file cannot be written.
    """
    try:
        import matplotlib
    except ImportError:
        raise missing_extra("report", "matplotlib", "drawing") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4), constrained_layout=True)
    begin, length = 0.0, sum(schedule.timing.epochs for schedule, _ in curves.values())
    for name, (schedule, points) in curves.items():
        steps = schedule.timing.steps_per_epoch
        axes.plot([begin + step / steps for step, _ in points], [rate for _, rate in points], label=name)
        _annotate(axes, schedule, points, begin, length)
        begin += schedule.timing.epochs
    axes.set(xlabel="epoch", ylabel="learning rate", title=title, xlim=(0, begin))
    axes.set_ylim(0, axes.get_ylim()[1] * 1.05)  # room for what stands above the peak
    axes.grid(alpha=0.3)
    lengths = {schedule.timing.steps_per_epoch for schedule, _ in curves.values()}
    if len(lengths) == 1:
        _add_updates(axes, lengths.pop())
    if len(curves) > 1:
        axes.legend()
    try:
        figure.savefig(target, dpi=120)
    except (OSError, ValueError) as error:
        raise MachineError(f"--out={target}: cannot be written: {error}") from None
    finally:
        pyplot.close(figure)
    get_logger().info("wrote %s", target)


def _add_updates(axes: Any, steps_per_epoch: int) -> None:
    """Add a scale of updates above."""
    to_updates, to_epochs = (lambda epoch: epoch * steps_per_epoch), (lambda update: update / steps_per_epoch)
    axes.secondary_xaxis("top", functions=(to_updates, to_epochs)).set_xlabel("update")


def _annotate(axes: Any, schedule: Schedule, points: Points, begin: float, length: float) -> None:
    """Mark the end of the warm-up, the peak and the end."""
    marks = {max(points, key=lambda point: point[1])[0]: "peak", points[-1][0]: "end"}
    if schedule.warmup:
        marks[first_after_warmup(schedule)] = "end of warm-up"
    for step, name in marks.items():
        position, rate = begin + step / schedule.timing.steps_per_epoch, schedule.lr_at(step)
        axes.plot([position], [rate], "o", color="black", markersize=4)
        left, up = (-6, 8) if name == "end" else (6, 4)
        axes.annotate(
            f"{name}: {rate:.3g}",
            (position, rate),
            xytext=(left, up),
            textcoords="offset points",
            ha="right" if name == "end" or position > _RIGHT_SIDE * length else "left",
            fontsize=9,
        )
