"""Losses and training metrics, averaged over the epoch so far."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional

import paddle

from ppcls.config.schema import Config
from ppcls.engine.criteria import build_metrics
from ppcls.engine.reduction import Losses
from ppcls.utils import distributed


class EpochAverages:
    """Running averages of losses and metrics over an epoch, as the log lines of training show them.

    Metrics are accumulated where the logits are, and fetched when ``values`` or ``state_dict`` is called.

    Args:
        config: the recipe; its ``Metric.Train`` is measured.
    """

    def __init__(self, config: Config) -> None:
        self._metrics = build_metrics(config, "Train")
        self._global_metrics = build_metrics(config, "Train")  # those over all processes
        self.reset({})

    def reset(self, state: Mapping[str, Any]) -> None:
        """Begin an epoch, or continue inside one from what ``state_dict`` returned."""
        self._losses: Dict[str, float] = dict(state.get("losses", {}))
        self._samples: int = state.get("samples", 0)
        self._metrics.reset()
        if state and distributed.is_main():  # what all processes counted goes on in one
            self._metrics.load_state(state["metrics"])
        self._values: Optional[Dict[str, float]] = None

    def update(self, losses: Losses, logits: Optional[paddle.Tensor], labels: paddle.Tensor) -> None:
        """Take a batch in.

        Args:
            losses: of the batch of all processes.
            logits: [B, K] of this process's part; None where that is empty.
            labels: [B] int64, or [B, K] of 0 and 1 (multi-label).
        """
        for name, value in losses.by_name.items():
            self._losses[name] = self._losses.get(name, 0.0) + value * losses.num_samples
        self._samples += losses.num_samples
        if logits is not None:
            self._metrics.update(logits.detach().astype("float32"), labels)
        self._values = None

    def values(self) -> Dict[str, float]:
        """Return metrics and losses by name; a collective, the first time after a batch."""
        if self._values is None:
            self._global_metrics.load_state(self._metrics.global_state())
            losses = {name: value / self._samples for name, value in self._losses.items()}
            self._values = {**self._global_metrics.result(), **losses}
        return dict(self._values)

    def state_dict(self) -> Dict[str, Any]:
        """Return what a checkpoint inside an epoch holds, {} before its first batch; a collective."""
        if not self._samples:
            return {}
        metrics = self._metrics.global_state()
        return {"losses": dict(self._losses), "samples": self._samples, "metrics": metrics}
