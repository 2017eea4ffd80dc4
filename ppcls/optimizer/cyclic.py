"""Learning-rate schedules that rise and fall: piecewise linear, triangular, one-cycle and cyclic."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Optional, Sequence

from ppcls.errors import ConfigError
from ppcls.optimizer.schedule_base import Schedule, Timing, register
from ppcls.registry.checks import require_choice, require_factor, require_non_negative, require_positive


@register()
class PiecewiseLinear(Schedule):
    """Linear interpolation between points [fraction of the run, fraction of ``learning_rate``].

    A warm-up ends at the first point.
    """

    def __init__(self, learning_rate: float, points: Sequence[Sequence[float]], timing: Timing) -> None:
        require_non_negative("learning_rate", learning_rate)
        if len(points) < 2 or any(len(point) != 2 for point in points):
            raise ConfigError(
                f"points: must be at least two [fraction of the run, fraction of the rate], not {list(points)}"
            )
        times = [float(point[0]) for point in points]
        factors = [require_non_negative("points", point[1]) for point in points]
        if times[0] != 0 or times[-1] != 1 or times != sorted(set(times)):
            raise ConfigError(f"points: must be increasing fractions of the run from 0 to 1, not {times}")
        super().__init__(learning_rate * factors[0], timing)
        self.times, self.rates = times, [learning_rate * factor for factor in factors]

    def main_lr(self, time: float) -> float:
        """Return the interpolated learning rate."""
        progress = self.progress(time)
        index = min(bisect_right(self.times, progress), len(self.times) - 1)
        (start, end), (first, last) = self.times[index - 1 : index + 1], self.rates[index - 1 : index + 1]
        return first + (last - first) * (progress - start) / (end - start)


@register()
class Triangular(PiecewiseLinear):
    """From 0 up to ``learning_rate`` at ``peak_at``, down to ``low`` times it at ``low_at``, and to 0 at the end.

    ``peak_at`` and ``low_at`` are fractions of the run. The defaults are those of ConvMixer's code
    (https://github.com/locuslab/convmixer), where the schedule is called one-cycle.
    """

    def __init__(
        self, learning_rate: float, timing: Timing, peak_at: float = 0.4, low_at: float = 0.8, low: float = 0.05
    ) -> None:
        if not 0 < peak_at < low_at < 1:
            raise ConfigError(
                f"peak_at: must be above 0 and below low_at, which is below 1, not {peak_at} and {low_at}"
            )
        require_non_negative("low", low)
        super().__init__(learning_rate, [[0, 0], [peak_at, 1], [low_at, low], [1, 0]], timing)


@register()
class OneCycleLR(Schedule):
    """One cycle up to ``max_learning_rate`` and down again (https://arxiv.org/abs/1708.07120), as Paddle computes it.

    Args:
        timing: of the run. A warm-up ends at the cycle's first learning rate.
        max_learning_rate: the highest learning rate.
        learning_rate: another name for ``max_learning_rate``, as in the other schedules.
        divide_factor: the cycle begins at max_learning_rate / divide_factor.
        end_learning_rate: learning rate at the end.
        phase_pct: fraction of the run in which the learning rate rises.
        anneal_strategy: "cos" or "linear".
        three_phase: fall back to the first learning rate in as much time as the rise took, then to the last one.

    Raises:
        ConfigError: a value is out of range, or not exactly one of the two names of the learning rate is given.
    """

    def __init__(
        self,
        timing: Timing,
        max_learning_rate: Optional[float] = None,
        learning_rate: Optional[float] = None,
        divide_factor: float = 25.0,
        end_learning_rate: float = 0.0001,
        phase_pct: float = 0.3,
        anneal_strategy: str = "cos",
        three_phase: bool = False,
    ) -> None:
        if (max_learning_rate is None) == (learning_rate is None):
            raise ConfigError("max_learning_rate: give either it or learning_rate, which means the same")
        peak = require_non_negative(
            "max_learning_rate", learning_rate if max_learning_rate is None else max_learning_rate
        )
        first = peak / require_positive("divide_factor", divide_factor)
        last = require_non_negative("end_learning_rate", end_learning_rate)
        longest = 0.5 if three_phase else 1.0
        if not 0 < phase_pct <= longest:
            raise ConfigError(f"phase_pct: must be a fraction above 0 and at most {longest}, not {phase_pct}")
        require_choice("anneal_strategy", anneal_strategy, ("cos", "linear"))
        super().__init__(first, timing)
        self.linear = anneal_strategy == "linear"
        # Paddle's cycle ends with the last update (number length - 1), not after it.
        total = max(self.length - 1, 1)
        rise = max(phase_pct * self.length - 1, 0.0)
        ends = [rise, 2 * rise, total] if three_phase else [rise, total]
        rates = [first, peak, first, last] if three_phase else [first, peak, last]
        self.phases = list(zip([0.0, *ends], ends, rates, rates[1:]))

    def main_lr(self, time: float) -> float:
        """Return the learning rate of the phase that contains ``time``."""
        for start, end, first, last in self.phases:
            if time <= end and end > start:
                progress = (time - start) / (end - start)
                weight = progress if self.linear else (1 - math.cos(math.pi * progress)) / 2
                return first + (last - first) * weight
        return self.phases[-1][-1]


@register()
class Cyclic(Schedule):
    """Cycles between two learning rates (https://arxiv.org/abs/1506.01186), as Paddle computes it.

    Args:
        base_learning_rate: the lowest learning rate, at which each cycle begins. A warm-up ends there.
        max_learning_rate: the highest learning rate.
        step_size_up: length of the rise in updates, or in epochs with ``by_epoch``.
        timing: of the run.
        step_size_down: length of the fall; the same as ``step_size_up`` by default.
        mode: "triangular"; "triangular2", which halves the amplitude after each cycle; or "exp_range", which multiplies
            it by ``exp_gamma`` after each update (or epoch).
        exp_gamma: factor for "exp_range".

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(
        self,
        base_learning_rate: float,
        max_learning_rate: float,
        step_size_up: float,
        timing: Timing,
        step_size_down: Optional[float] = None,
        mode: str = "triangular",
        exp_gamma: float = 1.0,
    ) -> None:
        require_non_negative("base_learning_rate", base_learning_rate)
        if require_non_negative("max_learning_rate", max_learning_rate) < base_learning_rate:
            raise ConfigError(
                f"max_learning_rate: must be at least {base_learning_rate}, the base_learning_rate, not "
                f"{max_learning_rate}"
            )
        require_choice("mode", mode, ("triangular", "triangular2", "exp_range"))
        super().__init__(base_learning_rate, timing)
        self.amplitude = float(max_learning_rate) - self.learning_rate
        self.up = require_positive("step_size_up", step_size_up)
        self.down = self.up if step_size_down is None else require_positive("step_size_down", step_size_down)
        self.mode, self.gamma = mode, require_factor("exp_gamma", exp_gamma)

    def main_lr(self, time: float) -> float:
        """Return the learning rate at ``time`` within its cycle."""
        cycle, position = divmod(time, self.up + self.down)
        height = position / self.up if position <= self.up else (self.up + self.down - position) / self.down
        scale = {"triangular": 1.0, "triangular2": 0.5**cycle, "exp_range": self.gamma**time}[self.mode]
        return self.learning_rate + self.amplitude * height * scale
