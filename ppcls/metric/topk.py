"""Top-k accuracy."""

from __future__ import annotations

from typing import Dict, Mapping, Sequence, Union

import numpy as np

from ppcls.errors import CheckpointError, ConfigError
from ppcls.metric.registry import METRICS


@METRICS.register
class TopkAcc:
    """The share of samples whose label is among the k highest logits.

    Among equal logits the lower class number ranks higher, as a stable sort has it. A sample with a NaN among its
    logits is never correct.

    Args:
        topk: one or several k.

    Raises:
        ConfigError: no k, one twice, or one that is not a positive integer.
    """

    def __init__(self, topk: Union[int, Sequence[int]] = (1, 5)) -> None:
        ks = [topk] if isinstance(topk, int) else list(topk)
        if not ks or any(isinstance(k, bool) or not isinstance(k, int) or k < 1 for k in ks) or len(set(ks)) < len(ks):
            raise ConfigError(f"topk: expected different positive integers, got {topk!r}")
        self.topk = ks
        self.reset()

    @property
    def names(self) -> Sequence[str]:
        """What ``result`` reports, in order."""
        return [f"top{k}" for k in self.topk]

    def reset(self) -> None:
        """Forget all samples."""
        self._count = 0
        self._correct = dict.fromkeys(self.names, 0)

    def check(self, class_num: int) -> None:
        """Make sure that the metric can be computed for ``class_num`` classes.

        Raises:
            ConfigError: some k exceeds it.
        """
        if max(self.topk) > class_num:
            possible = sorted({min(k, class_num) for k in self.topk})
            raise ConfigError(f"topk {max(self.topk)} exceeds class_num {class_num}; write {possible}")

    def update(self, logits: np.ndarray, labels: np.ndarray) -> None:
        """Count a batch.

        Args:
            logits: [B, K]; any scores of which the highest wins.
            labels: classes, integer [B].

        Raises:
            ConfigError: some k exceeds K.
            ValueError: other shapes, labels that are no integers, or labels out of range.
        """
        logits, labels = np.asarray(logits), np.asarray(labels)
        if logits.ndim != 2 or labels.shape != logits.shape[:1] or labels.dtype.kind not in "iu":
            raise ValueError(
                f"expected logits [B, K] and integer labels [B], got {list(logits.shape)} and "
                f"{labels.dtype} {list(labels.shape)}"
            )
        self.check(logits.shape[1])
        if len(labels) and not (labels.min() >= 0 and labels.max() < logits.shape[1]):
            raise ValueError(f"labels from {labels.min()} to {labels.max()} for {logits.shape[1]} classes")
        own = np.take_along_axis(logits, labels[:, None].astype(np.int64), axis=1)
        earlier = np.arange(logits.shape[1]) < labels[:, None]
        rank = ((logits > own) | ((logits == own) & earlier)).sum(axis=1)
        valid = ~np.isnan(logits).any(axis=1)  # comparisons with NaN are false: it would outrank nobody
        for k, name in zip(self.topk, self.names):
            self._correct[name] += int(((rank < k) & valid).sum())
        self._count += len(labels)

    def result(self) -> Dict[str, float]:
        """Return ``top{k}`` of all samples so far, 0 to 1; NaN before the first sample."""
        return {name: n / self._count if self._count else float("nan") for name, n in self._correct.items()}

    def state(self) -> Dict[str, int]:
        """Return the counts, which add up over ranks: ``count`` and the correct ones of each ``top{k}``."""
        return {"count": self._count, **self._correct}

    def load_state(self, state: Mapping[str, int]) -> None:
        """Continue from counts that ``state`` returned.

        Raises:
            CheckpointError: the counts are of another ``topk``.
        """
        if set(state) != {"count", *self.names}:
            raise CheckpointError(f"TopkAcc: the saved counts are {sorted(state)}, expected {['count', *self.names]}")
        self._count = int(state["count"])
        self._correct = {name: int(state[name]) for name in self.names}
