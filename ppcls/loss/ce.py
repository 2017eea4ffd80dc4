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
    require_per_class,
    smoothed,
    soft_targets,
)
from ppcls.registry.checks import require_fraction, require_non_negative


@LOSSES.register(injected=("class_num", "train_labels"))
class CELoss(Loss):
    """Mean cross-entropy of softmax(logits), with label smoothing if ``epsilon`` is given.

    With K classes, smoothing replaces the target q by (1 - epsilon) q + epsilon / K, also where q is a mixture of
    classes (https://arxiv.org/abs/1512.00567, section 7).

    Args:
        epsilon: label smoothing, 0 <= epsilon < 1; None is 0.
        weight: factor of this loss in the sum of all losses.
        class_weights: one weight per class; the loss is the weighted mean. With smoothing, each class's part of the
            target gets that class's weight. "balanced" computes N / (K N_c) from the training data.
        class_num: number of classes of the model, to check ``class_weights``; None skips the check.
        train_labels: labels of the training data, integer [N], for "balanced".

    Raises:
        ConfigError: a value is out of range, or "balanced" without training data.
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
        self.weight = require_non_negative("weight", weight)
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

    @property
    def is_weighted(self) -> bool:
        """Whether there are ``class_weights``."""
        return self.class_weights is not None

    def sample_weights(self, logits: paddle.Tensor, labels: paddle.Tensor) -> Optional[paddle.Tensor]:
        """Return the weight of each sample, float32 [B]; None without ``class_weights``."""
        return None if self.class_weights is None else self._weighted(logits, labels, self.class_weights).sum(-1)

    def _weighted(self, logits: paddle.Tensor, labels: paddle.Tensor, class_weights: Sequence[float]) -> paddle.Tensor:
        """Return the smoothed targets times the class weights, [B, K]."""
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
        raise ConfigError(f"class_weights: must be 'balanced' or one number per class, not {values!r}")
    if train_labels is None:
        raise ConfigError("class_weights: 'balanced' is computed from the training data: use it in Loss.Train only")
    return balanced_weights(train_labels, class_num)


@LOSSES.register
class SoftTargetCrossEntropy(CELoss):
    """Cross-entropy of softmax(logits) with mixed targets [B, K], or with hard labels.

    The same as CELoss, under the name that users of timm and PaddleClas know.

    Args:
        weight: factor of this loss in the sum of all losses.

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__(weight=weight)
