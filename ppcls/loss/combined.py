"""Several losses as one."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import paddle
from paddle import nn

from ppcls.errors import ConfigError
from ppcls.loss.base import Loss, LossAdapter
from ppcls.loss.distillation import STUDENT, DistillationLoss
from ppcls.loss.registry import LOSSES


class CombinedLoss(nn.Layer):
    """The losses whose weighted sum is minimised.

    Args:
        losses: (name, loss) pairs.
        student: name of the recipe's model in distillation losses.
    """

    def __init__(self, losses: Sequence[Tuple[str, Union[Loss, DistillationLoss]]], student: str = STUDENT) -> None:
        super().__init__()
        self.student = student
        self.names = [name for name, _ in losses]
        self.losses = nn.LayerList([loss for _, loss in losses])

    @property
    def is_weighted(self) -> bool:
        """Whether the samples of any loss have weights; otherwise each counts 1."""
        return any(isinstance(loss, Loss) and loss.is_weighted for loss in self.losses)

    def per_sample(
        self,
        logits: paddle.Tensor,
        labels: paddle.Tensor,
        others: Optional[Mapping[str, paddle.Tensor]] = None,
    ) -> Dict[str, Tuple[paddle.Tensor, paddle.Tensor]]:
        """Return (losses times the loss's weight, sample weights) by the loss's name, all float32 [B].

        The loss over any set of samples, such as several batches or processes, is the sum of their losses over the sum
        of their weights.

        Args:
            logits: [B, K].
            labels: [B] or [B, K].
            others: logits of other models by name, for losses of several models.
        """
        parts = {}
        for name, loss in zip(self.names, self.losses):
            if isinstance(loss, DistillationLoss):
                losses, weights = loss.sample_losses({self.student: logits, **(others or {})}, labels), None
            else:
                losses, weights = loss.sample_losses(logits, labels), loss.sample_weights(logits, labels)
            losses = losses * loss.weight
            parts[name] = (losses, paddle.ones_like(losses) if weights is None else weights)
        return parts


def build_loss(
    components: Sequence[Mapping[str, Optional[Mapping[str, Any]]]],
    class_num: Optional[int] = None,
    train_labels: Optional[np.ndarray] = None,
    label_ratio: Optional[np.ndarray] = None,
    student: str = STUDENT,
) -> CombinedLoss:
    """Build the losses of a recipe's ``Loss.Train`` or ``Loss.Eval``.

    Args:
        components: single-key maps from a loss's name to its arguments.
        class_num: number of classes of the model; None skips the checks that need it.
        train_labels: labels of the training data, integer [N], for losses that depend on them; None in evaluation.
        label_ratio: share of the images that have each class, [K], of multi-label data; see ``Dataset.label_ratio``.
        student: name of the recipe's model in distillation losses.

    Raises:
        ConfigError: there is no loss, a loss is listed twice or unknown, or its arguments are wrong.
    """
    if not components:
        raise ConfigError(
            f"no loss given; write for example [{{CELoss: {{weight: 1.0}}}}] ({', '.join(LOSSES.names())})"
        )
    losses: Dict[str, Union[Loss, DistillationLoss]] = {}
    for index, component in enumerate(components):
        if len(component) != 1:
            raise ConfigError(f"[{index}]: must be one loss and its arguments, not {sorted(component) or 'nothing'}")
        ((name, args),) = component.items()
        if name in losses:
            raise ConfigError(f"[{index}]: {name} is listed twice")
        loss = LOSSES.build(name, args, class_num=class_num, train_labels=train_labels, label_ratio=label_ratio)
        source = LOSSES[name].source
        losses[name] = loss if source is None else LossAdapter(name, loss, source)
    return CombinedLoss(list(losses.items()), student)
