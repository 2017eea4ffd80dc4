"""Evaluation with test-time augmentation: the losses and metrics of averaged probabilities."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

_SMALLEST = float(np.finfo(np.float32).tiny)
_SMALLEST_REST = float(np.finfo(np.float32).epsneg)  # of 1 - p


def to_logits(probabilities: paddle.Tensor, multilabel: bool) -> paddle.Tensor:
    """Return logits [B, K] of probabilities [B, K], up to a constant that a softmax does not see.

    The logarithms of a softmax's probabilities are logits: they differ from the model's logits z by the constant
    log(sum(exp(z))), which changes neither the softmax nor the order of the classes. A sigmoid's probability p has the
    logit log(p / (1 - p)). A probability that was rounded to 0 counts as the smallest normal number, and a sigmoid's
    that was rounded to 1 as the largest below 1, so losses are bounded.
    """
    logits = paddle.log(probabilities.clip(min=_SMALLEST))
    return logits - paddle.log((1 - probabilities).clip(min=_SMALLEST_REST)) if multilabel else logits


class AveragedViews(nn.Layer):
    """A model whose answer is the mean of its probabilities for several views of each image.

    Args:
        model: gives logits [N, K] of images [N, C, H, W].
        views: of each image.
        multilabel: whether each class has a sigmoid.
    """

    def __init__(self, model: nn.Layer, views: int, multilabel: bool) -> None:
        super().__init__()
        self.model, self.views, self.multilabel = model, views, multilabel

    def forward(self, images: paddle.Tensor) -> paddle.Tensor:
        """Return logits [B, K] of images [views * B, C, H, W], all first views first."""
        logits = self.model(images).astype("float32")
        probabilities = F.sigmoid(logits) if self.multilabel else F.softmax(logits, axis=1)
        return to_logits(probabilities.reshape([self.views, -1, logits.shape[1]]).mean(0), self.multilabel)
