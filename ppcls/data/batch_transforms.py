"""Transforms of a whole batch: mixup and cutmix. They turn labels into soft targets.

Mixup: https://arxiv.org/abs/1710.09412. CutMix: https://arxiv.org/abs/1905.04899. Each sample is mixed with a partner
from the same batch. Its target is lambda for its own class and 1 - lambda for the partner's class, where lambda is the
sample's own weight. Label smoothing belongs to the loss (``CELoss: {epsilon: 0.1}``).
"""

from __future__ import annotations

from typing import Any, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ppcls.data.mixing import Box, area_outside, cutmix_box, minmax_box, mix_batch, mix_image
from ppcls.errors import ConfigError
from ppcls.registry import Registry, suggest
from ppcls.registry.checks import (
    require_choice,
    require_fraction,
    require_int,
    require_non_negative,
    require_positive,
    require_probability,
)

BATCH_TRANSFORMS = Registry("batch transform", trial_arguments=lambda: {"classes": None}, injectable=("class_num",))
_INJECTED = ("classes",)
_NOT_GIVEN: Mapping[str, Any] = {}  # not None, which is what a recipe gives for an operator without arguments
_MODES = ("batch", "pair", "elem")


class BatchTransform:
    """Base class of transforms that mix a batch in place.

    Args:
        class_num: number of classes given in the recipe, if any.
        classes: number of the model's classes; None if it is not known yet.
        off_epoch: first epoch (counted from 0) without mixing; 0 mixes in all epochs.

    Raises:
        ConfigError: ``class_num`` differs from ``classes``.
    """

    def __init__(self, class_num: Optional[int], classes: Optional[int], off_epoch: int = 0) -> None:
        if class_num is not None and require_int("class_num", class_num, 1) != (classes or class_num):
            raise ConfigError(f"class_num: is {class_num}, but Arch.class_num is {classes}; leave it out here")
        self.classes = classes if classes is not None else class_num
        self.off_epoch = require_int("off_epoch", off_epoch, 0)

    def __call__(self, images: np.ndarray, targets: np.ndarray, epoch: int, rng: np.random.Generator) -> None:
        """Mix images [B, C, H, W] float32 and targets [B, K] float32 in place."""
        if len(images) > 1 and not (self.off_epoch and epoch >= self.off_epoch):
            self.mix(images, targets, rng)

    def mix(self, images: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> None:
        """Mix a batch of at least two images in place."""
        raise NotImplementedError


@BATCH_TRANSFORMS.register(injected=_INJECTED)
class MixupCutmixOperator(BatchTransform):
    """Mixup or cutmix, chosen at random as in timm and DeiT. The partners are the batch in reverse order.

    Args:
        mixup_alpha: parameter of the beta distribution of mixup's lambda; 0 turns mixup off.
        cutmix_alpha: parameter of the beta distribution of cutmix's lambda; 0 turns cutmix off.
        cutmix_minmax: [smallest, largest] side of cutmix's box as a fraction of the image's side. If it is given,
            lambda follows from the box.
        prob: probability that a batch (or pair, or sample) is mixed.
        switch_prob: probability of cutmix if both are on.
        mode: "batch", "pair" or "elem": draw lambda once per batch, per pair of partners, or per sample.
        off_epoch: first epoch (counted from 0) without mixing; 0 mixes in all epochs.
        correct_lam: compute cutmix's lambda from the actual box, which may be clipped at the edges.
        class_num: number of classes; taken from Arch.class_num by default.

    Raises:
        ConfigError: an argument is invalid.
    """

    def __init__(
        self,
        mixup_alpha: float = 0.8,
        cutmix_alpha: float = 1.0,
        cutmix_minmax: Optional[Sequence[float]] = None,
        prob: float = 1.0,
        switch_prob: float = 0.5,
        mode: str = "batch",
        off_epoch: int = 0,
        correct_lam: bool = True,
        class_num: Optional[int] = None,
        *,
        classes: Optional[int],
    ) -> None:
        super().__init__(class_num, classes, off_epoch)
        mixup_alpha = require_non_negative("mixup_alpha", mixup_alpha)
        cutmix_alpha = require_non_negative("cutmix_alpha", cutmix_alpha)
        if cutmix_minmax is not None:
            if len(cutmix_minmax) != 2 or not 0 <= cutmix_minmax[0] <= cutmix_minmax[1] <= 1:
                raise ConfigError(f"cutmix_minmax: must be [low, high] from 0 to 1, not {list(cutmix_minmax)!r}")
            cutmix_alpha = cutmix_alpha or 1.0  # turns cutmix on; the box is drawn from cutmix_minmax
        if not mixup_alpha and not cutmix_alpha:
            raise ConfigError("mixup_alpha: is 0, and so is cutmix_alpha: there is nothing to mix")
        require_choice("mode", mode, _MODES)
        self.prob = require_probability("prob", prob)
        self.switch_prob = require_probability("switch_prob", switch_prob)
        self.mixup_alpha, self.cutmix_alpha = mixup_alpha, cutmix_alpha
        self.cutmix_minmax = cutmix_minmax
        self.mode = mode
        self.correct_lam = correct_lam

    def mix(self, images: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> None:
        """Mix a batch of at least two images in place."""
        partner = np.arange(len(images))[::-1]
        if self.mode == "batch":
            lam, box = self._draw_lambda_and_box(images.shape[2], images.shape[3], rng)
            mix_batch(images, targets, partner, lam, box)
            return
        originals, original_targets = images.copy(), targets.copy()
        count = len(images) // 2 if self.mode == "pair" else len(images)
        for first in range(count):
            rows = [first, len(images) - 1 - first] if self.mode == "pair" else [first]
            lam, box = self._draw_lambda_and_box(images.shape[2], images.shape[3], rng)
            for row in rows:
                mix_image(images[row], originals[partner[row]], lam, box)
                targets[row] = lam * original_targets[row] + (1 - lam) * original_targets[partner[row]]

    def _draw_lambda_and_box(self, height: int, width: int, rng: np.random.Generator) -> Tuple[float, Optional[Box]]:
        """Return lambda and, for cutmix, the box that is taken from the partner."""
        if rng.random() >= self.prob:
            return 1.0, None
        use_cutmix = not self.mixup_alpha or (self.cutmix_alpha > 0 and rng.random() < self.switch_prob)
        if not use_cutmix:
            return float(rng.beta(self.mixup_alpha, self.mixup_alpha)), None
        if self.cutmix_minmax is not None:
            box = minmax_box(height, width, self.cutmix_minmax, rng)
            return area_outside(height, width, box), box
        lam = float(rng.beta(self.cutmix_alpha, self.cutmix_alpha))
        box = cutmix_box(height, width, lam, rng)
        return (area_outside(height, width, box) if self.correct_lam else lam), box


@BATCH_TRANSFORMS.register(injected=_INJECTED)
class MixupCutmixHybrid(MixupCutmixOperator):
    """MixupCutmixOperator with the arguments of PaddleClas, which also smooths the targets.

    Args:
        mixup_alpha: see ``MixupCutmixOperator``.
        cutmix_alpha: see ``MixupCutmixOperator``.
        cutmix_minmax: see ``MixupCutmixOperator``.
        prob: see ``MixupCutmixOperator``.
        switch_prob: see ``MixupCutmixOperator``.
        mode: see ``MixupCutmixOperator``.
        correct_lam: see ``MixupCutmixOperator``.
        label_smoothing: part of each target that is spread over all classes. The loss needs no ``epsilon`` then.
        num_classes: number of classes; taken from Arch.class_num by default.

    Raises:
        ConfigError: an argument is invalid.
    """

    def __init__(
        self,
        mixup_alpha: float = 1.0,
        cutmix_alpha: float = 0.0,
        cutmix_minmax: Optional[Sequence[float]] = None,
        prob: float = 1.0,
        switch_prob: float = 0.5,
        mode: str = "batch",
        correct_lam: bool = True,
        label_smoothing: float = 0.1,
        num_classes: Optional[int] = None,
        *,
        classes: Optional[int],
    ) -> None:
        if num_classes is not None and require_int("num_classes", num_classes, 1) != (classes or num_classes):
            raise ConfigError(f"num_classes: is {num_classes}, but Arch.class_num is {classes}; leave it out here")
        super().__init__(
            mixup_alpha,
            cutmix_alpha,
            cutmix_minmax,
            prob,
            switch_prob,
            mode,
            correct_lam=correct_lam,
            classes=classes if classes is not None else num_classes,
        )
        self.label_smoothing = require_fraction("label_smoothing", label_smoothing)

    def __call__(self, images: np.ndarray, targets: np.ndarray, epoch: int, rng: np.random.Generator) -> None:
        """Mix images [B, C, H, W] float32 and targets [B, K] float32 in place, and smooth the targets."""
        super().__call__(images, targets, epoch, rng)
        targets *= np.float32(1 - self.label_smoothing)
        targets += np.float32(self.label_smoothing / targets.shape[1])


@BATCH_TRANSFORMS.register(injected=_INJECTED)
class MixupOperator(BatchTransform):
    """Mixup of a batch with a random permutation of itself.

    Args:
        class_num: number of classes; taken from Arch.class_num by default.
        alpha: parameter of the beta distribution of lambda.
        off_epoch: first epoch (counted from 0) without mixing; 0 mixes in all epochs.

    Raises:
        ConfigError: an argument is invalid.
    """

    def __init__(
        self, class_num: Optional[int] = None, alpha: float = 1.0, off_epoch: int = 0, *, classes: Optional[int]
    ) -> None:
        super().__init__(class_num, classes, off_epoch)
        self.alpha = require_positive("alpha", alpha)

    def mix(self, images: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> None:
        """Mix a batch of at least two images in place."""
        lam = float(rng.beta(self.alpha, self.alpha))
        mix_batch(images, targets, rng.permutation(len(images)), lam, None)


@BATCH_TRANSFORMS.register(injected=_INJECTED)
class CutmixOperator(BatchTransform):
    """Cutmix of a batch with a random permutation of itself. Lambda is the fraction of pixels that are kept.

    Args:
        class_num: number of classes; taken from Arch.class_num by default.
        alpha: parameter of the beta distribution of the area that is kept.
        off_epoch: first epoch (counted from 0) without mixing; 0 mixes in all epochs.

    Raises:
        ConfigError: an argument is invalid.
    """

    def __init__(
        self, class_num: Optional[int] = None, alpha: float = 0.2, off_epoch: int = 0, *, classes: Optional[int]
    ) -> None:
        super().__init__(class_num, classes, off_epoch)
        self.alpha = require_positive("alpha", alpha)

    def mix(self, images: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> None:
        """Mix a batch of at least two images in place."""
        height, width = images.shape[2:]
        box = cutmix_box(height, width, float(rng.beta(self.alpha, self.alpha)), rng)
        mix_batch(images, targets, rng.permutation(len(images)), area_outside(height, width, box), box)


@BATCH_TRANSFORMS.register(injected=_INJECTED)
class OpSampler(BatchTransform):
    """Applies one of several batch transforms, each with probability ``prob``, or none if these add up to less than 1.

    Args:
        MixupOperator: its arguments, and ``prob``.
        CutmixOperator: its arguments, and ``prob``.
        class_num: number of classes; taken from Arch.class_num by default.

    Raises:
        ConfigError: there is nothing to choose from, a ``prob`` is missing, they add up to more than 1, or an argument
            of an operator is invalid.
    """

    def __init__(
        self,
        MixupOperator: Mapping[str, Any] = _NOT_GIVEN,  # noqa: N803 - the arguments are named after the operators
        CutmixOperator: Mapping[str, Any] = _NOT_GIVEN,  # noqa: N803
        class_num: Optional[int] = None,
        *,
        classes: Optional[int],
    ) -> None:
        super().__init__(class_num, classes)
        named = {"MixupOperator": MixupOperator, "CutmixOperator": CutmixOperator}
        operators = {name: arguments for name, arguments in named.items() if arguments is not _NOT_GIVEN}
        if not operators:
            raise ConfigError("MixupOperator: give it, or CutmixOperator, with its prob")
        self.probabilities = [_probability_of(name, arguments) for name, arguments in operators.items()]
        if sum(self.probabilities) > 1 + 1e-9:
            raise ConfigError(
                f"{list(operators)[-1]}: the probabilities add up to {sum(self.probabilities):g}, more than 1"
            )
        self.ops = [
            BATCH_TRANSFORMS.build(name, {key: arguments[key] for key in arguments if key != "prob"}, classes=classes)
            for name, arguments in operators.items()
        ]

    def __call__(self, images: np.ndarray, targets: np.ndarray, epoch: int, rng: np.random.Generator) -> None:
        """Mix images [B, C, H, W] float32 and targets [B, K] float32 in place, or leave them unchanged."""
        index = int(np.searchsorted(np.cumsum(self.probabilities), rng.random(), side="right"))
        if index < len(self.ops):
            self.ops[index](images, targets, epoch, rng)


def _probability_of(name: str, arguments: Mapping[str, Any]) -> float:
    """Return the ``prob`` among an operator's arguments.

    Raises:
        ConfigError: it is missing or out of range, or another argument is unknown.
    """
    allowed = [*(parameter.name for parameter in BATCH_TRANSFORMS[name].parameters()), "prob"]
    for key in arguments:
        if key not in allowed:
            raise ConfigError(f"{name}: unknown argument {key!r}{suggest(key, allowed)}")
    if "prob" not in arguments:
        raise ConfigError(f"{name}: prob is missing: give the probability with which it is applied")
    try:
        return require_probability("prob", arguments["prob"])
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


class BatchCompose:
    """A recipe's ``batch_transform_ops``, applied in order.

    Args:
        ops: single-key mappings of a name to its arguments.
        classes: number of the model's classes.

    Raises:
        ConfigError: an entry has another form, or an argument is invalid.
    """

    def __init__(self, ops: Sequence[Mapping[str, Optional[Mapping[str, Any]]]], classes: int) -> None:
        self.classes = classes
        self.ops: List[BatchTransform] = []
        for index, op in enumerate(ops):
            if not isinstance(op, Mapping) or len(op) != 1:
                raise ConfigError(f"batch_transform_ops[{index}]: must be one `name: arguments` map, not {op!r}")
            ((name, arguments),) = op.items()
            try:
                self.ops.append(BATCH_TRANSFORMS.build(name, arguments, classes=classes, class_num=classes))
            except ConfigError as error:
                raise ConfigError(f"batch_transform_ops[{index}].{error}") from None

    def __call__(self, images: np.ndarray, labels: np.ndarray, epoch: int, rng: np.random.Generator) -> np.ndarray:
        """Mix images [B, C, H, W] float32 in place; return soft targets [B, K] float32 for labels [B] or [B, K].

        The targets of several classes per image are mixed like those of one: a mixed image has each class by the share
        of the images that have it.
        """
        if labels.ndim == 2:
            targets = labels.astype(np.float32)  # a copy
        else:
            targets = np.zeros((len(labels), self.classes), np.float32)
            targets[np.arange(len(labels)), labels] = 1
        for op in self.ops:
            op(images, targets, epoch, rng)
        return targets
