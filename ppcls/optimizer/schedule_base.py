"""What all learning-rate schedules share: warm-up, cooldown, and time."""

from __future__ import annotations

import math
from typing import Sequence

from ppcls.config.registry import Registry
from ppcls.errors import ConfigError

SCHEDULES = Registry(
    "learning-rate schedule",
    trial=lambda: {"epochs": 10**9, "steps_per_epoch": 1},
    planned=("ReduceOnPlateau", "Cyclic"),
)
PROVIDED = ("epochs", "steps_per_epoch")


class Schedule:
    """A linear warm-up, then the decay that a subclass describes, then the last rate again for a while.

    Args:
        learning_rate: at the end of the warm-up.
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

    def __init__(
        self,
        learning_rate: float,
        epochs: int,
        steps_per_epoch: int,
        warmup_epoch: float = 0,
        warmup_start_lr: float = 0.0,
        by_epoch: bool = False,
        warmup_prefix: bool = True,
        cooldown_epoch: float = 0,
    ) -> None:
        require_rates(learning_rate=learning_rate, warmup_start_lr=warmup_start_lr)
        if epochs < 1 or steps_per_epoch < 1:
            raise ConfigError(f"nothing to schedule: {epochs} epochs of {steps_per_epoch} updates")
        if not 0 <= warmup_epoch <= epochs:
            raise ConfigError(
                f"warmup_epoch: expected 0 to {epochs}, the number of epochs, got {warmup_epoch}; "
                "shorten the warm-up or train longer"
            )
        if not 0 <= cooldown_epoch <= epochs - warmup_epoch:
            raise ConfigError(
                f"cooldown_epoch: expected 0 to {epochs - warmup_epoch:g}, the epochs after the warm-up, got "
                f"{cooldown_epoch}; they are a part of Global.epochs"
            )
        self.learning_rate = float(learning_rate)
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.warmup_start_lr = float(warmup_start_lr)
        self.by_epoch = by_epoch
        # Time is counted in updates, or in whole epochs if the rate changes between epochs only.
        self.unit = 1 if by_epoch else steps_per_epoch
        self.warmup = float(warmup_epoch) if by_epoch else round(warmup_epoch * steps_per_epoch)
        self.start = self.warmup if warmup_prefix else 0.0
        cooldown = float(cooldown_epoch) if by_epoch else round(cooldown_epoch * steps_per_epoch)
        self.length = epochs * self.unit - self.start - cooldown

    def lr_at(self, step: int) -> float:
        """Return the rate of the update that follows ``step`` updates; past the end it stays what it was there."""
        time = min(max(step, 0), self.epochs * self.steps_per_epoch)
        if self.by_epoch:
            time //= self.steps_per_epoch
        if time < self.warmup:
            return self.warmup_start_lr + (self.learning_rate - self.warmup_start_lr) * time / self.warmup
        return self.decayed(min(time - self.start, self.length))

    def decayed(self, time: float) -> float:
        """Return the rate ``time`` units after the main schedule began, which takes ``length`` of them."""
        raise NotImplementedError

    def progress(self, time: float) -> float:
        """Return how much of the main schedule is over, 0 to 1."""
        return time / self.length if self.length else 0.0


def require_rates(**rates: float) -> None:
    """Check learning rates.

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
