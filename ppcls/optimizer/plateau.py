"""A learning rate that follows the evaluations."""

from __future__ import annotations

import math
from typing import Any, Dict, Mapping, Optional

from ppcls.errors import ConfigError
from ppcls.optimizer.schedule_base import Schedule, Timing, register, require_choice, require_rates
from ppcls.utils.logging import get_logger


@register()
class ReduceOnPlateau(Schedule):
    """Multiplied by ``factor`` when more than ``patience`` evaluations in a row are no better than the best one.

    Args:
        learning_rate: to begin with.
        timing: of the run; what is evaluated during the warm-up does not count.
        monitor: "metric", the first one of ``Metric.Eval``, or "loss", that of the evaluation.
        mode: "max" if higher is better, else "min"; None: "max" for the metric, "min" for the loss.
        factor: what the rate is multiplied by.
        patience: evaluations without improvement that are let pass.
        threshold: how much better an evaluation has to be, as ``threshold_mode`` says.
        threshold_mode: "rel" to the best value, or "abs".
        cooldown: evaluations after a reduction that do not count.
        min_lr: the lowest rate.
        epsilon: a reduction by no more than this is not made.

    Raises:
        ConfigError: a value out of its range.
    """

    follows_evaluations = True

    def __init__(
        self,
        learning_rate: float,
        timing: Timing,
        monitor: str = "metric",
        mode: Optional[str] = None,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(learning_rate, timing)
        require_choice("monitor", monitor, ("metric", "loss"))
        require_choice("mode", mode, (None, "min", "max"))
        require_choice("threshold_mode", threshold_mode, ("rel", "abs"))
        require_rates(threshold=threshold, min_lr=min_lr, epsilon=epsilon, patience=patience, cooldown=cooldown)
        if not 0 <= factor < 1:
            raise ConfigError(f"factor: expected a number of at least 0 and below 1, got {factor}")
        if timing.cooldown_epoch:
            raise ConfigError("cooldown_epoch: this schedule has no end to stay at; leave it out")
        self.monitor = monitor
        self.higher_is_better = (mode or {"metric": "max", "loss": "min"}[monitor]) == "max"
        self.factor, self.patience, self.cooldown = factor, patience, cooldown
        self.threshold, self.relative = threshold, threshold_mode == "rel"
        self.min_lr, self.epsilon = min_lr, epsilon
        self.best: Optional[float] = None
        self.reductions = self.bad = self.waiting = 0

    def decayed(self, time: float) -> float:
        """Return the rate after the reductions so far, at any time."""
        return self._reduced(self.reductions)

    def _reduced(self, times: int) -> float:
        return max(self.learning_rate * self.factor**times, min(self.min_lr, self.learning_rate))

    def observe(self, step: int, metric: float, loss: float) -> None:
        """Reduce the rate if evaluations have stopped getting better."""
        if step < self.timing.warmup_epoch * self.timing.steps_per_epoch:
            return
        if self.waiting:
            self.waiting -= 1
            return
        value = {"metric": metric, "loss": loss}[self.monitor]
        if self._is_better(value):
            self.best, self.bad = value, 0
            return
        self.bad += 1
        if self.bad > self.patience:
            self.bad, self.waiting = 0, self.cooldown
            if self._reduced(self.reductions) - self._reduced(self.reductions + 1) > self.epsilon:
                self.reductions += 1
                get_logger().info(
                    "%s has not got better than %.5f for %d evaluations: the learning rate is %g from now on",
                    *(self.monitor, self.best or 0.0, self.patience + 1, self._reduced(self.reductions)),
                )

    def _is_better(self, value: float) -> bool:
        if self.best is None or math.isnan(value):
            return not math.isnan(value)
        margin = self.threshold * self.best if self.relative else self.threshold
        return value > self.best + margin if self.higher_is_better else value < self.best - margin

    def state(self) -> Dict[str, Any]:
        """Return the best value and the counts."""
        return {"best": self.best, "bad": self.bad, "waiting": self.waiting, "reductions": self.reductions}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state``; what it does not hold, as from another schedule's run, starts anew."""
        self.best = state.get("best")
        self.bad, self.waiting, self.reductions = (state.get(key, 0) for key in ("bad", "waiting", "reductions"))
