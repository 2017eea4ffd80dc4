"""The base class of learning-rate schedules: warm-up, cooldown and the units of time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Dict, Mapping, Sequence

from ppcls.errors import ConfigError
from ppcls.registry import Registry
from ppcls.registry.checks import require_non_negative

SCHEDULES = Registry(
    "learning-rate schedule",
    trial_arguments=lambda: {"epochs": 10**9, "steps_per_epoch": 1},
    injectable=("epochs", "steps_per_epoch"),
    interface=("lr_at",),
    base="ppcls.optimizer.schedule_base.Schedule",
)


@dataclass(frozen=True)
class Timing:
    """The length of a run, with its warm-up and cooldown.

    Args:
        epochs: length of the run.
        steps_per_epoch: optimizer updates per epoch.
        warmup_epoch: length of the warm-up in epochs; fractions are allowed.
        warmup_start_lr: learning rate at which the warm-up begins.
        by_epoch: change the learning rate between epochs only.
        warmup_prefix: whether the main schedule begins after the warm-up. If False, it begins with the run, and the
            warm-up replaces its first part, which is timm's default.
        cooldown_epoch: epochs at the end of the run in which the learning rate stays constant.

    Raises:
        ConfigError: a value is out of range.
    """

    epochs: int
    steps_per_epoch: int
    warmup_epoch: float = 0
    warmup_start_lr: float = 0.0
    by_epoch: bool = False
    warmup_prefix: bool = True
    cooldown_epoch: float = 0

    def __post_init__(self) -> None:
        for name in ("warmup_start_lr", "warmup_epoch", "cooldown_epoch"):
            require_non_negative(name, getattr(self, name))
        if self.epochs < 1 or self.steps_per_epoch < 1:
            raise ConfigError(f"nothing to schedule: {self.epochs} epochs of {self.steps_per_epoch} updates")
        if self.warmup_epoch > self.epochs:
            raise ConfigError(
                f"warmup_epoch: must be at most {self.epochs}, the number of epochs, not {self.warmup_epoch}; "
                "shorten the warm-up or train longer"
            )
        if self.cooldown_epoch > self.epochs - self.warmup_epoch:
            raise ConfigError(
                f"cooldown_epoch: must be at most {self.epochs - self.warmup_epoch:g}, the epochs after the warm-up, "
                f"not {self.cooldown_epoch}; the cooldown is a part of Global.epochs"
            )

    @property
    def units_per_epoch(self) -> int:
        """Return the length of an epoch in the schedule's unit of time: the update, or the epoch with ``by_epoch``."""
        return 1 if self.by_epoch else self.steps_per_epoch

    def to_units(self, epochs: float) -> float:
        """Convert epochs to the schedule's unit of time; updates are rounded to whole numbers."""
        return float(epochs) if self.by_epoch else round(epochs * self.steps_per_epoch)


register = partial(SCHEDULES.register, injected=("epochs", "steps_per_epoch"), argument_groups={"timing": Timing})


class Schedule:
    """Base class: a linear warm-up, the main schedule of a subclass, and a cooldown at the last learning rate.

    Args:
        learning_rate: end of the warm-up and beginning of the main schedule.
        timing: length of the run, warm-up and cooldown.

    Raises:
        ConfigError: a value is out of range.

    Attributes:
        follows_evaluations: whether ``on_evaluation`` changes the learning rate.
        note: what to warn users of, "" for nothing.
    """

    follows_evaluations = False
    note = ""

    def __init__(self, learning_rate: float, timing: Timing) -> None:
        self.learning_rate = require_non_negative("learning_rate", learning_rate)
        self.timing = timing
        self.units_per_epoch = timing.units_per_epoch
        self.warmup = timing.to_units(timing.warmup_epoch)
        self.start = self.warmup if timing.warmup_prefix else 0.0
        self.length = timing.epochs * self.units_per_epoch - self.start - timing.to_units(timing.cooldown_epoch)

    def lr_at(self, step: int) -> float:
        """Return the learning rate for the update after ``step`` updates; after the run it stays at the last one."""
        time = min(max(step, 0), self.timing.epochs * self.timing.steps_per_epoch)
        if self.timing.by_epoch:
            time //= self.timing.steps_per_epoch
        if time < self.warmup:
            first = self.timing.warmup_start_lr
            return first + (self.learning_rate - first) * time / self.warmup
        return self.main_lr(min(time - self.start, self.length))

    def main_lr(self, time: float) -> float:
        """Return the learning rate of the main schedule.

        Args:
            time: since the main schedule began, from 0 to ``length``, in the schedule's unit.
        """
        raise NotImplementedError

    def progress(self, time: float) -> float:
        """Return the fraction of the main schedule that has passed, 0 to 1."""
        return time / self.length if self.length else 0.0

    def on_evaluation(self, step: int, metric: float, loss: float) -> None:
        """Take the result of an evaluation into account; does nothing unless the schedule follows evaluations.

        Args:
            step: updates done so far.
            metric: first metric of the evaluation.
            loss: loss of the evaluation.
        """

    def state(self) -> Dict[str, Any]:
        """Return the state for a checkpoint, as JSON values; empty unless the schedule follows evaluations."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that ``state`` returned."""


def require_milestones(name: str, milestones: Sequence[float]) -> None:
    """Check that milestones are positive and increasing.

    Raises:
        ConfigError: they are not.
    """
    if list(milestones) != sorted(set(milestones)) or any(epoch <= 0 for epoch in milestones):
        raise ConfigError(f"{name}: must be increasing positive epochs, not {list(milestones)}")
