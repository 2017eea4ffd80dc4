"""Focal loss."""

from __future__ import annotations

from typing import Optional, Sequence, Union

import paddle
from paddle.nn import functional as F

from ppcls.errors import ConfigError
from ppcls.loss.base import Loss
from ppcls.loss.registry import LOSSES
from ppcls.loss.targets import require_per_class, soft_targets
from ppcls.registry.checks import require_non_negative

_SMALLEST = 1e-12  # below what float32 can leave of 1 - p, unless it is 0


@LOSSES.register(injected=("class_num",))
class FocalLoss(Loss):
    """Cross-entropy times (1 - p)^gamma, so that easy samples count less.

    p is softmax(logits), for classes that exclude each other (https://arxiv.org/abs/1708.02002, equation 5).

    Args:
        gamma: 0 is the cross-entropy.
        alpha: a factor for all classes, or one per class.
        weight: factor of this loss in the sum of all losses.
        class_num: number of classes of the model, to check ``alpha``; None skips the check.

    Raises:
        ConfigError: a value is out of range.
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
        self.gamma = require_non_negative("gamma", gamma)
        if isinstance(alpha, (int, float)):
            self.alpha = [require_non_negative("alpha", alpha)]
        else:
            self.alpha = require_per_class("alpha", alpha, class_num)
        if not sum(self.alpha):
            raise ConfigError("alpha: is 0, so nothing would be learned")
        self.weight = require_non_negative("weight", weight)

    def sample_losses(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return each sample's loss, float32 [B], for logits [B, K] and labels [B] or [B, K]."""
        log_p = F.log_softmax(logits.astype("float32"), axis=-1)
        # The slope of a root at 0 is infinite: with gamma below 1 a sample that is certain would make the gradient NaN.
        focus = paddle.clip(-paddle.expm1(log_p), min=_SMALLEST) ** self.gamma
        sample_losses = soft_targets(logits, labels) * paddle.to_tensor(self.alpha, dtype="float32") * focus * log_p
        return -sample_losses.sum(-1)
