"""A training on a terminal: one row an epoch."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Dict, List, Optional, Tuple

from ppcls.utils import terminal

_TOPK = re.compile(r"top(\d+)")
_BEST = "*"
_GAP = "  "
# What is left out where the terminal is narrow, first to last.
_DROPPED_FIRST = ("rate", "val loss", "images/s", "left", "loss")


@dataclass(frozen=True)
class Epoch:
    """What a row shows of an epoch.

    Attributes:
        number: from 1.
        total: epochs of the run.
        loss: of training.
        rate: the learning rate.
        images_per_second: of training, without the evaluation.
        eval_loss: of the evaluation; None where the epoch was not evaluated.
        metric: the value that chooses the best epoch; None where the epoch was not evaluated.
        is_best: whether it is the best epoch so far.
        seconds_left: of the run; None where it is not known.
    """

    number: int
    total: int
    loss: float
    rate: float
    images_per_second: float
    eval_loss: Optional[float] = None
    metric: Optional[float] = None
    is_best: bool = False
    seconds_left: Optional[float] = None


class EpochTable:
    """Makes the lines of the table: a title, and a row for each epoch; all fit the terminal.

    Args:
        metric: that chooses the best epoch, such as "top1".
        total: epochs of the run.
    """

    def __init__(self, metric: str, total: int) -> None:
        match = _TOPK.fullmatch(metric)
        self._is_share = match is not None
        self._metric = f"top-{match[1]}" if match else "val loss" if metric == "loss" else metric
        self._epoch_width = max(len("epoch"), 2 * len(str(total)) + 1)
        self._printed: Tuple[str, ...] = ()  # the columns of the newest title

    def lines(self, epoch: Epoch) -> List[str]:
        """Return the row of an epoch, after the title where the columns are not those of the row before."""
        cells = self._cells(epoch)
        columns = self._fitting(cells)
        lines = []
        if columns != self._printed:
            self._printed = columns
            title = _GAP.join(f"{name:>{len(cells[name])}}" for name in columns)
            lines.append(terminal.styled(title.rstrip(), "dim"))
        row = _GAP.join(cells[name] for name in columns)
        lines.append(terminal.styled(row, "bold", "green") if epoch.is_best else row)
        return lines

    def _cells(self, epoch: Epoch) -> Dict[str, str]:
        """Return the text of each column, all rows alike in width."""
        metric_width = max(len(self._metric), 9)
        value = (
            "-" if epoch.metric is None else f"{100 * epoch.metric:.2f} %" if self._is_share else f"{epoch.metric:.4f}"
        )
        left = "" if epoch.seconds_left is None else str(timedelta(seconds=round(epoch.seconds_left)))
        mark = _BEST if epoch.is_best else " "
        return {
            "epoch": f"{f'{epoch.number}/{epoch.total}':>{self._epoch_width}}",
            "loss": f"{epoch.loss:7.4f}",
            "val loss": f"{'-' if epoch.eval_loss is None else f'{epoch.eval_loss:.4f}':>8}",
            self._metric: f"{value:>{metric_width}}{mark}",
            "rate": f"{epoch.rate:8.2e}",
            "images/s": f"{epoch.images_per_second:8.0f}",
            "left": f"{left:>8}",
        }

    def _fitting(self, cells: Dict[str, str]) -> Tuple[str, ...]:
        """Return the columns that fit side by side."""
        names = list(cells)
        for dropped in _DROPPED_FIRST:
            if (
                sum(max(len(name), len(cells[name])) for name in names) + len(_GAP) * (len(names) - 1)
                <= terminal.width()
            ):
                break
            if dropped != self._metric:
                names.remove(dropped)
        return tuple(names)


class RemainingTime:
    """How long a run takes still, from how long its epochs took in this process, evaluations included.

    Args:
        done: epochs that were done before, with fractions.
    """

    def __init__(self, done: float) -> None:
        self._first = done
        self._started = time.perf_counter()

    def seconds(self, done: float, total: int) -> Optional[float]:
        """Return the seconds until ``total`` epochs are done, None before anything was done."""
        if done <= self._first:
            return None
        return (time.perf_counter() - self._started) / (done - self._first) * max(0.0, total - done)
