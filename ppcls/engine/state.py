"""What a run is made of at one moment, and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

import paddle

from ppcls.data.datasets import Classes
from ppcls.engine.amp import MixedPrecision
from ppcls.engine.ema import EMA
from ppcls.engine.model_group import ModelGroup
from ppcls.optimizer.schedule import Schedule


@dataclass
class Best:
    """The best evaluation so far; of equals that of the lower loss, else the first.

    Attributes:
        metric: the metric or loss that chooses it.
        value: of the best evaluation; None before the first one.
        epoch: of the best evaluation, from 1; 0 before the first one.
        lower: whether lower values are better, as those of losses are.
        loss: of the best evaluation; None if not known.
    """

    metric: str
    value: Optional[float] = None
    epoch: int = 0
    lower: bool = False
    loss: Optional[float] = None

    def update(self, value: float, epoch: int, loss: float = math.nan) -> None:
        """Take an evaluation in; what is not finite is never the best."""
        if math.isfinite(value) and (self.value is None or self._is_better(value, self.value, loss)):
            self.value, self.epoch, self.loss = value, epoch, loss if math.isfinite(loss) else None

    def _is_better(self, value: float, before: float, loss: float) -> bool:
        return self.gain(value, before) > 0 or (value == before and self.loss is not None and loss < self.loss)

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
        batch_layout: all that determines an epoch's batches; it must be the same to continue inside an epoch.
        epoch_averages: sums of losses and metrics over the epoch in progress; {} before its first batch.
        epoch_ended: whether the callbacks have seen the end of the epoch in progress, which is not evaluated yet.
        history: one record per evaluation.
        schedule: of the learning rate, some of which remember evaluations.
        amp: mixed precision, and the scale of its loss.
        ema: the average of the weights; None where the recipe asks for none.
        class_names: by class id, for answers; None if not known.
        classes: what the class ids mean in the training data.
        init_weights: the weights that the run began with, {"weights": as named, "sha256": of the file}; None for
            random ones.
        teacher_weights: the weights of the other models of distillation, by name, as ``init_weights``.
        cpu_threads: with which the run computes; None where it is not known, or does not matter, as on a GPU.
        group: the model with the others that are trained, too; None where it is trained alone.
    """

    model: paddle.nn.Layer
    optimizer: paddle.optimizer.Optimizer
    best: Best
    batch_layout: Dict[str, Any]
    amp: MixedPrecision
    schedule: Schedule
    epoch: int = 0
    batch: int = 0
    step: int = 0
    epoch_averages: Dict[str, Any] = field(default_factory=dict)
    epoch_ended: bool = False
    history: List[Dict[str, Any]] = field(default_factory=list)
    class_names: Optional[List[str]] = None
    classes: Classes = field(default_factory=Classes)
    init_weights: Optional[Dict[str, str]] = None
    teacher_weights: Dict[str, Dict[str, str]] = field(default_factory=dict)
    cpu_threads: Optional[int] = None
    ema: Optional[EMA] = None
    group: Optional[ModelGroup] = None

    @property
    def trained(self) -> paddle.nn.Layer:
        """Return everything that is trained: the model, or the group that it belongs to."""
        return self.model if self.group is None else self.group

    @property
    def peers(self) -> Dict[str, paddle.nn.Layer]:
        """Return the models that are trained with the model, by name."""
        return {} if self.group is None else self.group.peers
