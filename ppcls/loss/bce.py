"""Binary cross-entropy."""

from __future__ import annotations

from typing import Optional

import paddle
from paddle.nn import functional as F

from ppcls.loss.base import MULTI_LABEL, SINGLE_LABEL, Loss
from ppcls.loss.registry import LOSSES
from ppcls.loss.targets import smoothed, soft_targets
from ppcls.registry.checks import require_fraction, require_non_negative


@LOSSES.register
class BCELoss(Loss):
    """Binary cross-entropy of sigmoid(logits), averaged over samples and classes (https://arxiv.org/abs/2110.00476).

    Args:
        epsilon: label smoothing, as in CELoss; 0 <= epsilon < 1.
        target_threshold: targets above it become 1, others 0, so that a mixed image has all of its classes. Applied
            before the smoothing, which would otherwise have no effect.
        weight: factor of this loss in the sum of all losses.

    Raises:
        ConfigError: a value is out of range.
    """

    label_kinds = frozenset({SINGLE_LABEL, MULTI_LABEL})

    def __init__(self, epsilon: float = 0.0, target_threshold: Optional[float] = None, weight: float = 1.0) -> None:
        super().__init__()
        self.epsilon = require_fraction("epsilon", epsilon)
        self.target_threshold = (
            None if target_threshold is None else require_fraction("target_threshold", target_threshold)
        )
        self.weight = require_non_negative("weight", weight)

    def sample_losses(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return each sample's loss, float32 [B], for logits [B, K] and labels [B] or [B, K]."""
        targets = soft_targets(logits, labels)
        if self.target_threshold is not None:
            targets = (targets > self.target_threshold).astype("float32")
        targets = smoothed(targets, self.epsilon)
        return F.binary_cross_entropy_with_logits(logits.astype("float32"), targets, reduction="none").mean(-1)
