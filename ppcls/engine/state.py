"""What a run is made of at one moment, and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

import paddle

from ppcls.engine.amp import MixedPrecision
from ppcls.engine.ema import EMA
from ppcls.optimizer.schedule import Schedule


@dataclass
class Best:
    """The best evaluation so far; the first of equals stays.

    Attributes:
        lower: whether lower values are better, as those of losses are.
        waited: evaluations since the last one that improved on ``mark``, for early stopping.
        mark: the value that the next improvement is measured from.
    """

    metric: str
    value: Optional[float] = None
    epoch: int = 0
    lower: bool = False
    waited: int = 0
    mark: Optional[float] = None

    def take(self, value: float, epoch: int, min_delta: float = 0.0) -> None:
        """Note an evaluation.

        Args:
            min_delta: how much better than the last improvement the next one has to be, to be waited for no longer.
        """
        if self._gain(value, self.value) > 0:
            self.value, self.epoch = value, epoch
        if self._gain(value, self.mark) > min_delta:
            self.mark, self.waited = value, 0
        else:
            self.waited += 1

    def _gain(self, value: float, before: Optional[float]) -> float:
        """Return by how much ``value`` is better; NaN, which compares as false, where it is NaN."""
        if before is None:
            return math.inf if value == value else math.nan
        return before - value if self.lower else value - before


@dataclass
class TrainState:
    """Exactly what a checkpoint holds.

    Dropout and the like need no generator state here: Paddle's generators are seeded for every batch from the run's
    seed and the batch's number, as sample augmentation is from the sample's.

    Attributes:
        epoch: the epoch in progress, from 0; equal to ``Global.epochs`` when all are done.
        batch: batches of it already used.
        step: updates of the weights so far.
        layout: what an epoch's batches depend on; a position inside an epoch means nothing when it differs.
        sums: what the log averages over the epoch: losses and metric counts.
        history: one record an evaluation.
        schedule: of the learning rate, some of which remember evaluations.
        precision: mixed precision, and the scale of its loss.
        ema: the average of the weights; None where the recipe asks for none.
        start: which weights the run began with, {"weights": as named, "sha256": of the file}; None for random ones.
        teacher: which weights it learns from, as ``start``; None without distillation.
    """

    model: paddle.nn.Layer
    optimizer: paddle.optimizer.Optimizer
    best: Best
    layout: Dict[str, Any]
    precision: MixedPrecision
    schedule: Schedule
    epoch: int = 0
    batch: int = 0
    step: int = 0
    sums: Dict[str, Any] = field(default_factory=dict)
    history: List[Dict[str, Any]] = field(default_factory=list)
    class_names: Optional[List[str]] = None
    start: Optional[Dict[str, str]] = None
    teacher: Optional[Dict[str, str]] = None
    ema: Optional[EMA] = None
