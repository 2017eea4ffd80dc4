"""Learning-rate schedules: pure functions of the number of updates done so far. No Paddle.

Names, arguments and values are PaddleClas's. With a warm-up, the main schedule starts when it ends: milestones and step
sizes count from there.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Any, Mapping, Sequence

from ppcls.config.registry import Registry
from ppcls.errors import ConfigError

SCHEDULES = Registry(
    "learning-rate schedule",
    trial=lambda: {"epochs": 10**9, "steps_per_epoch": 1},
    planned=("OneCycleLR", "ReduceOnPlateau", "Cyclic", "Polynomial"),
)
_PROVIDED = ("epochs", "steps_per_epoch")


class Schedule:
    """A linear warm-up, then the decay that a subclass describes.

    Args:
        learning_rate: at the end of the warm-up.
        epochs: length of the run.
        steps_per_epoch: optimizer updates an epoch.
        warmup_epoch: length of the warm-up in epochs, may be a fraction.
        warmup_start_lr: where the warm-up begins.
        by_epoch: change the rate between epochs only.

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
    ) -> None:
        _require_rates(learning_rate=learning_rate, warmup_start_lr=warmup_start_lr)
        if epochs < 1 or steps_per_epoch < 1:
            raise ConfigError(f"nothing to schedule: {epochs} epochs of {steps_per_epoch} updates")
        if not 0 <= warmup_epoch <= epochs:
            raise ConfigError(
                f"warmup_epoch: expected 0 to {epochs}, the number of epochs, got {warmup_epoch}; "
                "shorten the warm-up or train longer"
            )
        self.learning_rate = float(learning_rate)
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.warmup_start_lr = float(warmup_start_lr)
        self.by_epoch = by_epoch
        # Time is counted in updates, or in whole epochs if the rate changes between epochs only.
        self.unit = 1 if by_epoch else steps_per_epoch
        self.warmup = float(warmup_epoch) if by_epoch else round(warmup_epoch * steps_per_epoch)
        self.length = epochs * self.unit - self.warmup

    def lr_at(self, step: int) -> float:
        """Return the rate of the update that follows ``step`` updates; past the end it stays what it was there."""
        time = min(max(step, 0), self.epochs * self.steps_per_epoch)
        if self.by_epoch:
            time //= self.steps_per_epoch
        if time < self.warmup:
            return self.warmup_start_lr + (self.learning_rate - self.warmup_start_lr) * time / self.warmup
        return self.decayed(time - self.warmup)

    def decayed(self, time: float) -> float:
        """Return the rate ``time`` units after the warm-up, which itself takes none of ``length`` units."""
        raise NotImplementedError

    def progress(self, time: float) -> float:
        """Return how much of the run after the warm-up is over, 0 to 1."""
        return time / self.length if self.length else 0.0


def _require_rates(**rates: float) -> None:
    for name, rate in rates.items():
        if not (math.isfinite(rate) and rate >= 0):
            raise ConfigError(f"{name}: expected a number of at least 0, got {rate}")


def _require_milestones(name: str, milestones: Sequence[float]) -> None:
    if list(milestones) != sorted(set(milestones)) or any(epoch <= 0 for epoch in milestones):
        raise ConfigError(f"{name}: expected increasing positive epochs, got {list(milestones)}")


@SCHEDULES.register(name="Constant", provided=_PROVIDED)
@SCHEDULES.register(provided=_PROVIDED)
class ConstLR(Schedule):
    """The same rate until the end."""

    def decayed(self, time: float) -> float:
        """Return ``learning_rate``."""
        return self.learning_rate


@SCHEDULES.register(provided=_PROVIDED)
class Cosine(Schedule):
    """Half a cosine from ``learning_rate`` down to ``eta_min`` (https://arxiv.org/abs/1608.03983, without restarts)."""

    def __init__(
        self,
        learning_rate: float,
        epochs: int,
        steps_per_epoch: int,
        eta_min: float = 0.0,
        warmup_epoch: float = 0,
        warmup_start_lr: float = 0.0,
        by_epoch: bool = False,
    ) -> None:
        super().__init__(learning_rate, epochs, steps_per_epoch, warmup_epoch, warmup_start_lr, by_epoch)
        _require_rates(eta_min=eta_min)
        self.eta_min = float(eta_min)

    def decayed(self, time: float) -> float:
        """Return eta_min + (learning_rate - eta_min) (1 + cos(pi progress)) / 2."""
        return self.eta_min + (self.learning_rate - self.eta_min) * (1 + math.cos(math.pi * self.progress(time))) / 2


@SCHEDULES.register(provided=_PROVIDED)
class Linear(Schedule):
    """From ``learning_rate`` to ``end_lr`` along a power of the remaining time; with a warm-up, a triangle."""

    def __init__(
        self,
        learning_rate: float,
        epochs: int,
        steps_per_epoch: int,
        end_lr: float = 0.0,
        power: float = 1.0,
        warmup_epoch: float = 0,
        warmup_start_lr: float = 0.0,
        by_epoch: bool = False,
    ) -> None:
        super().__init__(learning_rate, epochs, steps_per_epoch, warmup_epoch, warmup_start_lr, by_epoch)
        _require_rates(end_lr=end_lr)
        if not (math.isfinite(power) and power > 0):
            raise ConfigError(f"power: expected a positive number, got {power}")
        self.end_lr = float(end_lr)
        self.power = float(power)

    def decayed(self, time: float) -> float:
        """Return end_lr + (learning_rate - end_lr) (1 - progress)^power."""
        return self.end_lr + (self.learning_rate - self.end_lr) * (1 - self.progress(time)) ** self.power


@SCHEDULES.register(provided=_PROVIDED)
class Step(Schedule):
    """Multiplied by ``gamma`` every ``step_size`` epochs."""

    def __init__(
        self,
        learning_rate: float,
        epochs: int,
        steps_per_epoch: int,
        step_size: float,
        gamma: float = 0.1,
        warmup_epoch: float = 0,
        warmup_start_lr: float = 0.0,
        by_epoch: bool = False,
    ) -> None:
        super().__init__(learning_rate, epochs, steps_per_epoch, warmup_epoch, warmup_start_lr, by_epoch)
        _require_rates(gamma=gamma)
        if not step_size > 0:
            raise ConfigError(f"step_size: expected a positive number of epochs, got {step_size}")
        self.step_size = step_size * self.unit
        self.gamma = float(gamma)

    def decayed(self, time: float) -> float:
        """Return learning_rate gamma^n after n whole step sizes."""
        return self.learning_rate * self.gamma ** (time // self.step_size)


@SCHEDULES.register(provided=_PROVIDED)
class MultiStepDecay(Schedule):
    """Multiplied by ``gamma`` at each of ``milestones``, in epochs."""

    def __init__(
        self,
        learning_rate: float,
        epochs: int,
        steps_per_epoch: int,
        milestones: Sequence[float],
        gamma: float = 0.1,
        warmup_epoch: float = 0,
        warmup_start_lr: float = 0.0,
        by_epoch: bool = False,
    ) -> None:
        super().__init__(learning_rate, epochs, steps_per_epoch, warmup_epoch, warmup_start_lr, by_epoch)
        _require_rates(gamma=gamma)
        _require_milestones("milestones", milestones)
        self.milestones = [epoch * self.unit for epoch in milestones]
        self.gamma = float(gamma)

    def decayed(self, time: float) -> float:
        """Return learning_rate gamma^n after n milestones."""
        return self.learning_rate * self.gamma ** bisect_right(self.milestones, time)


@SCHEDULES.register(provided=_PROVIDED)
class Piecewise(Schedule):
    """Constant between ``decay_epochs``: ``values`` has one entry more; a warm-up leads to the first of them."""

    def __init__(
        self,
        decay_epochs: Sequence[float],
        values: Sequence[float],
        epochs: int,
        steps_per_epoch: int,
        warmup_epoch: float = 0,
        warmup_start_lr: float = 0.0,
        by_epoch: bool = False,
    ) -> None:
        _require_milestones("decay_epochs", decay_epochs)
        if len(values) != len(decay_epochs) + 1:
            raise ConfigError(
                f"values: {len(decay_epochs)} decay_epochs need {len(decay_epochs) + 1} values, got {len(values)}"
            )
        for value in values:
            _require_rates(values=value)
        super().__init__(values[0], epochs, steps_per_epoch, warmup_epoch, warmup_start_lr, by_epoch)
        self.boundaries = [epoch * self.unit for epoch in decay_epochs]
        self.values = [float(value) for value in values]

    def decayed(self, time: float) -> float:
        """Return the value of the piece that ``time`` is in."""
        return self.values[bisect_right(self.boundaries, time)]


def build_schedule(args: Mapping[str, Any], *, epochs: int, steps_per_epoch: int) -> Schedule:
    """Build a recipe's ``Optimizer.lr``.

    Args:
        args: its keys, ``name`` among them.

    Raises:
        ConfigError: no or an unknown name, unknown arguments, or values out of range.
    """
    args = dict(args)
    name = args.pop("name", None)
    if name is None:
        raise ConfigError(f"lr: name is missing (allowed: {', '.join(SCHEDULES.names())})")
    schedule: Schedule = SCHEDULES.build(name, args, epochs=epochs, steps_per_epoch=steps_per_epoch)
    return schedule
