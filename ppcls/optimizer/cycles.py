"""Learning rates that rise before they fall."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Optional, Sequence

from ppcls.errors import ConfigError
from ppcls.optimizer.schedule_base import Schedule, Timing, register, require_choice, require_rates


@register()
class PiecewiseLinear(Schedule):
    """Straight lines between points, which are given as [share of the run, share of ``learning_rate``].

    A warm-up leads to the first of them.
    """

    def __init__(self, learning_rate: float, points: Sequence[Sequence[float]], timing: Timing) -> None:
        require_rates(learning_rate=learning_rate)
        if len(points) < 2 or any(len(point) != 2 for point in points):
            raise ConfigError(
                f"points: expected at least two [share of the run, share of the rate], got {list(points)}"
            )
        times, shares = [float(point[0]) for point in points], [float(point[1]) for point in points]
        if times[0] != 0 or times[-1] != 1 or times != sorted(set(times)):
            raise ConfigError(f"points: expected increasing shares of the run from 0 to 1, got {times}")
        for share in shares:
            require_rates(points=share)
        super().__init__(learning_rate * shares[0], timing)
        self.times, self.rates = times, [learning_rate * share for share in shares]

    def decayed(self, time: float) -> float:
        """Return the rate on the line that ``time`` is on."""
        done = self.progress(time)
        index = min(bisect_right(self.times, done), len(self.times) - 1)
        (start, end), (low, high) = self.times[index - 1 : index + 1], self.rates[index - 1 : index + 1]
        return low + (high - low) * (done - start) / (end - start)


@register()
class Triangular(PiecewiseLinear):
    """From 0 to ``learning_rate`` at ``peak_at`` of the run, to ``low`` of it at ``low_at``, and to 0 at the end.

    The defaults are ConvMixer's (https://github.com/locuslab/convmixer), which calls them one-cycle.
    """

    def __init__(
        self, learning_rate: float, timing: Timing, peak_at: float = 0.4, low_at: float = 0.8, low: float = 0.05
    ) -> None:
        if not 0 < peak_at < low_at < 1:
            raise ConfigError(
                f"peak_at: expected shares of the run with 0 < peak_at < low_at < 1, got {peak_at} and {low_at}"
            )
        require_rates(low=low)
        super().__init__(learning_rate, [[0, 0], [peak_at, 1], [low_at, low], [1, 0]], timing)


@register()
class OneCycleLR(Schedule):
    """Up to ``max_learning_rate`` and down again (https://arxiv.org/abs/1708.07120), as Paddle computes it.

    Args:
        timing: of the run; a warm-up leads to where the cycle begins.
        max_learning_rate: at the top.
        learning_rate: the same by the name that the other schedules have for it.
        divide_factor: the cycle begins at max_learning_rate / divide_factor.
        end_learning_rate: where it ends.
        phase_pct: share of the run that the rise takes.
        anneal_strategy: "cos" or "linear".
        three_phase: go down to where the cycle began in as much time as the rise took, then on to the end.

    Raises:
        ConfigError: a value out of its range, or not one of the two names of the rate.
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
        given = [rate for rate in (max_learning_rate, learning_rate) if rate is not None]
        if len(given) != 1:
            raise ConfigError("max_learning_rate: give it, or learning_rate, which means the same; not both")
        require_rates(max_learning_rate=given[0], end_learning_rate=end_learning_rate)
        if not (math.isfinite(divide_factor) and divide_factor > 0):
            raise ConfigError(f"divide_factor: expected a positive number, got {divide_factor}")
        highest = 0.5 if three_phase else 1.0
        if not 0 < phase_pct <= highest:
            raise ConfigError(f"phase_pct: expected a share of the run above 0 and at most {highest}, got {phase_pct}")
        require_choice("anneal_strategy", anneal_strategy, ("cos", "linear"))
        peak, first, last = float(given[0]), given[0] / divide_factor, float(end_learning_rate)
        super().__init__(first, timing)
        self.linear = anneal_strategy == "linear"
        # Paddle counts the updates from the first, 0, to the last, and not to the end after it.
        total = max(self.length - 1, 1)
        rise = max(phase_pct * self.length - 1, 0.0)
        ends = [rise, 2 * rise, total] if three_phase else [rise, total]
        rates = [first, peak, first, last] if three_phase else [first, peak, last]
        self.legs = list(zip([0.0, *ends], ends, rates, rates[1:]))

    def decayed(self, time: float) -> float:
        """Return the rate on the way up or down."""
        for start, end, low, high in self.legs:
            if time <= end and end > start:
                share = (time - start) / (end - start)
                weight = share if self.linear else (1 - math.cos(math.pi * share)) / 2
                return low + (high - low) * weight
        return self.legs[-1][-1]


@register()
class Cyclic(Schedule):
    """Up and down again and again, between two rates (https://arxiv.org/abs/1506.01186), as Paddle computes it.

    Args:
        base_learning_rate: the lowest, at which it begins; a warm-up leads there.
        max_learning_rate: the highest.
        step_size_up: length of a rise in updates, with ``by_epoch`` in epochs.
        timing: of the run.
        step_size_down: length of a fall; None for that of a rise.
        mode: "triangular"; "triangular2", whose height is halved after each cycle; or "exp_range", whose height is
            multiplied by ``exp_gamma`` after each update (epoch).
        exp_gamma: of "exp_range".

    Raises:
        ConfigError: a value out of its range.
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
        require_rates(base_learning_rate=base_learning_rate, max_learning_rate=max_learning_rate)
        if max_learning_rate < base_learning_rate:
            raise ConfigError(
                f"max_learning_rate: expected at least {base_learning_rate}, the base_learning_rate, got "
                f"{max_learning_rate}"
            )
        for name, size in (("step_size_up", step_size_up), ("step_size_down", step_size_down)):
            if size is not None and not (math.isfinite(size) and size > 0):
                raise ConfigError(f"{name}: expected a positive number of updates, got {size}")
        require_choice("mode", mode, ("triangular", "triangular2", "exp_range"))
        if not 0 < exp_gamma <= 1:
            raise ConfigError(f"exp_gamma: expected a number above 0 and at most 1, got {exp_gamma}")
        super().__init__(base_learning_rate, timing)
        self.height = float(max_learning_rate) - self.learning_rate
        self.up = float(step_size_up)
        self.down = self.up if step_size_down is None else float(step_size_down)
        self.mode, self.gamma = mode, float(exp_gamma)

    def decayed(self, time: float) -> float:
        """Return the rate on the way up or down."""
        cycle, place = divmod(time, self.up + self.down)
        share = place / self.up if place <= self.up else (self.up + self.down - place) / self.down
        shrunk = {"triangular": 1.0, "triangular2": 0.5**cycle, "exp_range": self.gamma**time}[self.mode]
        return self.learning_rate + self.height * share * shrunk
