"""Shared by the losses: weights per class, and targets as distributions."""

from __future__ import annotations

from typing import List, Optional, Sequence

import numpy as np
import paddle
from paddle.nn import functional as F

from ppcls.errors import ConfigError
from ppcls.registry.checks import require_non_negative


def require_per_class(name: str, values: Sequence[float], class_num: Optional[int]) -> List[float]:
    """Return one number per class.

    Args:
        class_num: number of classes of the model; None skips the check.

    Raises:
        ConfigError: a number is negative or not finite, all are 0, or there is not one per class.
    """
    numbers = [require_non_negative(name, value) for value in values]
    if not sum(numbers) > 0:
        raise ConfigError(f"{name}: all are 0")
    if class_num is not None and len(numbers) != class_num:
        raise ConfigError(f"{name}: {len(numbers)} numbers for {class_num} classes (Arch.class_num)")
    return numbers


def balanced_weights(labels: np.ndarray, class_num: Optional[int]) -> List[float]:
    """Return weights that give every class the same share of a data set's loss: N / (K N_c), or 0 where N_c is 0.

    Args:
        labels: of the samples in the data set, integer [N].
        class_num: K; None counts the labels from 0 to the highest.
    """
    counts = np.bincount(labels, minlength=class_num or 0)
    present = np.maximum(counts, 1)
    return [float(weight) for weight in np.where(counts, len(labels) / (len(counts) * present), 0.0)]


def check_label_shape(logits: paddle.Tensor, labels: paddle.Tensor) -> None:
    """Check that there is one label per row of logits [B, K].

    Raises:
        ValueError: the labels have another shape.
    """
    if list(labels.shape) != list(logits.shape[:1]):
        raise ValueError(f"labels of shape {list(labels.shape)} for logits of {list(logits.shape)}")


def soft_targets(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """Return labels, integer [B] or floating-point [B, K], as float32 distributions [B, K].

    Raises:
        ValueError: the labels have another shape.
    """
    if not paddle.is_floating_point(labels):
        check_label_shape(logits, labels)
        return F.one_hot(labels.astype("int64"), logits.shape[-1]).astype("float32")
    if list(labels.shape) != list(logits.shape):
        raise ValueError(f"soft labels of shape {list(labels.shape)} for logits of {list(logits.shape)}")
    return labels.astype("float32")


def multilabel_targets(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """Return labels, 0 to 1 for each class, as float32 [B, K].

    Raises:
        ValueError: they are classes, integer [B], or have another shape.
    """
    if not paddle.is_floating_point(labels):
        raise ValueError(f"labels [B, K] of 0 and 1 expected, not {labels.dtype} {list(labels.shape)}")
    return soft_targets(logits, labels)


def smoothed(targets: paddle.Tensor, epsilon: float) -> paddle.Tensor:
    """Return (1 - epsilon) targets + epsilon / K for targets [B, K]."""
    return targets if not epsilon else (1 - epsilon) * targets + epsilon / targets.shape[-1]
