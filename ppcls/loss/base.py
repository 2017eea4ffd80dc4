"""What a loss is: a mean over samples, of which several processes can each compute a part."""

from __future__ import annotations

from typing import Optional

import paddle
from paddle import nn

# What a sum of masses is taken for when it is 0: samples that weigh nothing have no loss, rather than 0 / 0.
NO_MASS = 1e-30


class Loss(nn.Layer):
    """The mean of ``terms`` over samples; where samples count unequally, their sum over that of ``masses``.

    Attributes:
        weight: what the loss is multiplied by in the sum of all losses.
    """

    weight: float = 1.0

    def terms(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return each sample's part, float32 [B], of logits [B, K] and labels [B] or [B, K].

        Raises:
            ValueError: the labels have another shape or type.
        """
        raise NotImplementedError

    def masses(self, logits: paddle.Tensor, labels: paddle.Tensor) -> Optional[paddle.Tensor]:
        """Return how much each sample counts, float32 [B]; None where all count 1."""
        return None

    def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return the unweighted loss, a scalar of shape []; see ``terms``."""
        terms, masses = self.terms(logits, labels), self.masses(logits, labels)
        return terms.mean() if masses is None else terms.sum() / paddle.clip(masses.sum(), min=NO_MASS)
