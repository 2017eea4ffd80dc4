"""Several losses as one."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np
import paddle
from paddle import nn

from ppcls.errors import ConfigError
from ppcls.loss.base import Loss, LossAdapter
from ppcls.loss.registry import LOSSES


class CombinedLoss(nn.Layer):
    """The weighted sum of losses.

    Args:
        losses: each with its name.
    """

    def __init__(self, losses: Sequence[Tuple[str, Loss]]) -> None:
        super().__init__()
        self.names = [name for name, _ in losses]
        self.losses = nn.LayerList([loss for _, loss in losses])

    def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> Dict[str, paddle.Tensor]:
        """Return each weighted loss under its name and their sum as ``loss``, all scalars of shape []."""
        values = {name: loss(logits, labels) * loss.weight for name, loss in zip(self.names, self.losses)}
        total = sum(values.values())
        return {**values, "loss": total}

    def per_sample(
        self, logits: paddle.Tensor, labels: paddle.Tensor
    ) -> Dict[str, Tuple[paddle.Tensor, paddle.Tensor]]:
        """Return (weighted losses, sample weights) of the samples under each loss's name, all float32 [B].

        A loss over any samples, of several batches or processes, is the sum of their losses over that of their weights.
        """
        found = {}
        for name, loss in zip(self.names, self.losses):
            losses, weights = loss.sample_losses(logits, labels) * loss.weight, loss.sample_weights(logits, labels)
            found[name] = (losses, paddle.ones_like(losses) if weights is None else weights)
        return found


def build_loss(
    components: Sequence[Mapping[str, Optional[Mapping[str, Any]]]],
    class_num: Optional[int] = None,
    train_labels: Optional[np.ndarray] = None,
) -> CombinedLoss:
    """Build the losses of a recipe's ``Loss.Train`` or ``Loss.Eval``.

    Args:
        components: single-key maps from a loss's name to its arguments.
        class_num: how many classes the model has; None does not check what depends on it.
        train_labels: of the training data, integer [N], for what follows from them; None in evaluation.

    Raises:
        ConfigError: no loss, one loss twice, an unknown one or one with wrong arguments.
    """
    if not components:
        raise ConfigError(
            f"no loss given; write for example [{{CELoss: {{weight: 1.0}}}}] ({', '.join(LOSSES.names())})"
        )
    losses: Dict[str, Loss] = {}
    for index, component in enumerate(components):
        if len(component) != 1:
            raise ConfigError(f"[{index}]: expected one loss and its arguments, got {sorted(component) or 'nothing'}")
        ((name, args),) = component.items()
        if name in losses:
            raise ConfigError(f"[{index}]: {name} stands here twice")
        loss = LOSSES.build(name, args, class_num=class_num, train_labels=train_labels)
        losses[name] = loss if isinstance(loss, Loss) else LossAdapter(name, loss)
    return CombinedLoss(list(losses.items()))
