"""Losses and training metrics, averaged over the epoch so far."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
import paddle

from ppcls.config.schema import Config
from ppcls.engine.criteria import build_metrics
from ppcls.engine.reduction import Losses
from ppcls.loss.base import MIN_WEIGHT
from ppcls.utils import distributed


class EpochAverages:
    """Running averages of losses and metrics over an epoch, as the log lines of training show them.

    Both stay on the device until ``fetch``, ``values`` or ``state_dict`` is called.

    Args:
        config: the recipe; its ``Metric.Train`` is measured.
        names: of the losses.
    """

    def __init__(self, config: Config, names: List[str]) -> None:
        self._names = names
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
        self._pending: List[Tuple[int, Losses]] = []  # the batches since the last fetch
        self._not_finite: Optional[Tuple[int, float]] = None

    def update(self, number: int, losses: Losses, logits: Optional[paddle.Tensor], labels: Any) -> None:
        """Take a batch in; nothing is fetched from the device.

        Args:
            number: of the batch in its epoch.
            losses: of the batch.
            logits: [B, K] of this process's part; None where that is empty.
            labels: [B] int64, or [B, K] of 0 and 1 (multi-label).
        """
        self._pending.append((number, losses))
        if logits is not None:
            self._metrics.update(logits.detach().astype("float32"), labels)
        self._values = None

    def fetch(self) -> None:
        """Take the losses of the batches since the last fetch from the device; a collective."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        sums = paddle.stack([losses.sums for _, losses in pending]).numpy().astype(np.float64)  # [batches, losses, 2]
        for (number, losses), reduced in zip(pending, distributed.all_reduce_array(sums)):
            values = reduced[:, 0] / np.maximum(reduced[:, 1], MIN_WEIGHT)
            by_name = {name: float(value) for name, value in zip(self._names, values)}
            by_name["loss"] = float(sum(by_name.values()))
            for name, value in by_name.items():
                self._losses[name] = self._losses.get(name, 0.0) + value * losses.num_samples
            self._samples += losses.num_samples
            if self._not_finite is None and not np.isfinite(by_name["loss"]):
                self._not_finite = number, by_name["loss"]

    def take_not_finite(self) -> Optional[Tuple[int, float]]:
        """Return the first batch since the last call whose loss is not finite, and that loss; a collective."""
        self.fetch()
        found, self._not_finite = self._not_finite, None
        return found

    def values(self) -> Dict[str, float]:
        """Return metrics and losses by name; a collective, the first time after a batch."""
        if self._values is None:
            self.fetch()
            self._global_metrics.load_state(self._metrics.global_state())
            losses = {name: value / self._samples for name, value in self._losses.items()}
            self._values = {**self._global_metrics.result(), **losses}
        return dict(self._values)

    def state_dict(self) -> Dict[str, Any]:
        """Return what a checkpoint inside an epoch holds, {} before its first batch; a collective."""
        self.fetch()
        if not self._samples:
            return {}
        metrics = self._metrics.global_state()
        return {"losses": dict(self._losses), "samples": self._samples, "metrics": metrics}
