"""Cross-entropy with hard or soft labels."""

from __future__ import annotations

import math
from typing import Optional

import paddle
from paddle import nn
from paddle.nn import functional as F

from ppcls.errors import ConfigError
from ppcls.loss.registry import LOSSES


@LOSSES.register
class CELoss(nn.Layer):
    """Mean cross-entropy of softmax(logits), with label smoothing if ``epsilon`` is given.

    Smoothing replaces the target q by (1 - epsilon) q + epsilon / K, with K classes
    (https://arxiv.org/abs/1512.00567, section 7), whether q is one class or a mixture of several.

    Args:
        epsilon: label smoothing, 0 <= epsilon < 1; None is 0.
        weight: what the loss is multiplied by in the sum of all losses.

    Raises:
        ConfigError: a value out of its range.
    """

    def __init__(self, epsilon: Optional[float] = None, weight: float = 1.0) -> None:
        super().__init__()
        if epsilon is not None and not 0 <= epsilon < 1:
            raise ConfigError(f"epsilon: expected a number of at least 0 and below 1, got {epsilon}")
        if not (weight >= 0 and math.isfinite(weight)):
            raise ConfigError(f"weight: expected a number of at least 0, got {weight}")
        self.epsilon = epsilon or 0.0
        self.weight = weight

    def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return the unweighted loss, a scalar of shape [].

        Args:
            logits: [B, K].
            labels: classes, integer [B]; or distributions over the classes, floating-point [B, K].

        Raises:
            ValueError: the labels have another shape or type.
        """
        # fp16 has too few bits for the sum over the classes.
        log_p = F.log_softmax(logits.astype("float32"), axis=-1)
        if paddle.is_floating_point(labels):
            if list(labels.shape) != list(logits.shape):
                raise ValueError(f"soft labels of shape {list(labels.shape)} for logits of {list(logits.shape)}")
            nll = -(labels.astype("float32") * log_p).sum(-1)
        else:
            if list(labels.shape) != list(logits.shape[:1]):
                raise ValueError(f"labels of shape {list(labels.shape)} for logits of {list(logits.shape)}")
            nll = F.nll_loss(log_p, labels.astype("int64"), reduction="none")
        if self.epsilon:
            nll = (1 - self.epsilon) * nll - self.epsilon * log_p.mean(-1)
        return nll.mean()
