"""Asymmetric loss (https://arxiv.org/abs/2009.14119): easy negatives are down-weighted more than easy positives."""

from __future__ import annotations

from typing import Literal

import paddle
from paddle.nn import functional as F

from ppcls.loss.base import MULTI_LABEL, Loss
from ppcls.loss.registry import LOSSES
from ppcls.loss.targets import multilabel_targets, soft_targets
from ppcls.registry.checks import require_fraction, require_non_negative, require_positive

_SMALLEST = 1e-12  # below what float32 can leave of 1 - p, unless it is 0


def _focus(base: paddle.Tensor, gamma: float) -> paddle.Tensor:
    """Return base^gamma with a finite slope at 0: with gamma below 1 that of the power is infinite."""
    return paddle.clip(base, min=_SMALLEST) ** gamma


@LOSSES.register
class MultiLabelAsymmetricLoss(Loss):
    """Asymmetric loss of images with any number of classes each (https://arxiv.org/abs/2009.14119, equations 4 to 7).

    With p = sigmoid(logit), a positive class costs -(1 - p)^gamma_pos log(p), a negative one
    -q^gamma_neg log(1 - q), where q = max(p - clip, 0). A mixed target has the mixture of both.

    Args:
        gamma_pos: exponent of the positive classes.
        gamma_neg: exponent of the negative classes.
        clip: margin by which the probability of a negative class is lowered; 0 is none.
        epsilon: probabilities below it count as this much in the logarithm.
        disable_focal_loss_grad: take the powers as constants in the gradient.
        reduction: "sum" adds the losses of the classes up, "mean" averages them. Both average over the images, so that
            the loss does not depend on the batch size.
        weight: factor of this loss in the sum of all losses.

    Raises:
        ConfigError: a value is out of range.
    """

    label_kinds = frozenset({MULTI_LABEL})

    def __init__(
        self,
        gamma_pos: float = 1.0,
        gamma_neg: float = 4.0,
        clip: float = 0.05,
        epsilon: float = 1e-8,
        disable_focal_loss_grad: bool = True,
        reduction: Literal["sum", "mean"] = "sum",
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.gamma_pos = require_non_negative("gamma_pos", gamma_pos)
        self.gamma_neg = require_non_negative("gamma_neg", gamma_neg)
        self.clip = require_fraction("clip", clip)
        self.epsilon = require_positive("epsilon", epsilon)
        self.disable_focal_loss_grad = disable_focal_loss_grad
        self.reduction = reduction
        self.weight = require_non_negative("weight", weight)

    def sample_losses(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return each sample's loss, float32 [B], for logits [B, K] and targets from 0 to 1, [B, K].

        Raises:
            ValueError: the targets have another shape or type.
        """
        targets = multilabel_targets(logits, labels)
        p = F.sigmoid(logits.astype("float32"))
        absent = paddle.clip(1 - p + self.clip, max=1.0)  # 1 - q
        losses = targets * self._part(p, self.gamma_pos) + (1 - targets) * self._part(absent, self.gamma_neg)
        return losses.sum(-1) if self.reduction == "sum" else losses.mean(-1)

    def _part(self, p: paddle.Tensor, gamma: float) -> paddle.Tensor:
        """Return -(1 - p)^gamma log(p)."""
        focus = _focus(1 - p, gamma)
        if self.disable_focal_loss_grad:
            focus = focus.detach()
        return -focus * paddle.log(paddle.clip(p, min=self.epsilon))


@LOSSES.register
class AsymmetricLossSingleLabel(Loss):
    """Asymmetric loss of images with one class each: cross-entropy of softmax(logits) with a power before each term.

    The term of the label is weighted by (1 - p)^gamma_pos, those of the other classes, which label smoothing brings in,
    by p^gamma_neg. This is timm's form of https://arxiv.org/abs/2009.14119, under timm's name. A mixed target has the
    mixture of the losses of its classes.

    Args:
        gamma_pos: exponent of the label's term.
        gamma_neg: exponent of the other terms.
        epsilon: label smoothing, 0 <= epsilon < 1.
        weight: factor of this loss in the sum of all losses.

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(
        self, gamma_pos: float = 1.0, gamma_neg: float = 4.0, epsilon: float = 0.1, weight: float = 1.0
    ) -> None:
        super().__init__()
        self.gamma_pos = require_non_negative("gamma_pos", gamma_pos)
        self.gamma_neg = require_non_negative("gamma_neg", gamma_neg)
        self.epsilon = require_fraction("epsilon", epsilon)
        self.weight = require_non_negative("weight", weight)

    def sample_losses(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return each sample's loss, float32 [B], for logits [B, K] and labels [B] or [B, K]."""
        targets = soft_targets(logits, labels)
        log_p = F.log_softmax(logits.astype("float32"), axis=-1)
        others = self.epsilon / logits.shape[-1]  # what smoothing gives to each class
        positive = targets * (1 - self.epsilon + others) * _focus(-paddle.expm1(log_p), self.gamma_pos)
        negative = (1 - targets) * others * _focus(paddle.exp(log_p), self.gamma_neg)
        return -((positive + negative) * log_p).sum(-1)
