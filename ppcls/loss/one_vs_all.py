"""Losses that look at each class by itself, with sigmoids in the place of the softmax."""

from __future__ import annotations

from typing import Optional

import paddle
from paddle import nn
from paddle.nn import functional as F

from ppcls.errors import ConfigError
from ppcls.loss.registry import LOSSES
from ppcls.loss.targets import require_fraction, require_weight, smoothed, soft_targets


@LOSSES.register
class BCELoss(nn.Layer):
    """Binary cross-entropy of sigmoid(logits), averaged over samples and classes (https://arxiv.org/abs/2110.00476).

    Args:
        epsilon: label smoothing, as in CELoss; 0 <= epsilon < 1.
        target_threshold: targets above it count as 1, others as 0: mixed images have all of their classes then.
        weight: what the loss is multiplied by in the sum of all losses.

    Raises:
        ConfigError: a value out of its range.
    """

    def __init__(self, epsilon: float = 0.0, target_threshold: Optional[float] = None, weight: float = 1.0) -> None:
        super().__init__()
        self.epsilon = require_fraction("epsilon", epsilon)
        self.target_threshold = (
            None if target_threshold is None else require_fraction("target_threshold", target_threshold)
        )
        self.weight = require_weight(weight)

    def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return the unweighted loss, a scalar of shape [], of logits [B, K] and labels [B] or [B, K]."""
        targets = smoothed(soft_targets(logits, labels), self.epsilon)
        if self.target_threshold is not None:
            targets = (targets > self.target_threshold).astype("float32")
        return F.binary_cross_entropy_with_logits(logits.astype("float32"), targets)


@LOSSES.register
class FocalLoss(nn.Layer):
    """Cross-entropy with (1 - p)^gamma before each class's term: easy samples count less.

    Of softmax(logits), for classes that exclude each other; https://arxiv.org/abs/1708.02002, equation 5.

    Args:
        gamma: 0 is the cross-entropy.
        alpha: what all terms are multiplied by.
        weight: what the loss is multiplied by in the sum of all losses.

    Raises:
        ConfigError: a value out of its range.
    """

    def __init__(self, gamma: float = 2.0, alpha: float = 1.0, weight: float = 1.0) -> None:
        super().__init__()
        self.gamma = require_weight(gamma, "gamma")
        self.alpha = require_weight(alpha, "alpha")
        if not self.alpha:
            raise ConfigError("alpha: is 0, so that nothing is learned")
        self.weight = require_weight(weight)

    def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return the unweighted loss, a scalar of shape [], of logits [B, K] and labels [B] or [B, K]."""
        log_p = F.log_softmax(logits.astype("float32"), axis=-1)
        focus = (1 - log_p.exp()) ** self.gamma
        return -self.alpha * (soft_targets(logits, labels) * focus * log_p).sum(-1).mean()
