"""Later losses of knowledge distillation that compare logits: DKD, WSL, SKD and DIST."""

from __future__ import annotations

from typing import Optional, Sequence

import paddle
from paddle.nn import functional as F

from ppcls.errors import ConfigError
from ppcls.loss.distillation import PairLoss, kl_divergence, require_positive_temperature
from ppcls.loss.registry import LOSSES
from ppcls.loss.targets import soft_targets
from ppcls.registry.checks import require_non_negative

_MASKED = -1e4  # a logit whose class has no probability in float32
_TINY = 1e-8  # keeps quotients finite


def _target_distribution(
    logits: paddle.Tensor, teacher: paddle.Tensor, labels: paddle.Tensor, by_teacher: bool
) -> paddle.Tensor:
    """Return the targets, float32 [B, K]: the labels, or the teacher's decisions."""
    return soft_targets(logits, teacher.argmax(axis=1) if by_teacher else labels)


@LOSSES.register
class DistillationDKDLoss(PairLoss):
    """Decoupled distillation: the target class and the others are compared apart (https://arxiv.org/abs/2203.08679).

    T^2 times alpha KL of [p, 1 - p] of the target class, plus beta KL of the probabilities among the other classes
    (equation 7), of softmax(logits / T).

    Args:
        model_name_pairs: [learner, teacher] for each term.
        temperature: T, above 0.
        alpha: factor of the target class.
        beta: factor of the other classes.
        use_target_as_gt: the teacher's decision is the target class instead of the label.
        key: "logits" or None.
        weight: factor of this loss in the sum of all losses.

    Raises:
        ConfigError: a value is wrong.
    """

    def __init__(
        self,
        model_name_pairs: Sequence[Sequence[str]],
        temperature: float = 1.0,
        alpha: float = 1.0,
        beta: float = 1.0,
        use_target_as_gt: bool = False,
        key: Optional[str] = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__(model_name_pairs, key, weight)
        self.temperature = require_positive_temperature(temperature)
        self.alpha, self.beta = require_non_negative("alpha", alpha), require_non_negative("beta", beta)
        self.use_target_as_gt = use_target_as_gt

    @property
    def needs_one_class(self) -> bool:
        """Return whether images must not be mixed."""
        return not self.use_target_as_gt

    def pair_losses(self, student: paddle.Tensor, teacher: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return each image's loss, float32 [B], for float32 logits [B, K] of two models.

        Raises:
            ConfigError: the images are mixed, and so have no one target class.
        """
        if paddle.is_floating_point(labels) and not self.use_target_as_gt:
            raise ConfigError(
                "DistillationDKDLoss: mixed images have several target classes; give use_target_as_gt: true, which "
                "takes the teacher's decision, or remove the mixing from batch_transform_ops"
            )
        target = _target_distribution(student, teacher, labels, self.use_target_as_gt)  # one-hot
        binary, others = zip(*(self._decoupled(logits / self.temperature, target) for logits in (teacher, student)))
        divergence = self.alpha * kl_divergence(*binary) + self.beta * kl_divergence(*others)
        return self.temperature**2 * divergence

    @staticmethod
    def _decoupled(logits: paddle.Tensor, target: paddle.Tensor) -> Sequence[paddle.Tensor]:
        """Return log-probabilities: [B, 2] of the target and all others, and [B, K] among the others."""
        masked = paddle.where(target > 0, paddle.full_like(logits, _MASKED), logits)
        log_p = F.log_softmax(logits, axis=1)
        of_target = (log_p * target).sum(axis=1)
        of_others = paddle.logsumexp(masked, axis=1) - paddle.logsumexp(logits, axis=1)
        return paddle.stack([of_target, of_others], axis=1), F.log_softmax(masked, axis=1)


@LOSSES.register
class DistillationWSLLoss(PairLoss):
    """Soft labels, weighted by how well the teacher knows the image (https://arxiv.org/abs/2102.00650).

    T^2 times the cross-entropy of softmax(logits / T) with the teacher's, times 1 - exp(-L / L_teacher), where L are
    the cross-entropies with the labels (section 4).

    Args:
        model_name_pairs: [learner, teacher] for each term.
        temperature: T, above 0.
        key: "logits" or None.
        weight: factor of this loss in the sum of all losses.

    Raises:
        ConfigError: a value is wrong.
    """

    both_learn = True

    def __init__(
        self,
        model_name_pairs: Sequence[Sequence[str]],
        temperature: float = 2.0,
        key: Optional[str] = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__(model_name_pairs, key, weight)
        self.temperature = require_positive_temperature(temperature)

    def pair_losses(self, student: paddle.Tensor, teacher: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return each image's loss, float32 [B], for float32 logits [B, K] of two models."""
        targets = soft_targets(student, labels)
        with paddle.no_grad():
            student_loss, teacher_loss = (
                -(targets * F.log_softmax(logits, axis=1)).sum(axis=1) for logits in (student, teacher)
            )
            importance = 1 - paddle.exp(-student_loss / (teacher_loss + 1e-7))
        soft = F.softmax(teacher / self.temperature, axis=1)
        losses = -(soft * F.log_softmax(student / self.temperature, axis=1)).sum(axis=1)
        return self.temperature**2 * importance * losses


@LOSSES.register
class DistillationSKDLoss(PairLoss):
    """Spherical distillation: logits of equal mean and norm are compared (https://arxiv.org/abs/2010.07485).

    alpha T^2 times the cross-entropy of softmax(z / T) with the teacher's, plus 1 - alpha times the cross-entropy with
    the label, where z are logits shifted and scaled to mean 0 and variance ``multiplier`` squared.

    Args:
        model_name_pairs: [learner, teacher] for each term.
        temperature: T, above 0.
        multiplier: standard deviation of the logits of an image.
        alpha: share of the teacher, from 0 to 1.
        use_target_as_gt: the teacher's decision is the target class instead of the label.
        key: "logits" or None.
        weight: factor of this loss in the sum of all losses.

    Raises:
        ConfigError: a value is wrong.
    """

    both_learn = True

    def __init__(
        self,
        model_name_pairs: Sequence[Sequence[str]],
        temperature: float = 1.0,
        multiplier: float = 2.0,
        alpha: float = 0.9,
        use_target_as_gt: bool = False,
        key: Optional[str] = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__(model_name_pairs, key, weight)
        self.temperature = require_positive_temperature(temperature)
        self.multiplier = require_non_negative("multiplier", multiplier)
        if not 0 <= alpha <= 1:
            raise ConfigError(f"alpha: must be from 0 to 1, not {alpha!r}")
        self.alpha = alpha
        self.use_target_as_gt = use_target_as_gt

    def pair_losses(self, student: paddle.Tensor, teacher: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return each image's loss, float32 [B], for float32 logits [B, K] of two models."""
        targets = _target_distribution(student, teacher, labels, self.use_target_as_gt)
        student, teacher = self._normalized(student), self._normalized(teacher)
        soft = F.softmax(teacher / self.temperature, axis=1)
        distilled = -(soft * F.log_softmax(student / self.temperature, axis=1)).sum(axis=1) * self.temperature**2
        labelled = -(targets * F.log_softmax(student, axis=1)).sum(axis=1)
        return self.alpha * distilled + (1 - self.alpha) * labelled

    def _normalized(self, logits: paddle.Tensor) -> paddle.Tensor:
        return F.layer_norm(logits, logits.shape[1:], epsilon=1e-7) * self.multiplier


@LOSSES.register
class DistillationDISTLoss(PairLoss):
    """Correlations of the probabilities instead of their distance (https://arxiv.org/abs/2205.10536).

    beta (1 - correlation over the classes, for each image), plus gamma (1 - correlation over the images, averaged over
    the classes; equations 8 to 10). The images of the latter are those that one process has in one batch: it is the
    same number for each of them, and depends on the batch size and the number of processes.

    Args:
        model_name_pairs: [learner, teacher] for each term.
        beta: factor of the relations between classes.
        gamma: factor of the relations between images.
        key: "logits" or None.
        weight: factor of this loss in the sum of all losses.

    Raises:
        ConfigError: a value is wrong.
    """

    both_learn = True

    def __init__(
        self,
        model_name_pairs: Sequence[Sequence[str]],
        beta: float = 1.0,
        gamma: float = 1.0,
        key: Optional[str] = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__(model_name_pairs, key, weight)
        self.beta, self.gamma = require_non_negative("beta", beta), require_non_negative("gamma", gamma)

    def pair_losses(self, student: paddle.Tensor, teacher: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return each image's loss, float32 [B], for float32 logits [B, K] of two models."""
        student, teacher = F.softmax(student, axis=1), F.softmax(teacher, axis=1)
        between_classes = 1 - _correlation(student, teacher, axis=1)  # [B]
        between_images = 1 - _correlation(student, teacher, axis=0).mean()
        return self.beta * between_classes + self.gamma * between_images


def _correlation(a: paddle.Tensor, b: paddle.Tensor, axis: int) -> paddle.Tensor:
    """Return Pearson's correlation along an axis, 0 where a side does not vary."""
    a, b = (values - values.mean(axis=axis, keepdim=True) for values in (a, b))
    # Below the root, where its gradient would not be finite at 0.
    norms = [paddle.sqrt((values * values).sum(axis=axis) + _TINY**2) for values in (a, b)]
    return (a * b).sum(axis=axis) / (norms[0] * norms[1] + _TINY)
