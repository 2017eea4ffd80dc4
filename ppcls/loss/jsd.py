"""The loss of AugMix: cross-entropy of clean images, and the divergence from augmented ones."""

from __future__ import annotations

import math
from typing import Optional

import paddle
from paddle.nn import functional as F

from ppcls.errors import ConfigError
from ppcls.loss.base import Loss
from ppcls.loss.ce import CELoss
from ppcls.loss.registry import LOSSES
from ppcls.registry.checks import require_fraction, require_int, require_non_negative


@LOSSES.register
class JSDCrossEntropy(Loss):
    """CE(clean) + alpha JS(clean; augmented 1; ...), https://arxiv.org/abs/1912.02781, equations (1) and (2).

    JS is the Jensen-Shannon divergence of the probabilities p_v of the views: the mean of KL(p_v || m), where m is the
    mean of all p_v. The images are split by AugMix or TimmAutoAugment with the same number of ``splits``.

    Args:
        num_splits: number of views of each image, the clean one included.
        alpha: weight of the divergence.
        smoothing: label smoothing of the cross-entropy, 0 <= smoothing < 1.
        weight: factor of this loss in the sum of all losses.

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(self, num_splits: int = 3, alpha: float = 12.0, smoothing: float = 0.1, weight: float = 1.0) -> None:
        super().__init__()
        self.num_splits = require_int("num_splits", num_splits, 2)
        self.alpha = require_non_negative("alpha", alpha)
        self.weight = require_non_negative("weight", weight)
        self._cross_entropy = CELoss(epsilon=require_fraction("smoothing", smoothing))

    def sample_losses(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return the loss of each row's image, float32 [views * B]: the same for all views of an image.

        Args:
            logits: [views * B, K], those of all clean images first.
            labels: of the rows: classes, integer [views * B].

        Raises:
            ValueError: the rows cannot be divided into views, or the labels have another shape or type.
        """
        views = self.num_splits
        if logits.shape[0] % views:
            raise ValueError(f"{logits.shape[0]} rows of logits cannot be divided into {views} views")
        count = logits.shape[0] // views
        # [views, B, K]; fp16 has too few bits for the sums over the classes.
        log_p = F.log_softmax(logits.astype("float32"), axis=-1).reshape([views, count, -1])
        log_mean = paddle.logsumexp(log_p, axis=0, keepdim=True) - math.log(views)
        divergence = (log_p.exp() * (log_p - log_mean)).sum(-1).mean(0)
        losses = self._cross_entropy.sample_losses(logits[:count], labels[:count]) + self.alpha * divergence
        return paddle.tile(losses, [views])


def require_views(name: str, loss: paddle.nn.Layer, views: int) -> None:
    """Check that a loss over the views of an image gets as many as it expects.

    Args:
        views: number of images that the data loader makes of each one.

    Raises:
        ConfigError: it does not.
    """
    expected: Optional[int] = getattr(loss, "num_splits", None)
    if expected is None or expected == views:
        return
    if views == 1:
        raise ConfigError(
            f"{name}: compares {expected} views of each image, and there is one: it needs `splits: {expected}` of "
            f"AugMix or TimmAutoAugment in DataLoader.Train, and cannot be used in Loss.Eval (use CELoss there)"
        )
    raise ConfigError(
        f"{name}: num_splits: is {expected}, and transform_ops makes {views} images of each one (splits); make "
        f"them equal"
    )
