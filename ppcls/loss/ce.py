"""Cross-entropy with hard or soft labels."""

from __future__ import annotations

from typing import List, Literal, Optional, Sequence, Union

import numpy as np
import paddle
from paddle.nn import functional as F

from ppcls.errors import ConfigError
from ppcls.loss.base import Loss
from ppcls.loss.registry import LOSSES
from ppcls.loss.targets import (
    balanced_weights,
    check_label_shape,
    require_fraction,
    require_per_class,
    require_weight,
    smoothed,
    soft_targets,
)


@LOSSES.register(provided=("class_num", "train_labels"))
class CELoss(Loss):
    """Mean cross-entropy of softmax(logits), with label smoothing if ``epsilon`` is given.

    Smoothing replaces the target q by (1 - epsilon) q + epsilon / K, with K classes
    (https://arxiv.org/abs/1512.00567, section 7), whether q is one class or a mixture of several.

    Args:
        epsilon: label smoothing, 0 <= epsilon < 1; None is 0.
        weight: what the loss is multiplied by in the sum of all losses.
        class_weights: one number a class: each class's part of the (smoothed) target counts so much, and the mean is
            taken over these weights. "balanced": N / (K N_c), from how often each class is in the training data.
        class_num: how many classes the model has, to check ``class_weights``; None does not check it.
        train_labels: of the training data, integer [N], for "balanced".

    Raises:
        ConfigError: a value out of its range, or "balanced" without training data.
    """

    def __init__(
        self,
        epsilon: Optional[float] = None,
        weight: float = 1.0,
        class_weights: Union[Literal["balanced"], Sequence[float], None] = None,
        *,
        class_num: Optional[int] = None,
        train_labels: Optional[np.ndarray] = None,
    ) -> None:
        super().__init__()
        self.epsilon = require_fraction("epsilon", epsilon or 0.0)
        self.weight = require_weight(weight)
        self.class_weights = None if class_weights is None else _class_weights(class_weights, class_num, train_labels)

    def sample_losses(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return each sample's cross-entropy, float32 [B].

        Args:
            logits: [B, K].
            labels: classes, integer [B]; or distributions over the classes, floating-point [B, K].

        Raises:
            ValueError: the labels have another shape or type.
        """
        # fp16 has too few bits for the sum over the classes.
        log_p = F.log_softmax(logits.astype("float32"), axis=-1)
        if self.class_weights is not None:
            return -(self._weighted(logits, labels, self.class_weights) * log_p).sum(-1)
        if paddle.is_floating_point(labels):
            nll = -(soft_targets(logits, labels) * log_p).sum(-1)
        else:
            check_label_shape(logits, labels)
            nll = F.nll_loss(log_p, labels.astype("int64"), reduction="none")
        if self.epsilon:
            nll = (1 - self.epsilon) * nll - self.epsilon * log_p.mean(-1)
        return nll

    def sample_weights(self, logits: paddle.Tensor, labels: paddle.Tensor) -> Optional[paddle.Tensor]:
        """Return the weights of each sample's classes, float32 [B]; None without ``class_weights``."""
        return None if self.class_weights is None else self._weighted(logits, labels, self.class_weights).sum(-1)

    def _weighted(self, logits: paddle.Tensor, labels: paddle.Tensor, class_weights: Sequence[float]) -> paddle.Tensor:
        """Return the smoothed targets times the classes' weights, [B, K]."""
        weights = paddle.to_tensor(list(class_weights), dtype="float32")
        if weights.shape[0] != logits.shape[-1]:
            raise ConfigError(f"class_weights: {weights.shape[0]} numbers for {logits.shape[-1]} classes")
        return smoothed(soft_targets(logits, labels), self.epsilon) * weights


def _class_weights(
    values: Union[str, Sequence[float]], class_num: Optional[int], train_labels: Optional[np.ndarray]
) -> List[float]:
    if not isinstance(values, str):
        return require_per_class("class_weights", values, class_num)
    if values != "balanced":
        raise ConfigError(f"class_weights: expected 'balanced' or one number a class, got {values!r}")
    if train_labels is None:
        raise ConfigError("class_weights: 'balanced' follows from the training data: use it in Loss.Train only")
    return balanced_weights(train_labels, class_num)


@LOSSES.register
class SoftTargetCrossEntropy(CELoss):
    """Cross-entropy of softmax(logits) with mixed targets, [B, K]; hard labels are taken as they are.

    The same as CELoss, which takes both, under the name that timm's and PaddleClas's users know.

    Args:
        weight: what the loss is multiplied by in the sum of all losses.

    Raises:
        ConfigError: a value out of its range.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__(weight=weight)
