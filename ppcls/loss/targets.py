"""What losses share: their arguments, and targets as distributions."""

from __future__ import annotations

import math
from typing import List, Optional, Sequence

import paddle
from paddle.nn import functional as F

from ppcls.errors import ConfigError


def require_fraction(name: str, value: float) -> float:
    """Return ``value``.

    Raises:
        ConfigError: it is not at least 0 and below 1.
    """
    if not 0 <= value < 1:
        raise ConfigError(f"{name}: expected a number of at least 0 and below 1, got {value}")
    return float(value)


def require_weight(value: float, name: str = "weight") -> float:
    """Return ``value``.

    Raises:
        ConfigError: it is negative or not finite.
    """
    if not (value >= 0 and math.isfinite(value)):
        raise ConfigError(f"{name}: expected a number of at least 0, got {value}")
    return float(value)


def require_class_weights(values: Optional[Sequence[float]]) -> Optional[List[float]]:
    """Return the weights, if there are any.

    Raises:
        ConfigError: they are negative, not finite, or all 0.
    """
    if values is None:
        return None
    weights = [require_weight(value, "class_weights") for value in values]
    if not sum(weights) > 0:
        raise ConfigError("class_weights: all are 0")
    return weights


def check_hard(logits: paddle.Tensor, labels: paddle.Tensor) -> None:
    """Check that there is a label for each row of logits [B, K].

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
        check_hard(logits, labels)
        return F.one_hot(labels.astype("int64"), logits.shape[-1]).astype("float32")
    if list(labels.shape) != list(logits.shape):
        raise ValueError(f"soft labels of shape {list(labels.shape)} for logits of {list(logits.shape)}")
    return labels.astype("float32")


def smoothed(targets: paddle.Tensor, epsilon: float) -> paddle.Tensor:
    """Return (1 - epsilon) targets + epsilon / K for targets [B, K]."""
    return targets if not epsilon else (1 - epsilon) * targets + epsilon / targets.shape[-1]
