"""Losses where several images are made of each sample."""

from __future__ import annotations

from typing import Any, Dict, Tuple

import paddle


class MultiViewLoss:
    """The losses of a recipe for samples of several views: each loss is the mean over a sample's views.

    Args:
        criterion: the losses, see ``CombinedLoss``.
        views: number of images made of each sample.
    """

    def __init__(self, criterion: Any, views: int) -> None:
        self.names = list(criterion.names)
        self.is_weighted: bool = criterion.is_weighted
        self._criterion = criterion
        self._views = views

    def per_sample(
        self, logits: paddle.Tensor, labels: paddle.Tensor
    ) -> Dict[str, Tuple[paddle.Tensor, paddle.Tensor]]:
        """Return (losses times the loss's weight, sample weights) by the loss's name, all float32 [B].

        Args:
            logits: [views * B, K], those of all clean images first.
            labels: [B] or [B, K].
        """
        tiled = paddle.tile(labels, [self._views, *[1] * (labels.ndim - 1)])
        parts = self._criterion.per_sample(logits, tiled)
        return {name: (self._mean(losses), self._mean(weights)) for name, (losses, weights) in parts.items()}

    def _mean(self, values: paddle.Tensor) -> paddle.Tensor:
        return values.reshape([self._views, -1]).mean(0)
