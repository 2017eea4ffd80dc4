"""ReduceOnPlateau, the learning-rate schedule that follows the evaluations."""

from __future__ import annotations

import math
from typing import Any, Dict, Mapping, Optional

from ppcls.errors import ConfigError
from ppcls.optimizer.schedule_base import Schedule, Timing, register
from ppcls.registry.checks import require_choice, require_fraction, require_int, require_non_negative
from ppcls.utils.logging import get_logger


@register()
class ReduceOnPlateau(Schedule):
    """Multiplies the learning rate by ``factor`` after more than ``patience`` evaluations without improvement.

    Args:
        learning_rate: at the beginning.
        timing: of the run. Evaluations during the warm-up do not count.
        monitor: "metric", the first one in ``Metric.Eval``, or "loss", the evaluation's loss.
        mode: "max" if higher is better, or "min". By default what fits the metric, and "min" for the loss.
        factor: factor of a reduction.
        patience: evaluations without improvement before a reduction.
        threshold: smallest change that counts as an improvement; see ``threshold_mode``.
        threshold_mode: "rel" if ``threshold`` is relative to the best value, or "abs".
        cooldown: evaluations after a reduction that do not count.
        min_lr: the lowest learning rate.
        epsilon: smallest reduction; smaller ones are not made.

    Raises:
        ConfigError: a value is out of range.
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
        if mode is not None:
            require_choice("mode", mode, ("min", "max"))
        require_choice("threshold_mode", threshold_mode, ("rel", "abs"))
        if timing.cooldown_epoch:
            raise ConfigError("cooldown_epoch: ReduceOnPlateau has no fixed end; leave it out")
        self.monitor = monitor
        self.higher_is_better = (mode or {"metric": "max", "loss": "min"}[monitor]) == "max"
        self.factor = require_fraction("factor", factor)
        self.patience = require_int("patience", patience, 0)
        self.cooldown = require_int("cooldown", cooldown, 0)
        self.threshold, self.relative = require_non_negative("threshold", threshold), threshold_mode == "rel"
        self.min_lr, self.epsilon = require_non_negative("min_lr", min_lr), require_non_negative("epsilon", epsilon)
        self.best: Optional[float] = None
        self.reductions = self.bad_evaluations = self.cooldown_left = 0

    def main_lr(self, time: float) -> float:
        """Return the learning rate after the reductions so far; it does not depend on the time."""
        return self._lr_after(self.reductions)

    def _lr_after(self, reductions: int) -> float:
        return max(self.learning_rate * self.factor**reductions, min(self.min_lr, self.learning_rate))

    def on_evaluation(self, step: int, metric: float, loss: float) -> None:
        """Reduce the learning rate if the evaluations have stopped improving."""
        if step < self.timing.warmup_epoch * self.timing.steps_per_epoch:
            return
        if self.cooldown_left:
            self.cooldown_left -= 1
            return
        value = {"metric": metric, "loss": loss}[self.monitor]
        if self._is_better(value):
            self.best, self.bad_evaluations = value, 0
            return
        self.bad_evaluations += 1
        if self.bad_evaluations > self.patience:
            self.bad_evaluations, self.cooldown_left = 0, self.cooldown
            if self._lr_after(self.reductions) - self._lr_after(self.reductions + 1) > self.epsilon:
                self.reductions += 1
                get_logger().info(
                    "%s has not improved on %.5f in %d evaluations: the learning rate is %g from now on",
                    self.monitor,
                    self.best or 0.0,
                    self.patience + 1,
                    self._lr_after(self.reductions),
                )

    def _is_better(self, value: float) -> bool:
        if self.best is None or math.isnan(value):
            return not math.isnan(value)
        margin = self.threshold * self.best if self.relative else self.threshold
        return value > self.best + margin if self.higher_is_better else value < self.best - margin

    def state(self) -> Dict[str, Any]:
        """Return the best value and the counters, for a checkpoint."""
        return {
            "best": self.best,
            "bad": self.bad_evaluations,
            "waiting": self.cooldown_left,
            "reductions": self.reductions,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state``; missing entries, as in the state of another schedule, start from the beginning."""
        self.best = state.get("best")
        self.bad_evaluations = state.get("bad", 0)
        self.cooldown_left = state.get("waiting", 0)
        self.reductions = state.get("reductions", 0)
