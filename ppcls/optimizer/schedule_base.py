"""What all learning-rate schedules share: warm-up, cooldown, and time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Dict, Mapping, Sequence

from ppcls.errors import ConfigError
from ppcls.registry import Registry

SCHEDULES = Registry(
    "learning-rate schedule",
    trial=lambda: {"epochs": 10**9, "steps_per_epoch": 1},
    offers=("epochs", "steps_per_epoch"),
    interface=("lr_at",),
    base="ppcls.optimizer.schedule_base.Schedule",
)


@dataclass(frozen=True)
class Timing:
    """How long a run is, and what it does before and after the main schedule.

    Args:
        epochs: length of the run.
        steps_per_epoch: optimizer updates an epoch.
        warmup_epoch: length of the warm-up in epochs, may be a fraction.
        warmup_start_lr: where the warm-up begins.
        by_epoch: change the rate between epochs only.
        warmup_prefix: the main schedule begins when the warm-up ends; False lets it begin with the run, and the warm-up
            covers its first part, as timm's does unless told otherwise.
        cooldown_epoch: epochs at the end of the run for which the rate stays as the schedule left it.

    Raises:
        ConfigError: a value out of its range.
    """

    epochs: int
    steps_per_epoch: int
    warmup_epoch: float = 0
    warmup_start_lr: float = 0.0
    by_epoch: bool = False
    warmup_prefix: bool = True
    cooldown_epoch: float = 0

    def __post_init__(self) -> None:
        require_rates(
            warmup_start_lr=self.warmup_start_lr, warmup_epoch=self.warmup_epoch, cooldown_epoch=self.cooldown_epoch
        )
        if self.epochs < 1 or self.steps_per_epoch < 1:
            raise ConfigError(f"nothing to schedule: {self.epochs} epochs of {self.steps_per_epoch} updates")
        if self.warmup_epoch > self.epochs:
            raise ConfigError(
                f"warmup_epoch: expected 0 to {self.epochs}, the number of epochs, got {self.warmup_epoch}; "
                "shorten the warm-up or train longer"
            )
        if self.cooldown_epoch > self.epochs - self.warmup_epoch:
            raise ConfigError(
                f"cooldown_epoch: expected 0 to {self.epochs - self.warmup_epoch:g}, the epochs after the warm-up, got "
                f"{self.cooldown_epoch}; they are a part of Global.epochs"
            )

    @property
    def unit(self) -> int:
        """Return how many units of time an epoch has: updates, or 1 if the rate changes between epochs only."""
        return 1 if self.by_epoch else self.steps_per_epoch

    def units(self, epochs: float) -> float:
        """Return a number of epochs in units of time; updates are whole."""
        return float(epochs) if self.by_epoch else round(epochs * self.steps_per_epoch)


register = partial(SCHEDULES.register, provided=("epochs", "steps_per_epoch"), bundles={"timing": Timing})


class Schedule:
    """A linear warm-up, then the decay that a subclass describes, then the last rate again for a while.

    Args:
        learning_rate: where the main schedule begins, and the warm-up leads to.
        timing: of the run.

    Raises:
        ConfigError: a value out of its range.

    Attributes:
        follows_evaluations: whether ``observe`` changes the rates.
    """

    follows_evaluations = False

    def __init__(self, learning_rate: float, timing: Timing) -> None:
        require_rates(learning_rate=learning_rate)
        self.learning_rate = float(learning_rate)
        self.timing = timing
        self.unit = timing.unit
        self.warmup = timing.units(timing.warmup_epoch)
        self.start = self.warmup if timing.warmup_prefix else 0.0
        self.length = timing.epochs * self.unit - self.start - timing.units(timing.cooldown_epoch)

    def lr_at(self, step: int) -> float:
        """Return the rate of the update that follows ``step`` updates; past the end it stays what it was there."""
        time = min(max(step, 0), self.timing.epochs * self.timing.steps_per_epoch)
        if self.timing.by_epoch:
            time //= self.timing.steps_per_epoch
        if time < self.warmup:
            first = self.timing.warmup_start_lr
            return first + (self.learning_rate - first) * time / self.warmup
        return self.decayed(min(time - self.start, self.length))

    def decayed(self, time: float) -> float:
        """Return the rate ``time`` units after the main schedule began, which takes ``length`` of them."""
        raise NotImplementedError

    def progress(self, time: float) -> float:
        """Return how much of the main schedule is over, 0 to 1."""
        return time / self.length if self.length else 0.0

    def observe(self, step: int, metric: float, loss: float) -> None:
        """Take note of an evaluation, which moves the rates of schedules that follow them.

        Args:
            step: updates done so far.
            metric: the first one of the evaluation.
            loss: of the evaluation.
        """

    def state(self) -> Dict[str, Any]:
        """Return what evaluations did to the schedule, as JSON values, for a checkpoint."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what ``state`` returned."""


def require_rates(**rates: float) -> None:
    """Check learning rates, and what else is a number of at least 0.

    Raises:
        ConfigError: one is negative or not finite.
    """
    for name, rate in rates.items():
        if not (math.isfinite(rate) and rate >= 0):
            raise ConfigError(f"{name}: expected a number of at least 0, got {rate}")


def require_milestones(name: str, milestones: Sequence[float]) -> None:
    """Check places in a run.

    Raises:
        ConfigError: they do not increase, or one is not positive.
    """
    if list(milestones) != sorted(set(milestones)) or any(epoch <= 0 for epoch in milestones):
        raise ConfigError(f"{name}: expected increasing positive epochs, got {list(milestones)}")


def require_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Check a word.

    Raises:
        ConfigError: it is none of ``choices``.
    """
    if value not in choices:
        words = " or ".join(repr(choice) for choice in choices if choice is not None)
        raise ConfigError(f"{name}: expected {words}, got {value!r}")
