"""Learning rates that rise before they fall."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Sequence

from ppcls.errors import ConfigError
from ppcls.optimizer.schedule_base import PROVIDED, SCHEDULES, Schedule, require_rates


@SCHEDULES.register(provided=PROVIDED)
class PiecewiseLinear(Schedule):
    """Straight lines between points, which are given as [share of the run, share of ``learning_rate``].

    ConvMixer's triangle (https://github.com/locuslab/convmixer) is [[0, 0], [0.4, 1], [0.8, 0.05], [1, 0]].
    """

    def __init__(
        self,
        learning_rate: float,
        points: Sequence[Sequence[float]],
        epochs: int,
        steps_per_epoch: int,
        warmup_epoch: float = 0,
        warmup_start_lr: float = 0.0,
        by_epoch: bool = False,
        warmup_prefix: bool = True,
        cooldown_epoch: float = 0,
    ) -> None:
        super().__init__(
            *(
                learning_rate,
                epochs,
                steps_per_epoch,
                warmup_epoch,
                warmup_start_lr,
                by_epoch,
                warmup_prefix,
                cooldown_epoch,
            )
        )
        if len(points) < 2 or any(len(point) != 2 for point in points):
            raise ConfigError(
                f"points: expected at least two [share of the run, share of the rate], got {list(points)}"
            )
        times, shares = [float(point[0]) for point in points], [float(point[1]) for point in points]
        if times[0] != 0 or times[-1] != 1 or times != sorted(set(times)):
            raise ConfigError(f"points: expected increasing shares of the run from 0 to 1, got {times}")
        require_rates(points=min(shares))
        self.times, self.shares = times, shares

    def decayed(self, time: float) -> float:
        """Return the rate on the line that ``time`` is on."""
        done = self.progress(time)
        index = min(bisect_right(self.times, done), len(self.times) - 1)
        (start, end), (low, high) = self.times[index - 1 : index + 1], self.shares[index - 1 : index + 1]
        return self.learning_rate * (low + (high - low) * (done - start) / (end - start))


@SCHEDULES.register(provided=PROVIDED)
class OneCycleLR(Schedule):
    """Up to ``max_learning_rate`` and down again (https://arxiv.org/abs/1708.07120), as Paddle computes it.

    Args:
        max_learning_rate: at the top.
        divide_factor: the cycle begins at max_learning_rate / divide_factor.
        end_learning_rate: where it ends.
        phase_pct: share of the run that the rise takes.
        anneal_strategy: "cos" or "linear".
        three_phase: go down to where the cycle began in as much time as the rise took, then on to the end.
        by_epoch: change the rate between epochs only.
        cooldown_epoch: epochs at the end of the run at end_learning_rate.

    Raises:
        ConfigError: a value out of its range.
    """

    def __init__(
        self,
        max_learning_rate: float,
        epochs: int,
        steps_per_epoch: int,
        divide_factor: float = 25.0,
        end_learning_rate: float = 0.0001,
        phase_pct: float = 0.3,
        anneal_strategy: str = "cos",
        three_phase: bool = False,
        by_epoch: bool = False,
        cooldown_epoch: float = 0,
    ) -> None:
        super().__init__(max_learning_rate, epochs, steps_per_epoch, by_epoch=by_epoch, cooldown_epoch=cooldown_epoch)
        require_rates(end_learning_rate=end_learning_rate)
        if not (math.isfinite(divide_factor) and divide_factor > 0):
            raise ConfigError(f"divide_factor: expected a positive number, got {divide_factor}")
        highest = 0.5 if three_phase else 1.0
        if not 0 < phase_pct <= highest:
            raise ConfigError(f"phase_pct: expected a share of the run above 0 and at most {highest}, got {phase_pct}")
        if anneal_strategy not in ("cos", "linear"):
            raise ConfigError(f"anneal_strategy: expected 'cos' or 'linear', got {anneal_strategy!r}")
        self.linear = anneal_strategy == "linear"
        # Paddle counts the updates from the first, 0, to the last, and not to the end after it.
        total = max(self.length - 1, 1)
        rise = max(phase_pct * self.length - 1, 0.0)
        first = self.learning_rate / divide_factor
        ends = [rise, 2 * rise, total] if three_phase else [rise, total]
        rates = [first, self.learning_rate, first] if three_phase else [first, self.learning_rate]
        self.legs = list(zip([0.0, *ends], ends, rates, [*rates[1:], float(end_learning_rate)]))

    def decayed(self, time: float) -> float:
        """Return the rate on the way up or down."""
        for start, end, low, high in self.legs:
            if time <= end and end > start:
                share = (time - start) / (end - start)
                weight = share if self.linear else (1 - math.cos(math.pi * share)) / 2
                return low + (high - low) * weight
        return self.legs[-1][-1]
