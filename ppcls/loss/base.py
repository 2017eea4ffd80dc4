"""What a loss is: a mean over samples, of which several processes can each compute a part."""

from __future__ import annotations

from typing import Optional

import paddle
from paddle import nn

# A sum of sample weights is at least this: samples without weight have no loss, rather than 0 / 0.
MIN_WEIGHT = 1e-30


class Loss(nn.Layer):
    """The mean of ``sample_losses`` over samples; with ``sample_weights``, their sum over the sum of the weights.

    Attributes:
        weight: what the loss is multiplied by in the sum of all losses.
    """

    weight: float = 1.0

    def sample_losses(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return each sample's part, float32 [B], of logits [B, K] and labels [B] or [B, K].

        Raises:
            ValueError: the labels have another shape or type.
        """
        raise NotImplementedError

    def sample_weights(self, logits: paddle.Tensor, labels: paddle.Tensor) -> Optional[paddle.Tensor]:
        """Return how much each sample counts, float32 [B]; None where all count 1."""
        return None

    def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return the unweighted loss, a scalar of shape []; see ``sample_losses``."""
        sample_losses, sample_weights = self.sample_losses(logits, labels), self.sample_weights(logits, labels)
        return (
            sample_losses.mean()
            if sample_weights is None
            else sample_losses.sum() / paddle.clip(sample_weights.sum(), min=MIN_WEIGHT)
        )
