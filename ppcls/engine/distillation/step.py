"""Distillation in a training step."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Tuple

import paddle

from ppcls.config.schema import DistillationSection
from ppcls.loss import CombinedLoss, DistillationKLDivLoss, DistillationLoss, HardDistillationLoss

NAME = "Distillation"  # of the loss that Distillation.teacher adds
TEACHER = "Teacher"  # what that loss calls the teacher
_TEMPERATURE = 3.0  # DeiT's


class Distillation:
    """A recipe's losses, some of them between the logits of several models.

    Args:
        criterion: the losses.
        frozen: models that are not trained, by name; they stay in evaluation mode.
        trained: models that are trained beside the recipe's own, by name.
    """

    def __init__(
        self,
        criterion: CombinedLoss,
        frozen: Mapping[str, paddle.nn.Layer],
        trained: Mapping[str, paddle.nn.Layer],
    ) -> None:
        self.names: List[str] = criterion.names
        self.is_weighted: bool = criterion.is_weighted
        self._criterion = criterion
        self._frozen, self._trained = dict(frozen), dict(trained)
        self._logits: Dict[str, paddle.Tensor] = {}
        for model in frozen.values():
            model.eval()
            for parameter in model.parameters():
                parameter.stop_gradient = True

    def run_models(self, images: paddle.Tensor) -> None:
        """Compute the other models' logits for a batch (after mixing), for ``per_sample``."""
        with paddle.no_grad():
            self._logits = {name: model(images).astype("float32") for name, model in self._frozen.items()}
        self._logits.update((name, model(images)) for name, model in self._trained.items())

    def per_sample(
        self, logits: paddle.Tensor, labels: paddle.Tensor
    ) -> Dict[str, Tuple[paddle.Tensor, paddle.Tensor]]:
        """Return (weighted losses, sample weights) under each loss's name, as ``CombinedLoss.per_sample`` does."""
        others, self._logits = self._logits, {}
        return self._criterion.per_sample(logits, labels, others)


def with_teacher(criterion: CombinedLoss, settings: DistillationSection) -> CombinedLoss:
    """Return (1 - alpha) times a recipe's losses, and alpha times the distance from a teacher's answers.

    "soft": temperature^2 KL(teacher || student) of softmax(logits / temperature), https://arxiv.org/abs/1503.02531
    (section 2); "hard": the cross-entropy with the teacher's decisions, https://arxiv.org/abs/2012.12877 (section 4).
    Both are means over the images.

    Args:
        criterion: the recipe's losses; their weights are changed.
        settings: the recipe's ``Distillation``, with a teacher.
    """
    pairs = [[criterion.student, TEACHER]]
    distance: DistillationLoss = HardDistillationLoss(pairs, weight=settings.alpha)
    if settings.kind == "soft":
        temperature = settings.temperature or _TEMPERATURE
        distance = DistillationKLDivLoss(pairs, temperature, weight=settings.alpha)
    losses: List[Any] = list(criterion.losses)
    for loss in losses:
        loss.weight *= 1 - settings.alpha
    return CombinedLoss([*zip(criterion.names, losses), (NAME, distance)])
