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
        metric: the metric or loss that chooses it.
        value: of the best evaluation; None before the first one.
        epoch: of the best evaluation, from 1; 0 before the first one.
        lower: whether lower values are better, as those of losses are.
    """

    metric: str
    value: Optional[float] = None
    epoch: int = 0
    lower: bool = False

    def update(self, value: float, epoch: int) -> None:
        """Take an evaluation in; NaN is never the best."""
        if not math.isnan(value) and (self.value is None or self.gain(value, self.value) > 0):
            self.value, self.epoch = value, epoch

    def gain(self, value: float, before: float) -> float:
        """Return by how much ``value`` is better than ``before``."""
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
