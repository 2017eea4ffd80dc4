"""Learning-rate schedules: functions of the number of updates done so far. They do not need Paddle.

Names, arguments and values are those of PaddleClas. With a warm-up, the main schedule begins when the warm-up ends, and
milestones and step sizes count from there.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Any, Mapping, Sequence

from ppcls.errors import ConfigError
from ppcls.optimizer import cyclic, plateau  # noqa: F401  they register their schedules
from ppcls.optimizer.schedule_base import (
    SCHEDULES,
    Schedule,
    Timing,
    register,
    require_milestones,
    require_non_negative,
)

# Arguments that are scaled with the batch size. As in DeiT, the first and last learning rates of a schedule are not.
PEAKS = ("learning_rate", "max_learning_rate", "base_learning_rate", "values")


@register(name="Constant")
@register()
class ConstLR(Schedule):
    """A constant learning rate."""

    def main_lr(self, time: float) -> float:
        """Return ``learning_rate``."""
        return self.learning_rate


@register()
class Cosine(Schedule):
    """Half a cosine from ``learning_rate`` to ``eta_min`` (https://arxiv.org/abs/1608.03983, without restarts)."""

    def __init__(self, learning_rate: float, timing: Timing, eta_min: float = 0.0) -> None:
        super().__init__(learning_rate, timing)
        require_non_negative(eta_min=eta_min)
        self.eta_min = float(eta_min)

    def main_lr(self, time: float) -> float:
        """Return eta_min + (learning_rate - eta_min) (1 + cos(pi progress)) / 2."""
        return self.eta_min + (self.learning_rate - self.eta_min) * (1 + math.cos(math.pi * self.progress(time))) / 2


@register()
class Linear(Schedule):
    """Decays from ``learning_rate`` to ``end_lr`` with a power of the remaining time; linear by default."""

    def __init__(self, learning_rate: float, timing: Timing, end_lr: float = 0.0, power: float = 1.0) -> None:
        super().__init__(learning_rate, timing)
        require_non_negative(end_lr=end_lr)
        if not (math.isfinite(power) and power > 0):
            raise ConfigError(f"power: expected a positive number, got {power}")
        self.end_lr = float(end_lr)
        self.power = float(power)

    def main_lr(self, time: float) -> float:
        """Return end_lr + (learning_rate - end_lr) (1 - progress)^power."""
        return self.end_lr + (self.learning_rate - self.end_lr) * (1 - self.progress(time)) ** self.power


@register()
class Polynomial(Linear):
    """Decays from ``learning_rate`` to ``end_lr`` with a power of the remaining time."""


@register()
class Step(Schedule):
    """Multiplied by ``gamma`` every ``step_size`` epochs."""

    def __init__(self, learning_rate: float, timing: Timing, step_size: float, gamma: float = 0.1) -> None:
        super().__init__(learning_rate, timing)
        require_non_negative(gamma=gamma)
        if not step_size > 0:
            raise ConfigError(f"step_size: expected a positive number of epochs, got {step_size}")
        self.step_size = step_size * self.units_per_epoch
        self.gamma = float(gamma)

    def main_lr(self, time: float) -> float:
        """Return learning_rate gamma^n after n complete steps of ``step_size``."""
        return self.learning_rate * self.gamma ** (time // self.step_size)


@register()
class MultiStepDecay(Schedule):
    """Multiplied by ``gamma`` at each of ``milestones``, in epochs."""

    def __init__(self, learning_rate: float, timing: Timing, milestones: Sequence[float], gamma: float = 0.1) -> None:
        super().__init__(learning_rate, timing)
        require_non_negative(gamma=gamma)
        require_milestones("milestones", milestones)
        self.milestones = [epoch * self.units_per_epoch for epoch in milestones]
        self.gamma = float(gamma)

    def main_lr(self, time: float) -> float:
        """Return learning_rate gamma^n after n milestones."""
        return self.learning_rate * self.gamma ** bisect_right(self.milestones, time)


@register()
class Piecewise(Schedule):
    """Constant between ``decay_epochs``. ``values`` has one more entry; a warm-up ends at the first one."""

    def __init__(self, decay_epochs: Sequence[float], values: Sequence[float], timing: Timing) -> None:
        require_milestones("decay_epochs", decay_epochs)
        if len(values) != len(decay_epochs) + 1:
            raise ConfigError(
                f"values: {len(decay_epochs)} decay_epochs need {len(decay_epochs) + 1} values, got {len(values)}"
            )
        for value in values:
            require_non_negative(values=value)
        super().__init__(values[0], timing)
        self.boundaries = [epoch * self.units_per_epoch for epoch in decay_epochs]
        self.values = [float(value) for value in values]

    def main_lr(self, time: float) -> float:
        """Return the value of the interval that contains ``time``."""
        return self.values[bisect_right(self.boundaries, time)]


class ScheduleAdapter(Schedule):
    """A schedule of the user's: anything that has ``lr_at(step)``.

    Args:
        schedule: the object.
        timing: of the run.
    """

    def __init__(self, schedule: Any, timing: Timing) -> None:
        self._lr_at = schedule.lr_at
        super().__init__(self.lr_at(0), timing)

    def lr_at(self, step: int) -> float:
        """Return the rate of the update that follows ``step`` updates.

        Raises:
            ConfigError: it is no number of at least 0.
        """
        rate = self._lr_at(step)
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not math.isfinite(rate) or rate < 0:
            raise ConfigError(f"lr_at({step}): must return a number of at least 0, not {rate!r}")
        return float(rate)


def build_schedule(args: Mapping[str, Any], *, epochs: int, steps_per_epoch: int) -> Schedule:
    """Build a recipe's ``Optimizer.lr``.

    Args:
        args: the recipe's section, with ``name``.

    Raises:
        ConfigError: the name is missing or unknown, or an argument is unknown or out of range.
    """
    args = dict(args)
    name = args.pop("name", None)
    if name is None:
        raise ConfigError(f"lr: name is missing (allowed: {', '.join(SCHEDULES.names())})")
    schedule = SCHEDULES.build(name, args, epochs=epochs, steps_per_epoch=steps_per_epoch)
    return schedule if isinstance(schedule, Schedule) else ScheduleAdapter(schedule, Timing(epochs, steps_per_epoch))
