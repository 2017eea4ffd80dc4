"""Transforms of a whole batch: mixup and cutmix. They make soft targets of labels.

Mixup, https://arxiv.org/abs/1710.09412; CutMix, https://arxiv.org/abs/1905.04899. Each sample is paired with another of
the batch; with lambda the share of the sample itself, its target is lambda of its own class and 1 - lambda of the
other's. Labels are smoothed by the loss (``CELoss: {epsilon: 0.1}``), not here.
"""

from __future__ import annotations

import math
from typing import Any, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ppcls.data.transforms.arguments import check_choice, integer, number, probability
from ppcls.errors import ConfigError
from ppcls.registry import Registry, suggest

BATCH_TRANSFORMS = Registry("batch transform", trial=lambda: {"classes": None}, offers=("class_num",))
_PROVIDED = ("classes",)
_ABSENT: Mapping[str, Any] = {}  # not None: a recipe that names an operator without arguments means it to be there
_MODES = ("batch", "pair", "elem")


class BatchTransform:
    """Base: mixes a batch in place.

    Args:
        class_num: of the recipe; None takes it from there.
        classes: how many classes the model has; None where it is not known yet.
        off_epoch: no mixing from this epoch on, counted from 0; 0 never turns it off.

    Raises:
        ConfigError: ``class_num`` is not the model's.
    """

    def __init__(self, class_num: Optional[int], classes: Optional[int], off_epoch: int = 0) -> None:
        if class_num is not None and integer("class_num", class_num, 1) != (classes or class_num):
            raise ConfigError(f"class_num: is {class_num}, but Arch.class_num is {classes}; leave it out here")
        self.classes = classes if classes is not None else class_num
        self.off_epoch = integer("off_epoch", off_epoch, 0)

    def __call__(self, images: np.ndarray, targets: np.ndarray, epoch: int, rng: np.random.Generator) -> None:
        """Mix images [B, C, H, W] float32 and targets [B, K] float32 in place."""
        if len(images) > 1 and not (self.off_epoch and epoch >= self.off_epoch):
            self.mix(images, targets, rng)

    def mix(self, images: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> None:
        """Mix a batch of at least two."""
        raise NotImplementedError


@BATCH_TRANSFORMS.register(provided=_PROVIDED)
class MixupCutmixOperator(BatchTransform):
    """Mixup or cutmix, as timm and DeiT choose between them; the partner is the batch read backwards.

    Args:
        mixup_alpha: of the beta distribution of mixup's lambda; 0 for no mixup.
        cutmix_alpha: of cutmix's; 0 for no cutmix.
        cutmix_minmax: [smallest, largest] share of a side that cutmix cuts out; then lambda follows from the box.
        prob: how likely a batch (or pair, or sample) is mixed.
        switch_prob: how likely it is cutmix, where both are on.
        mode: one lambda a "batch", a "pair" (of samples that swap), or a sample ("elem").
        off_epoch: no mixing from this epoch on, counted from 0; 0 never turns it off.
        correct_lam: lambda is the share of pixels that cutmix leaves, also where its box is cut off at an edge.
        class_num: of the model; it follows from Arch.class_num.

    Raises:
        ConfigError: a value makes no sense.
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
        for name, alpha in (("mixup_alpha", mixup_alpha), ("cutmix_alpha", cutmix_alpha)):
            if number(name, alpha) < 0:
                raise ConfigError(f"{name}: must be at least 0, not {alpha!r}")
        if cutmix_minmax is not None:
            if len(cutmix_minmax) != 2 or not 0 <= cutmix_minmax[0] <= cutmix_minmax[1] <= 1:
                raise ConfigError(f"cutmix_minmax: must be [low, high] from 0 to 1, not {list(cutmix_minmax)!r}")
            cutmix_alpha = cutmix_alpha or 1.0  # the box is drawn from its limits
        if not mixup_alpha and not cutmix_alpha:
            raise ConfigError("mixup_alpha: is 0, and so is cutmix_alpha: there is nothing to mix")
        check_choice("mode", mode, _MODES)
        self.prob = probability("prob", prob)
        self.switch_prob = probability("switch_prob", switch_prob)
        self.mixup_alpha, self.cutmix_alpha = float(mixup_alpha), float(cutmix_alpha)
        self.cutmix_minmax = cutmix_minmax
        self.mode = mode
        self.correct_lam = correct_lam

    def mix(self, images: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> None:
        """Mix a batch of at least two."""
        partner = np.arange(len(images))[::-1]
        if self.mode == "batch":
            lam, box = self._draw(images.shape[2], images.shape[3], rng)
            mix_batch(images, targets, partner, lam, box)
            return
        originals, original_targets = images.copy(), targets.copy()
        count = len(images) // 2 if self.mode == "pair" else len(images)
        for first in range(count):
            rows = [first, len(images) - 1 - first] if self.mode == "pair" else [first]
            lam, box = self._draw(images.shape[2], images.shape[3], rng)
            for row in rows:
                _mix_one(images[row], originals[partner[row]], lam, box)
                targets[row] = lam * original_targets[row] + (1 - lam) * original_targets[partner[row]]

    def _draw(self, height: int, width: int, rng: np.random.Generator) -> Tuple[float, Optional[Box]]:
        """Return lambda and, for cutmix, the box that is taken from the partner."""
        if rng.random() >= self.prob:
            return 1.0, None
        cuts = not self.mixup_alpha or (self.cutmix_alpha > 0 and rng.random() < self.switch_prob)
        if not cuts:
            return float(rng.beta(self.mixup_alpha, self.mixup_alpha)), None
        if self.cutmix_minmax is not None:
            box = _box_of_limits(height, width, self.cutmix_minmax, rng)
            return _left(height, width, box), box
        lam = float(rng.beta(self.cutmix_alpha, self.cutmix_alpha))
        box = cut_box(height, width, lam, rng)
        return (_left(height, width, box) if self.correct_lam else lam), box


@BATCH_TRANSFORMS.register(provided=_PROVIDED)
class MixupOperator(BatchTransform):
    """Mixup of a batch with a random order of itself.

    Args:
        class_num: of the model; it follows from Arch.class_num.
        alpha: of the beta distribution of lambda.
        off_epoch: no mixing from this epoch on, counted from 0; 0 never turns it off.

    Raises:
        ConfigError: a value makes no sense.
    """

    def __init__(
        self, class_num: Optional[int] = None, alpha: float = 1.0, off_epoch: int = 0, *, classes: Optional[int]
    ) -> None:
        super().__init__(class_num, classes, off_epoch)
        self.alpha = _positive("alpha", alpha)

    def mix(self, images: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> None:
        """Mix a batch of at least two."""
        lam = float(rng.beta(self.alpha, self.alpha))
        mix_batch(images, targets, rng.permutation(len(images)), lam, None)


@BATCH_TRANSFORMS.register(provided=_PROVIDED)
class CutmixOperator(BatchTransform):
    """Cutmix of a batch with a random order of itself; lambda is the share of pixels that stay.

    Args:
        class_num: of the model; it follows from Arch.class_num.
        alpha: of the beta distribution of the area that stays.
        off_epoch: no mixing from this epoch on, counted from 0; 0 never turns it off.

    Raises:
        ConfigError: a value makes no sense.
    """

    def __init__(
        self, class_num: Optional[int] = None, alpha: float = 0.2, off_epoch: int = 0, *, classes: Optional[int]
    ) -> None:
        super().__init__(class_num, classes, off_epoch)
        self.alpha = _positive("alpha", alpha)

    def mix(self, images: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> None:
        """Mix a batch of at least two."""
        height, width = images.shape[2:]
        box = cut_box(height, width, float(rng.beta(self.alpha, self.alpha)), rng)
        mix_batch(images, targets, rng.permutation(len(images)), _left(height, width, box), box)


Box = Tuple[int, int, int, int]  # top, left, bottom, right


def mix_batch(images: np.ndarray, targets: np.ndarray, partner: np.ndarray, lam: float, box: Optional[Box]) -> None:
    """Mix each sample with ``partner``'s of it, in place: within ``box``, or everywhere."""
    if lam == 1.0 and box is None:
        return
    if box is None:
        others = images[partner]
        others *= np.float32(1 - lam)
        images *= np.float32(lam)
        images += others
    else:
        top, left, bottom, right = box
        images[:, :, top:bottom, left:right] = images[partner, :, top:bottom, left:right]
    targets[:] = np.float32(lam) * targets + np.float32(1 - lam) * targets[partner]


def _mix_one(image: np.ndarray, other: np.ndarray, lam: float, box: Optional[Box]) -> None:
    if box is None:
        image *= np.float32(lam)
        image += np.float32(1 - lam) * other
    else:
        top, left, bottom, right = box
        image[:, top:bottom, left:right] = other[:, top:bottom, left:right]


def cut_box(height: int, width: int, lam: float, rng: np.random.Generator) -> Box:
    """Return a box of 1 - lam of the area around a random centre, cut off at the edges (algorithm A1 of CutMix)."""
    side = math.sqrt(1 - lam)
    h, w = int(height * side), int(width * side)
    y, x = int(rng.integers(height)), int(rng.integers(width))
    return max(0, y - h // 2), max(0, x - w // 2), min(height, y + h // 2), min(width, x + w // 2)


def _box_of_limits(height: int, width: int, limits: Sequence[float], rng: np.random.Generator) -> Box:
    low, high = limits
    h = int(rng.integers(int(height * low), max(int(height * high), int(height * low) + 1)))
    w = int(rng.integers(int(width * low), max(int(width * high), int(width * low) + 1)))
    top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    return top, left, top + h, left + w


def _left(height: int, width: int, box: Box) -> float:
    """Return the share of the image outside of the box."""
    top, left, bottom, right = box
    return 1.0 - (bottom - top) * (right - left) / (height * width)


def _positive(name: str, value: float) -> float:
    if not number(name, value) > 0:
        raise ConfigError(f"{name}: must be positive, not {value!r}")
    return float(value)


@BATCH_TRANSFORMS.register(provided=_PROVIDED)
class OpSampler(BatchTransform):
    """One of several batch transforms, each with its ``prob``; with what is left of 1, none.

    Args:
        MixupOperator: its arguments, and ``prob``.
        CutmixOperator: its arguments, and ``prob``.
        class_num: of the model; it follows from Arch.class_num.

    Raises:
        ConfigError: nothing to choose from, a missing prob, chances of more than 1, or arguments that make no sense.
    """

    def __init__(
        self,
        MixupOperator: Mapping[str, Any] = _ABSENT,  # noqa: N803 - the names of what is chosen
        CutmixOperator: Mapping[str, Any] = _ABSENT,  # noqa: N803
        class_num: Optional[int] = None,
        *,
        classes: Optional[int],
    ) -> None:
        super().__init__(class_num, classes)
        named = {"MixupOperator": MixupOperator, "CutmixOperator": CutmixOperator}
        given = {name: arguments for name, arguments in named.items() if arguments is not _ABSENT}
        if not given:
            raise ConfigError("MixupOperator: give it, or CutmixOperator, with its prob")
        self.chances = [_chance(name, arguments) for name, arguments in given.items()]
        if sum(self.chances) > 1 + 1e-9:
            raise ConfigError(f"{list(given)[-1]}: the chances add up to {sum(self.chances):g}, more than 1")
        self.ops = [
            BATCH_TRANSFORMS.build(name, {key: arguments[key] for key in arguments if key != "prob"}, classes=classes)
            for name, arguments in given.items()
        ]

    def __call__(self, images: np.ndarray, targets: np.ndarray, epoch: int, rng: np.random.Generator) -> None:
        """Mix images [B, C, H, W] float32 and targets [B, K] float32 in place, or leave them."""
        chosen = int(np.searchsorted(np.cumsum(self.chances), rng.random(), side="right"))
        if chosen < len(self.ops):
            self.ops[chosen](images, targets, epoch, rng)


def _chance(name: str, arguments: Mapping[str, Any]) -> float:
    """Return ``prob``, which belongs to the choice and not to the operator, whose other arguments are known ones."""
    allowed = [*(parameter.name for parameter in BATCH_TRANSFORMS[name].parameters()), "prob"]
    for key in arguments:
        if key not in allowed:
            raise ConfigError(f"{name}: unknown argument {key!r}{suggest(key, allowed)}")
    if "prob" not in arguments:
        raise ConfigError(f"{name}: prob is missing: how likely is it chosen?")
    try:
        return probability("prob", arguments["prob"])
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


class BatchCompose:
    """A recipe's ``batch_transform_ops``, one after the other.

    Args:
        ops: single-key maps of a name to its arguments.
        classes: how many classes the model has.

    Raises:
        ConfigError: an entry is something else, or a transform refuses its arguments.
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
        """Mix images [B, C, H, W] float32 in place; return the targets of labels [B], [B, K] float32."""
        targets = np.zeros((len(labels), self.classes), np.float32)
        targets[np.arange(len(labels)), labels] = 1
        for op in self.ops:
            op(images, targets, epoch, rng)
        return targets
