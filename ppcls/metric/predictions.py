"""What metrics do with a batch: check its labels, and turn logits into predictions."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple, Union

import numpy as np
import paddle
from paddle.nn import functional as F

from ppcls.errors import ConfigError
from ppcls.registry.checks import require_fraction


def read_batch(logits: Any, targets: Any) -> Tuple[paddle.Tensor, paddle.Tensor]:
    """Return a batch as tensors: logits [B, K] float32, and targets [B] int64 or, of several labels, [B, K] bool.

    Args:
        logits: [B, K], tensor or array.
        targets: labels [B] from 0 to K - 1, or [B, K] of 0 and 1. The values are checked on a CPU only, where it costs
            nothing.

    Raises:
        ValueError: wrong shapes, types or values.
    """
    logits, targets = _tensor(logits), _tensor(targets)
    is_single = targets.ndim == 1 and not paddle.is_floating_point(targets)
    expected = list(logits.shape)[:1] if is_single else list(logits.shape)
    if logits.ndim != 2 or list(targets.shape) != expected:
        raise ValueError(
            f"expected logits [B, K] and integer labels [B], or [B, K] of 0 and 1; got {list(logits.shape)} and "
            f"{targets.dtype} {list(targets.shape)}"
        )
    if len(targets) and targets.place.is_cpu_place():
        _check_values(targets.numpy(), logits.shape[1])
    return logits.astype("float32"), targets.astype("int64") if is_single else targets.astype("bool")


def _tensor(value: Any) -> paddle.Tensor:
    return value if isinstance(value, paddle.Tensor) else paddle.to_tensor(np.asarray(value))


def _check_values(targets: np.ndarray, class_num: int) -> None:
    if targets.ndim == 2:
        if not ((targets == 0) | (targets == 1)).all():
            raise ValueError("multi-label targets other than 0 and 1")
    elif targets.min() < 0 or targets.max() >= class_num:
        raise ValueError(f"labels from {targets.min()} to {targets.max()} for {class_num} classes")


def predicted_classes(logits: paddle.Tensor) -> paddle.Tensor:
    """Return the class with the highest logit, [B] int64.

    Among equal logits it is the lower class. A sample with a NaN among its K logits has the class K, which no label is.
    """
    class_num = logits.shape[1]
    classes = paddle.arange(class_num, dtype="int64").unsqueeze(0).expand(logits.shape)
    none = paddle.full_like(classes, class_num)
    first = paddle.where(logits == logits.max(axis=1, keepdim=True), classes, none).min(axis=1)
    return paddle.where(paddle.isnan(logits).any(axis=1), paddle.full_like(first, class_num), first)


def count_values(values: paddle.Tensor, size: int) -> paddle.Tensor:
    """Return how often each integer from 0 to ``size`` - 1 occurs in values [N] int64, as [size] int64."""
    zeros = paddle.zeros([size], dtype="int64")
    return paddle.scatter_nd_add(zeros, values.unsqueeze(1), paddle.ones_like(values))


def predicted_labels(logits: paddle.Tensor, targets: paddle.Tensor, threshold: paddle.Tensor) -> paddle.Tensor:
    """Return which labels have a probability, the sigmoid of the logit, above the threshold.

    A label whose logit is NaN is predicted wrongly, whatever its target.

    Args:
        logits: [B, K] float32.
        targets: [B, K] bool.
        threshold: float32, [1] or [K].

    Returns:
        [B, K] bool.
    """
    is_nan = paddle.isnan(logits)
    above = F.sigmoid(logits) > threshold
    return paddle.where(is_nan, paddle.logical_not(targets), above)


class Threshold:
    """The probability above which a label is predicted: one for all labels, or one for each.

    Args:
        value: from 0 to below 1.

    Raises:
        ConfigError: it is not.
    """

    def __init__(self, value: Union[float, Sequence[float]]) -> None:
        self._values = list(value) if isinstance(value, (list, tuple)) else [value]
        if not self._values:
            raise ConfigError("threshold: must be a number, or one for each class; the list is empty")
        for number in self._values:
            require_fraction("threshold", number)
        self._is_list = isinstance(value, (list, tuple))
        self._tensor: Optional[paddle.Tensor] = None

    def check(self, class_num: int) -> None:
        """Make sure that there are as many as classes.

        Raises:
            ConfigError: there are not.
        """
        if self._is_list and len(self._values) != class_num:
            raise ConfigError(f"threshold: {len(self._values)} numbers for {class_num} classes")

    def predict(self, logits: paddle.Tensor, targets: paddle.Tensor) -> paddle.Tensor:
        """Return which labels are predicted, see ``predicted_labels``."""
        self.check(logits.shape[1])
        if self._tensor is None:
            self._tensor = paddle.to_tensor(self._values, dtype="float32")
        return predicted_labels(logits, targets, self._tensor)
