"""Learning-rate schedules: functions of the number of updates done so far. They do not need Paddle.

Names, arguments and values are those of PaddleClas. With a warm-up, the main schedule begins when the warm-up ends, and
milestones and step sizes count from there.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Any, Dict, Mapping, Optional, Sequence

from ppcls.errors import ConfigError
from ppcls.optimizer import cyclic, plateau  # noqa: F401  they register their schedules
from ppcls.optimizer.schedule_base import (
    SCHEDULES,
    Schedule,
    Timing,
    register,
    require_milestones,
)
from ppcls.registry import Source
from ppcls.registry.checks import require_non_negative, require_positive
from ppcls.registry.failures import located_errors
from ppcls.utils.logging import warn_once

_PERIOD = 30  # epochs between the steps of Piecewise with learning_rate
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
        self.eta_min = require_non_negative("eta_min", eta_min)

    def main_lr(self, time: float) -> float:
        """Return eta_min + (learning_rate - eta_min) (1 + cos(pi progress)) / 2."""
        return self.eta_min + (self.learning_rate - self.eta_min) * (1 + math.cos(math.pi * self.progress(time))) / 2


@register()
class Linear(Schedule):
    """Decays from ``learning_rate`` to ``end_lr`` with a power of the remaining time; linear by default."""

    def __init__(self, learning_rate: float, timing: Timing, end_lr: float = 0.0, power: float = 1.0) -> None:
        super().__init__(learning_rate, timing)
        self.end_lr = require_non_negative("end_lr", end_lr)
        self.power = require_positive("power", power)

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
        self.step_size = require_positive("step_size", step_size) * self.units_per_epoch
        self.gamma = require_non_negative("gamma", gamma)

    def main_lr(self, time: float) -> float:
        """Return learning_rate gamma^n after n complete steps of ``step_size``."""
        return self.learning_rate * self.gamma ** (time // self.step_size)


@register()
class MultiStepDecay(Schedule):
    """Multiplied by ``gamma`` at each of ``milestones``, in epochs."""

    def __init__(self, learning_rate: float, timing: Timing, milestones: Sequence[float], gamma: float = 0.1) -> None:
        super().__init__(learning_rate, timing)
        require_milestones("milestones", milestones)
        self.milestones = [epoch * self.units_per_epoch for epoch in milestones]
        self.gamma = require_non_negative("gamma", gamma)

    def main_lr(self, time: float) -> float:
        """Return learning_rate gamma^n after n milestones."""
        return self.learning_rate * self.gamma ** bisect_right(self.milestones, time)


@register()
class Piecewise(Schedule):
    """Constant between ``decay_epochs``. ``values`` has one more entry; a warm-up ends at the first one.

    Args:
        timing: of the run.
        decay_epochs: epochs at which the learning rate changes.
        values: the learning rates.
        learning_rate: instead of both, the rate of the first 30 epochs: it is divided by 10 every 30 epochs. As in
            PaddleClas since 2.5.2, it overrides them where they are given too.

    Raises:
        ConfigError: a value is out of range, or missing.
    """

    def __init__(
        self,
        timing: Timing,
        decay_epochs: Optional[Sequence[float]] = None,
        values: Optional[Sequence[float]] = None,
        learning_rate: Optional[float] = None,
    ) -> None:
        for name, given in (("decay_epochs", decay_epochs), ("values", values)):
            if given is None and learning_rate is None:
                raise ConfigError(f"{name}: missing; give it, or learning_rate for a tenth every {_PERIOD} epochs")
        decay_epochs, values = decay_epochs or [], values or []
        if learning_rate is None:
            require_milestones("decay_epochs", decay_epochs)
            if len(values) != len(decay_epochs) + 1:
                raise ConfigError(
                    f"values: {len(decay_epochs)} decay_epochs need {len(decay_epochs) + 1} values, got {len(values)}"
                )
        else:
            require_positive("learning_rate", learning_rate)
            overridden = bool(decay_epochs or values)
            # Later steps underflow to 0; the check of the arguments runs with a very long schedule.
            decay_epochs = range(_PERIOD, min(timing.epochs, 200 * _PERIOD), _PERIOD)
            values = [learning_rate * 0.1**n for n in range(len(decay_epochs) + 1)]
            if overridden:
                self.note = (
                    f"Piecewise: learning_rate overrides decay_epochs and values, as in PaddleClas since 2.5.2: "
                    f"{_describe_pieces(decay_epochs, values)} (a tenth every {_PERIOD} epochs); remove one side"
                )
        self.values = [require_non_negative("values", value) for value in values]
        super().__init__(self.values[0], timing)
        self.boundaries = [epoch * self.units_per_epoch for epoch in decay_epochs]

    def main_lr(self, time: float) -> float:
        """Return the value of the interval that contains ``time``."""
        return self.values[bisect_right(self.boundaries, time)]


def _describe_pieces(epochs: Sequence[float], values: Sequence[float]) -> str:
    """Return "0.1, after 30 epochs 0.01, after 60 ..."."""
    later = [f"after {epoch:g} epochs {value:g}" for epoch, value in zip(epochs, values[1:])]
    return ", ".join([f"{values[0]:g}", *later])


class ScheduleAdapter(Schedule):
    """Adapts a user's schedule; only ``lr_at(step)`` is required.

    ``on_evaluation``, ``state`` and ``load_state`` are called if the schedule has them; see ``Schedule``.

    Args:
        name: what the recipe calls it, for messages.
        schedule: the user's object.
        timing: of the run.
        source: where its code comes from.

    Raises:
        ConfigError: it has only one of ``state`` and ``load_state``, or ``lr_at(0)`` fails.
    """

    def __init__(self, name: str, schedule: Any, timing: Timing, source: Optional[Source]) -> None:
        self._name = name
        self._schedule = schedule
        self._source = source
        if hasattr(schedule, "state") != hasattr(schedule, "load_state"):
            raise ConfigError(f"{name}: a schedule that has one of state() and load_state(state) needs the other too")
        super().__init__(self.lr_at(0), schedule.timing if isinstance(schedule, Schedule) else timing)
        self.follows_evaluations = getattr(schedule, "follows_evaluations", hasattr(schedule, "on_evaluation"))

    def lr_at(self, step: int) -> float:
        """Return the learning rate for the update after ``step`` updates.

        Raises:
            ConfigError: it fails, or does not return a number of at least 0.
        """
        with located_errors(f"{self._name}.lr_at({step})", self._source):
            rate = self._schedule.lr_at(step)
        try:
            return require_non_negative(f"lr_at({step})", rate)
        except ConfigError as error:
            raise ConfigError(f"{self._name}: {error}") from None

    def on_evaluation(self, step: int, metric: float, loss: float) -> None:
        """Pass the result of an evaluation on, if the schedule takes it."""
        if hasattr(self._schedule, "on_evaluation"):
            with located_errors(f"{self._name}.on_evaluation", self._source):
                self._schedule.on_evaluation(step, metric, loss)

    def state(self) -> Dict[str, Any]:
        """Return the schedule's own state; empty if it has none."""
        if not hasattr(self._schedule, "state"):
            return {}
        with located_errors(f"{self._name}.state", self._source):
            return dict(self._schedule.state())

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that ``state`` returned."""
        if hasattr(self._schedule, "load_state"):
            with located_errors(f"{self._name}.load_state", self._source):
                self._schedule.load_state(state)


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
    schedule: Schedule = SCHEDULES.build(name, args, epochs=epochs, steps_per_epoch=steps_per_epoch)
    source = SCHEDULES[name].source
    if source is None:
        if schedule.note:
            warn_once("Optimizer.lr: %s", schedule.note)
        return schedule
    return ScheduleAdapter(name, schedule, Timing(epochs, steps_per_epoch), source)
