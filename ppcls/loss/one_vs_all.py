"""Binary cross-entropy and focal loss."""

from __future__ import annotations

from typing import Optional, Sequence, Union

import paddle
from paddle.nn import functional as F

from ppcls.errors import ConfigError
from ppcls.loss.base import Loss
from ppcls.loss.registry import LOSSES
from ppcls.loss.targets import require_fraction, require_per_class, require_weight, smoothed, soft_targets

_SMALLEST = 1e-12  # below what float32 can leave of 1 - p, unless it is 0


@LOSSES.register
class BCELoss(Loss):
    """Binary cross-entropy of sigmoid(logits), averaged over samples and classes (https://arxiv.org/abs/2110.00476).

    Args:
        epsilon: label smoothing, as in CELoss; 0 <= epsilon < 1.
        target_threshold: targets above it count as 1, others as 0: mixed images have all of their classes then. It
            comes before the smoothing, which would be lost otherwise.
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

    def sample_losses(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return each sample's part, float32 [B], of logits [B, K] and labels [B] or [B, K]."""
        targets = soft_targets(logits, labels)
        if self.target_threshold is not None:
            targets = (targets > self.target_threshold).astype("float32")
        targets = smoothed(targets, self.epsilon)
        return F.binary_cross_entropy_with_logits(logits.astype("float32"), targets, reduction="none").mean(-1)


@LOSSES.register(injected=("class_num",))
class FocalLoss(Loss):
    """Cross-entropy with (1 - p)^gamma before each class's term: easy samples count less.

    Of softmax(logits), for classes that exclude each other; https://arxiv.org/abs/1708.02002, equation 5.

    Args:
        gamma: 0 is the cross-entropy.
        alpha: what all terms are multiplied by; or one number a class, for its terms.
        weight: what the loss is multiplied by in the sum of all losses.
        class_num: how many classes the model has, to check ``alpha``; None does not check it.

    Raises:
        ConfigError: a value out of its range.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: Union[float, Sequence[float]] = 1.0,
        weight: float = 1.0,
        *,
        class_num: Optional[int] = None,
    ) -> None:
        super().__init__()
        self.gamma = require_weight(gamma, "gamma")
        if isinstance(alpha, (int, float)):
            self.alpha = [require_weight(alpha, "alpha")]
        else:
            self.alpha = require_per_class("alpha", alpha, class_num)
        if not sum(self.alpha):
            raise ConfigError("alpha: is 0, so that nothing is learned")
        self.weight = require_weight(weight)

    def sample_losses(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return each sample's part, float32 [B], of logits [B, K] and labels [B] or [B, K]."""
        log_p = F.log_softmax(logits.astype("float32"), axis=-1)
        # The slope of a root at 0 is infinite: with gamma below 1 a sample that is certain would make the gradient NaN.
        focus = paddle.clip(-paddle.expm1(log_p), min=_SMALLEST) ** self.gamma
        sample_losses = soft_targets(logits, labels) * paddle.to_tensor(self.alpha, dtype="float32") * focus * log_p
        return -sample_losses.sum(-1)
