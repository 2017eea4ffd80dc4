"""A training run: its state, and what works on it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ppcls.config.schema import Config
from ppcls.data.loader import DataLoader
from ppcls.engine.averages import EpochAverages
from ppcls.engine.callbacks.runner import CallbackRunner
from ppcls.engine.checkpointing.saver import Saver
from ppcls.engine.distillation import Distillation
from ppcls.engine.predictions import PredictionRecorder, Predictions
from ppcls.engine.prefetch import Prefetcher
from ppcls.engine.progress import Throughput
from ppcls.engine.reduction import GradientReducer
from ppcls.engine.signals import SignalHandler
from ppcls.engine.state import TrainState
from ppcls.metric import CombinedMetric
from ppcls.utils import distributed


@dataclass
class Run:
    """What the training loop and its callbacks work with.

    Attributes:
        config: the recipe.
        state: exactly what a checkpoint holds.
        run_dir: where the run writes.
        eval_loader: None where nothing is evaluated.
        criterion: the losses, those of distillation included.
        averages: losses and training metrics over the epoch so far.
        reducer: what the processes exchange in a step.
        eval_criterion: the losses of evaluation.
        eval_metrics: the metrics of evaluation.
        batches: those of the epoch in progress.
        batch: the newest batch, while callbacks see a step.
        evaluation: losses and metrics of the newest evaluation: "eval", and "eval_ema" of the averaged weights.
        evaluation_details: what the metrics of the newest evaluation report that is not one number, by the same keys.
        recorder: keeps the answers of evaluations; None unless a callback, in every process, has set one.
        predictions: the answers of the newest evaluation by the same keys, where there is a recorder.
        asked: whether a process asked for the others in the newest step, see ``GradientReducer.exchange``.
        is_finished: whether the same recipe has finished this run before: its folder then stays as it is.
        stop_reason: why training ends before its last epoch; None while it goes on.
    """

    config: Config
    state: TrainState
    run_dir: Path
    train_loader: DataLoader
    eval_loader: Optional[DataLoader]
    criterion: Any
    distillation: Optional[Distillation]
    averages: EpochAverages
    eval_criterion: Any
    eval_metrics: CombinedMetric
    callbacks: CallbackRunner
    saver: Saver
    signals: SignalHandler
    reducer: GradientReducer
    throughput: Throughput = field(default_factory=Throughput)
    batches: Optional[Prefetcher] = None
    batch: Any = None
    evaluation: Dict[str, Dict[str, float]] = field(default_factory=dict)
    evaluation_details: Dict[str, Dict[str, Any]] = field(default_factory=dict)
    recorder: Optional[PredictionRecorder] = None
    predictions: Dict[str, Predictions] = field(default_factory=dict)
    is_finished: bool = False
    stop_reason: Optional[str] = None
    asked: bool = False
    _batch_sizes: Tuple[int, Sequence[int]] = field(default=(-1, ()), init=False)  # an epoch, and those of its batches

    @property
    def num_epochs(self) -> int:
        """How many epochs the whole run has."""
        return self.config.Global.epochs or 0

    @property
    def epoch_number(self) -> int:
        """The number of the epoch in progress, from 1."""
        return self.state.epoch + 1

    @property
    def num_batches(self) -> int:
        """How many batches an epoch has."""
        return len(self.train_loader)

    @property
    def is_update_step(self) -> bool:
        """Whether the batch that was used last completed an accumulation group, and so made an update."""
        return self.ends_group(self.state.batch)

    def ends_group(self, batch: int) -> bool:
        """Return whether batch ``batch`` of the epoch, counted from 1, completes an accumulation group."""
        return batch % self.config.Global.update_freq == 0 or batch == self.num_batches

    def updates_before(self, batch: int) -> int:
        """Return the number of updates of the run before batch ``batch`` of the epoch in progress, counted from 1."""
        frequency = self.config.Global.update_freq
        done = self.state.batch // frequency + (self.is_update_step and self.state.batch % frequency != 0)
        return self.state.step - done + (batch - 1) // frequency

    def batch_size(self, first: int, last: int) -> int:
        """Return the number of samples of all processes in batches ``first`` to ``last``, not included, from 0.

        A collective, the first time in an epoch.
        """
        epoch, sizes = self._batch_sizes
        if epoch != self.state.epoch:
            own = [len(part) for part in self.train_loader.sampler.batches(self.state.epoch)]
            sizes = distributed.all_reduce_array(np.array(own, np.int64)).tolist()
            self._batch_sizes = self.state.epoch, sizes
        return sum(sizes[first:last])

    @property
    def is_log_step(self) -> bool:
        """Whether a log line is due after the batch that was used last."""
        return (self.state.batch - 1) % self.config.Global.print_batch_step == 0

    @property
    def last_evaluated_epoch(self) -> int:
        """The number of the epoch that was evaluated last, 0 if none was."""
        return int(self.state.history[-1]["epoch"]) if self.state.history else 0

    def stop(self, reason: str) -> None:
        """Let training end after this epoch, when it is saved; the reason is logged."""
        self.stop_reason = self.stop_reason or reason

    def train_record(self) -> Dict[str, Any]:
        """Return the averages so far as a record of ``metrics.jsonl``; a collective, the first time after a batch."""
        values = {"lr": self.state.optimizer.get_lr(), **self.averages.values()}
        return record("train", self.state.step, self.epoch_number, values)

    def eval_records(self) -> List[Dict[str, Any]]:
        """Return the records of the newest evaluation, one for each kind of weights."""
        return self.state.history[-len(self.evaluation) :] if self.evaluation else []


def record(kind: str, step: int, epoch: int, values: Mapping[str, float]) -> Dict[str, Any]:
    """Return a record of the history and of ``metrics.jsonl``; JSON has no NaN, so what is not finite is None."""
    finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
    return {"kind": kind, "step": step, "epoch": epoch, **finite}
