"""Metrics that follow from sums of integers over the samples."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, List, Mapping, Optional, Sequence

import numpy as np
import paddle

from ppcls.errors import CheckpointError
from ppcls.metric.base import Metric
from ppcls.metric.predictions import read_batch

Sums = Mapping[str, np.ndarray]


class SumMetric(Metric):
    """Base class. Sums of integers are exact, in any order, for any batch size and any number of processes.

    A subclass implements ``count`` and ``compute``.

    Attributes:
        sum_names: the names of the sums.
    """

    sum_names: ClassVar[Sequence[str]] = ()

    def __init__(self) -> None:
        self.reset()

    def count(self, logits: paddle.Tensor, targets: paddle.Tensor) -> Dict[str, paddle.Tensor]:
        """Return what a batch adds to each sum, int64 of at least one dimension; nothing is fetched from the device.

        Args:
            logits: [B, K] float32, with B of at least 1.
            targets: [B] int64 or [B, K] bool.
        """
        raise NotImplementedError

    def compute(self, sums: Sums) -> Dict[str, float]:
        """Return the numbers by name, from the sums over at least one sample."""
        raise NotImplementedError

    def compute_details(self, sums: Sums, class_names: Optional[Sequence[str]]) -> Dict[str, Any]:
        """Return what ``details`` does, from the sums over at least one sample."""
        return {}

    def reset(self) -> None:
        """Forget all samples."""
        self._sums: Dict[str, paddle.Tensor] = {}

    def update(self, logits: paddle.Tensor, targets: paddle.Tensor) -> None:
        """Accumulate a batch; see ``read_batch``.

        Raises:
            ConfigError: the metric is not for such labels.
            CheckpointError: the sums that were loaded have other shapes.
        """
        logits, targets = read_batch(logits, targets)
        self.check_labels(multi_label=targets.ndim == 2)
        if not len(targets):
            return
        for name, value in self.count(logits, targets).items():
            before = self._sums.get(name)
            if before is not None and before.shape != value.shape:
                raise CheckpointError(f"the saved sum {name} is {list(before.shape)}, expected {list(value.shape)}")
            self._sums[name] = value if before is None else before + value

    def result(self) -> Dict[str, float]:
        """Return the numbers by name; NaN before the first sample."""
        return self.compute(self._fetch()) if self._sums else dict.fromkeys(self.names, float("nan"))

    def details(self, class_names: Optional[Sequence[str]] = None) -> Dict[str, Any]:
        """Return results that are not one number; empty before the first sample."""
        return self.compute_details(self._fetch(), class_names) if self._sums else {}

    def state(self) -> Dict[str, List[Any]]:
        """Return the sums; empty before the first sample."""
        return {name: value.tolist() for name, value in self._fetch().items()}

    def load_state(self, state: Mapping[str, List[Any]]) -> None:
        """Continue from sums that ``state`` returned.

        Raises:
            CheckpointError: they are another metric's.
        """
        if state and set(state) != set(self.sum_names):
            raise CheckpointError(
                f"{type(self).__name__}: the saved sums are {sorted(state)}, expected {sorted(self.sum_names)}"
            )
        self._sums = {name: paddle.to_tensor(value, dtype="int64") for name, value in state.items()}

    def merge(self, states: Sequence[Mapping[str, Any]]) -> Dict[str, Any]:
        """Return the sums over all processes, some of which may have had no samples."""
        counted = [state for state in states if state]
        if not counted:
            return {}
        sums = {name: np.array([state[name] for state in counted], np.int64).sum(axis=0) for name in counted[0]}
        return {name: value.tolist() for name, value in sums.items()}

    def _fetch(self) -> Dict[str, np.ndarray]:
        return {name: value.numpy() for name, value in self._sums.items()}
