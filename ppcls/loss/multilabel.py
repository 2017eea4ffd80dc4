"""Binary cross-entropy of images with any number of classes each, weighted by how rare the classes are."""

from __future__ import annotations

from typing import Optional

import numpy as np
import paddle
from paddle.nn import functional as F

from ppcls.errors import ConfigError
from ppcls.loss.base import MULTI_LABEL, Loss
from ppcls.loss.registry import LOSSES
from ppcls.loss.targets import multilabel_targets, smoothed
from ppcls.registry.checks import require_fraction, require_non_negative


@LOSSES.register(injected=("label_ratio",))
class MultiLabelLoss(Loss):
    """Binary cross-entropy of sigmoid(logits) with a target for each class, averaged over samples and classes.

    With ``weight_ratio``, a class that a share r of the images has counts exp(1 - r) where it is positive and exp(r)
    where it is negative, so that rare classes count more (https://arxiv.org/abs/2107.03576). A mixed target between 0
    and 1 has the mixture of both weights.

    Args:
        epsilon: label smoothing, 0 <= epsilon < 1: the target t of K classes becomes (1 - epsilon) t + epsilon / K.
        size_sum: add the losses of the classes up, instead of averaging them.
        weight_ratio: weight the classes as above. r is counted in the data that the loss is computed on: training data
            in Loss.Train, evaluation data in Loss.Eval.
        weight: factor of this loss in the sum of all losses.
        label_ratio: share of the images that have each class, [K].

    Raises:
        ConfigError: a value is out of range.
    """

    label_kinds = frozenset({MULTI_LABEL})

    def __init__(
        self,
        epsilon: Optional[float] = None,
        size_sum: bool = False,
        weight_ratio: bool = False,
        weight: float = 1.0,
        *,
        label_ratio: Optional[np.ndarray] = None,
    ) -> None:
        super().__init__()
        self.epsilon = require_fraction("epsilon", epsilon or 0.0)
        self.size_sum = size_sum
        self.weight_ratio = weight_ratio
        self.weight = require_non_negative("weight", weight)
        self.label_ratio = label_ratio

    def sample_losses(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return each sample's loss, float32 [B], for logits [B, K] and targets from 0 to 1, [B, K].

        Raises:
            ConfigError: ``weight_ratio`` without ``label_ratio``.
            ValueError: the targets have another shape or type.
        """
        targets = multilabel_targets(logits, labels)
        losses = F.binary_cross_entropy_with_logits(
            logits.astype("float32"), smoothed(targets, self.epsilon), reduction="none"
        )
        if self.weight_ratio:
            losses = losses * rarity_weights("MultiLabelLoss", targets, self.label_ratio)
        return losses.sum(-1) if self.size_sum else losses.mean(-1)


def rarity_weights(owner: str, targets: paddle.Tensor, label_ratio: Optional[np.ndarray]) -> paddle.Tensor:
    """Return the weights of ``MultiLabelLoss.weight_ratio`` for targets [B, K].

    Args:
        owner: the loss that needs them, for messages.
        label_ratio: see ``MultiLabelLoss``.

    Raises:
        ConfigError: there is no ``label_ratio``.
    """
    if label_ratio is None:
        raise ConfigError(f"{owner}.weight_ratio: needs the data set's label_ratio: true")
    ratio = paddle.to_tensor(label_ratio, dtype="float32")
    return targets * paddle.exp(1 - ratio) + (1 - targets) * paddle.exp(ratio)
