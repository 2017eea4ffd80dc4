"""Losses of several models on the same images: knowledge distillation and mutual learning.

The names and arguments are PaddleClas's. Each loss compares logits, and is a mean over the images, so that it stays
exact where batches are divided between processes or accumulated.
"""

from __future__ import annotations

from typing import ClassVar, FrozenSet, Literal, Mapping, Optional, Sequence, Tuple

import numpy as np
import paddle
from paddle import nn
from paddle.nn import functional as F

from ppcls.errors import ConfigError
from ppcls.loss.base import MULTI_LABEL, SINGLE_LABEL, Loss
from ppcls.loss.ce import CELoss
from ppcls.loss.multilabel import MultiLabelLoss, rarity_weights
from ppcls.loss.registry import LOSSES
from ppcls.loss.targets import multilabel_targets
from ppcls.registry.checks import require_non_negative

STUDENT = "Student"  # what losses call the model that is evaluated, unless the recipe gives it another name
_SMALLEST = 1e-12  # PaddleClas's, added to both probabilities of a quotient


class DistillationLoss(nn.Layer):
    """A loss of several models. A subclass implements ``sample_losses`` and sets ``compared_models``.

    Attributes:
        weight: factor of this loss in the sum of all losses.
        compared_models: for each term of the loss, the models that it compares.
        both_learn: whether every model of a term learns from it; otherwise only the first one does.
        label_kinds: as of ``Loss``.
    """

    weight: float = 1.0
    compared_models: Sequence[Tuple[str, ...]] = ()
    both_learn: ClassVar[bool] = False
    label_kinds: FrozenSet[str] = frozenset({SINGLE_LABEL})

    def sample_losses(self, logits: Mapping[str, paddle.Tensor], labels: paddle.Tensor) -> paddle.Tensor:
        """Return each image's loss, float32 [B].

        Args:
            logits: [B, K] by the name of the model.
            labels: classes, integer [B]; or distributions over the classes, floating-point [B, K].
        """
        raise NotImplementedError


class PairLoss(DistillationLoss):
    """A loss of pairs of models; the terms of the pairs are added up.

    Args:
        model_name_pairs: [learner, teacher] for each term.
        key: "logits" or None.
        weight: factor of this loss in the sum of all losses.

    Raises:
        ConfigError: there is no pair, a pair is not two different models, or another output than the logits is asked
            for.
    """

    def __init__(self, model_name_pairs: Sequence[Sequence[str]], key: Optional[str], weight: float) -> None:
        super().__init__()
        if not model_name_pairs:
            raise ConfigError("model_name_pairs: must be at least one pair, such as [[Student, Teacher]]")
        for pair in model_name_pairs:
            if len(pair) != 2 or pair[0] == pair[1]:
                raise ConfigError(f"model_name_pairs: must be pairs of two different models, not {list(pair)}")
        _require_logits(key)
        self.compared_models = [tuple(pair) for pair in model_name_pairs]
        self.weight = require_non_negative("weight", weight)

    def sample_losses(self, logits: Mapping[str, paddle.Tensor], labels: paddle.Tensor) -> paddle.Tensor:
        """Return each image's loss, float32 [B], for logits [B, K] by the name of the model."""
        losses = []
        for learner, teacher in self.compared_models:
            other = logits[teacher] if self.both_learn else logits[teacher].detach()
            losses.append(self.pair_losses(logits[learner].astype("float32"), other.astype("float32"), labels))
        return sum(losses[1:], losses[0])

    def pair_losses(self, student: paddle.Tensor, teacher: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return each image's loss, float32 [B], for float32 logits [B, K] of two models."""
        raise NotImplementedError


def _require_logits(key: Optional[str]) -> None:
    if key not in (None, "logits"):
        raise ConfigError(
            f"key: {key!r} names feature maps, and distillation here compares logits only; write logits, or remove key"
        )


def require_positive_temperature(temperature: float) -> float:
    """Return a temperature.

    Raises:
        ConfigError: it is not above 0.
    """
    if not temperature > 0:
        raise ConfigError(f"temperature: must be above 0, not {temperature!r}")
    return temperature


def kl_divergence(teacher: paddle.Tensor, student: paddle.Tensor) -> paddle.Tensor:
    """Return KL(p || q), [B], of log-probabilities log p and log q, [B, K]."""
    return (teacher.exp() * (teacher - student)).sum(axis=1)


class LabelLoss(DistillationLoss):
    """A loss of single models and the labels, the same for each; the models' losses are added up.

    Args:
        loss: the loss.
        model_names: the models.
        key: "logits" or None.
        weight: factor of this loss in the sum of all losses.

    Raises:
        ConfigError: no model is named, one is named twice, or another output than the logits is asked for.
    """

    def __init__(self, loss: Loss, model_names: Sequence[str], key: Optional[str], weight: float) -> None:
        super().__init__()
        if not model_names or len(set(model_names)) < len(model_names):
            raise ConfigError(f"model_names: must be different models, such as [Student], not {list(model_names)}")
        _require_logits(key)
        self.compared_models = [(name,) for name in model_names]
        self.weight = require_non_negative("weight", weight)
        self.label_kinds = loss.label_kinds
        self._loss = loss

    def sample_losses(self, logits: Mapping[str, paddle.Tensor], labels: paddle.Tensor) -> paddle.Tensor:
        """Return each image's loss, float32 [B], for logits [B, K] by the name of the model."""
        losses = [self._loss.sample_losses(logits[name], labels) for (name,) in self.compared_models]
        return sum(losses[1:], losses[0])


@LOSSES.register
class DistillationGTCELoss(LabelLoss):
    """Cross-entropy of several models with the labels.

    Args:
        model_names: the models; their losses are added up.
        epsilon: label smoothing, as in CELoss.
        key: "logits" or None.
        weight: factor of this loss in the sum of all losses.

    Raises:
        ConfigError: no model is named, one is named twice, or a value is out of range.
    """

    def __init__(
        self,
        model_names: Sequence[str],
        epsilon: Optional[float] = None,
        key: Optional[str] = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__(CELoss(epsilon), model_names, key, weight)


@LOSSES.register(injected=("label_ratio",))
class DistillationMultiLabelLoss(LabelLoss):
    """Binary cross-entropy of several models with the labels of images that may have several classes.

    Args:
        model_names: the models; their losses are added up.
        epsilon: as in MultiLabelLoss.
        size_sum: as in MultiLabelLoss.
        weight_ratio: as in MultiLabelLoss.
        key: "logits" or None.
        weight: factor of this loss in the sum of all losses.
        label_ratio: share of the images that have each class, [K].

    Raises:
        ConfigError: no model is named, one is named twice, or a value is out of range.
    """

    def __init__(
        self,
        model_names: Sequence[str],
        epsilon: Optional[float] = None,
        size_sum: bool = False,
        weight_ratio: bool = False,
        key: Optional[str] = None,
        weight: float = 1.0,
        *,
        label_ratio: Optional[np.ndarray] = None,
    ) -> None:
        loss = MultiLabelLoss(epsilon, size_sum, weight_ratio, label_ratio=label_ratio)
        super().__init__(loss, model_names, key, weight)
        self.weight_ratio = weight_ratio


@LOSSES.register
class DistillationCELoss(PairLoss):
    """Cross-entropy of a model with the probabilities of another.

    Args:
        model_name_pairs: [learner, teacher] for each term.
        key: "logits" or None.
        weight: factor of this loss in the sum of all losses.

    Raises:
        ConfigError: a value is wrong.
    """

    def __init__(
        self, model_name_pairs: Sequence[Sequence[str]], key: Optional[str] = None, weight: float = 1.0
    ) -> None:
        super().__init__(model_name_pairs, key, weight)

    def pair_losses(self, student: paddle.Tensor, teacher: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return each image's loss, float32 [B], for float32 logits [B, K] of two models."""
        return -(F.softmax(teacher, axis=1) * F.log_softmax(student, axis=1)).sum(axis=1)


@LOSSES.register
class DistillationKLDivLoss(PairLoss):
    """T^2 KL(teacher || learner) of softmax(logits / T) (https://arxiv.org/abs/1503.02531, section 2).

    Args:
        model_name_pairs: [learner, teacher] for each term.
        temperature: T, above 0.
        key: "logits" or None.
        weight: factor of this loss in the sum of all losses.

    Raises:
        ConfigError: a value is wrong.
    """

    def __init__(
        self,
        model_name_pairs: Sequence[Sequence[str]],
        temperature: float = 4.0,
        key: Optional[str] = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__(model_name_pairs, key, weight)
        self.temperature = require_positive_temperature(temperature)

    def pair_losses(self, student: paddle.Tensor, teacher: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return each image's loss, float32 [B], for float32 logits [B, K] of two models."""
        log_p, log_q = (F.log_softmax(logits / self.temperature, axis=1) for logits in (teacher, student))
        return self.temperature**2 * kl_divergence(log_p, log_q)


@LOSSES.register(injected=("label_ratio",))
class DistillationDMLLoss(PairLoss):
    """Half of KL(p || q) + KL(q || p), from which both models learn (https://arxiv.org/abs/1706.00384).

    As in PaddleClas, 1e-12 is added to both probabilities of a quotient, and without ``sum_across_class_dim`` the terms
    of the K classes are added up, while with it they are added up and multiplied by K.

    Args:
        model_name_pairs: the two models of each term.
        act: what makes probabilities of logits; None takes the outputs of the models as they are.
        sum_across_class_dim: see above.
        weight_ratio: weight the classes as MultiLabelLoss does; for images that may have several.
        key: "logits" or None.
        weight: factor of this loss in the sum of all losses.
        label_ratio: share of the images that have each class, [K].

    Raises:
        ConfigError: a value is wrong.
    """

    both_learn = True

    def __init__(
        self,
        model_name_pairs: Sequence[Sequence[str]],
        act: Optional[Literal["softmax", "sigmoid"]] = "softmax",
        sum_across_class_dim: bool = False,
        weight_ratio: bool = False,
        key: Optional[str] = None,
        weight: float = 1.0,
        *,
        label_ratio: Optional[np.ndarray] = None,
    ) -> None:
        super().__init__(model_name_pairs, key, weight)
        self.label_kinds = frozenset({MULTI_LABEL} if weight_ratio else {SINGLE_LABEL, MULTI_LABEL})
        self.weight_ratio = weight_ratio
        self.label_ratio = label_ratio
        self.act = act
        self.sum_across_class_dim = sum_across_class_dim

    def pair_losses(self, student: paddle.Tensor, teacher: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return each image's loss, float32 [B], for float32 logits [B, K] of two models."""
        p, q = self._probabilities(student), self._probabilities(teacher)
        quotient = paddle.log((p + _SMALLEST) / (q + _SMALLEST))
        divergences = (p - q) * quotient / 2
        if self.weight_ratio:
            targets = multilabel_targets(student, labels)
            divergences = divergences * rarity_weights(type(self).__name__, targets, self.label_ratio)
        losses = divergences.sum(axis=1)
        return losses * student.shape[1] if self.sum_across_class_dim else losses

    def _probabilities(self, logits: paddle.Tensor) -> paddle.Tensor:
        if self.act == "softmax":
            return F.softmax(logits, axis=1)
        return F.sigmoid(logits) if self.act == "sigmoid" else logits


class HardDistillationLoss(PairLoss):
    """Cross-entropy of a model with the decisions of another (https://arxiv.org/abs/2012.12877, section 4).

    Args:
        model_name_pairs: [learner, teacher] for each term.
        weight: factor of this loss in the sum of all losses.
    """

    def __init__(self, model_name_pairs: Sequence[Sequence[str]], weight: float = 1.0) -> None:
        super().__init__(model_name_pairs, None, weight)

    def pair_losses(self, student: paddle.Tensor, teacher: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return each image's loss, float32 [B], for float32 logits [B, K] of two models."""
        return F.cross_entropy(student, teacher.argmax(axis=1), reduction="none").flatten()
