"""Top-k accuracy."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence, Union

import paddle

from ppcls.errors import CheckpointError, ConfigError
from ppcls.metric.base import Metric
from ppcls.metric.predictions import read_batch
from ppcls.metric.registry import METRICS


@METRICS.register
class TopkAcc(Metric):
    """The share of samples whose label is among the k highest logits.

    Among equal logits the lower class number ranks higher, as in a stable sort. A sample with a NaN among its logits is
    never correct. A k above the number of classes is reduced to it, and reported under that name.

    Attributes:
        renamed: what is reported instead of a name, such as {"top5": "top3"} with 3 classes.

    Args:
        topk: one or several k.

    Raises:
        ConfigError: no k, one twice, or one that is not a positive integer.
    """

    def __init__(self, topk: Union[int, Sequence[int]] = (1, 5)) -> None:
        ks = [topk] if isinstance(topk, int) else list(topk)
        if not ks or any(isinstance(k, bool) or not isinstance(k, int) or k < 1 for k in ks) or len(set(ks)) < len(ks):
            raise ConfigError(f"topk: must be different positive integers, not {topk!r}")
        self.topk = ks
        self.renamed: Dict[str, str] = {}
        self.reset()

    @property
    def names(self) -> Sequence[str]:
        """What ``result`` reports, in order."""
        return [f"top{k}" for k in self.topk]

    def reset(self) -> None:
        """Forget all samples."""
        self._count = 0
        self._correct: Any = 0  # [len(topk)] int64, on the device of the logits

    def check(self, class_num: int) -> None:
        """Reduce each k to ``class_num``, if it is larger; of equal ones the first stays.

        Raises:
            ConfigError: samples of more classes were counted before.
        """
        if max(self.topk) <= class_num:
            return
        if self._count:
            raise ConfigError(f"topk {max(self.topk)} exceeds {class_num} classes, and samples of more were counted")
        self.renamed.update({f"top{k}": f"top{class_num}" for k in self.topk if k > class_num})
        self.topk = list(dict.fromkeys(min(k, class_num) for k in self.topk))
        self.reset()

    def update(self, logits: paddle.Tensor, targets: paddle.Tensor) -> None:
        """Count a batch.

        Args:
            logits: [B, K] floating-point; or any scores, the highest first.
            targets: labels, integer [B], from 0 to K - 1.

        Raises:
            ConfigError: the data are multi-label, or K changes.
            ValueError: wrong shapes or types, or labels out of range (checked on a CPU only, where it costs nothing).
        """
        logits, labels = read_batch(logits, targets)
        self.check_labels(multi_label=labels.ndim == 2)
        self.check(logits.shape[1])
        if not len(labels):
            return
        labels = labels.unsqueeze(1)  # [B, 1]
        label_logits = paddle.take_along_axis(logits, labels, axis=1)
        earlier = paddle.arange(logits.shape[1]).unsqueeze(0) < labels  # [B, K]
        ranks_higher = paddle.logical_or(logits > label_logits, paddle.logical_and(logits == label_logits, earlier))
        rank = ranks_higher.astype("int64").sum(axis=1, keepdim=True)  # [B, 1]
        # Comparisons with NaN are false, so that it would outrank nobody.
        rank = paddle.where(paddle.isnan(logits).any(axis=1, keepdim=True), paddle.full_like(rank, 2**62), rank)
        limits = paddle.to_tensor(self.topk, dtype="int64").unsqueeze(0)
        self._correct = self._correct + (rank < limits).astype("int64").sum(axis=0)
        self._count += len(labels)

    def result(self) -> Dict[str, float]:
        """Return ``top{k}`` over all samples so far, from 0 to 1; NaN before the first sample."""
        counts = self.state()
        return {name: counts[name] / self._count if self._count else float("nan") for name in self.names}

    def state(self) -> Dict[str, int]:
        """Return the counts: ``count`` of samples, and of the correct ones for each ``top{k}``."""
        fetched = isinstance(self._correct, paddle.Tensor)
        correct: List[int] = self._correct.numpy().tolist() if fetched else [0] * len(self.topk)
        return {"count": self._count, **dict(zip(self.names, correct))}

    def load_state(self, state: Mapping[str, int]) -> None:
        """Continue from counts that ``state`` returned.

        Raises:
            CheckpointError: the counts belong to another ``topk``.
        """
        if set(state) != {"count", *self.names}:
            raise CheckpointError(f"TopkAcc: the saved counts are {sorted(state)}, expected {['count', *self.names]}")
        self._count = int(state["count"])
        self._correct = paddle.to_tensor([int(state[name]) for name in self.names], dtype="int64")
