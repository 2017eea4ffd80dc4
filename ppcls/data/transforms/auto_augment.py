"""AutoAugment, RandAugment and TrivialAugment as their papers define them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Sequence, Union

import numpy as np

from ppcls.data.transforms import policies
from ppcls.data.transforms.arguments import (
    check_affine_interpolation,
    check_backend,
    check_hwc,
    fill_colour,
    integer,
    number,
)
from ppcls.data.transforms.magnitudes import Scale
from ppcls.data.transforms.operations import OPERATIONS, sign
from ppcls.data.transforms.policy_ops import Auto, Step
from ppcls.data.transforms.registry import TRANSFORMS
from ppcls.data.transforms.warp import Canvas
from ppcls.errors import ConfigError
from ppcls.registry import suggest

_GREY = (128, 128, 128)
_SHIFT = 150 / 331  # translations in AutoAugment's table 6: 150 pixels of 331
_PAPER = Scale(pixels=0, share=_SHIFT)
_POLICIES = {"imagenet": policies.IMAGENET, "cifar10": policies.CIFAR10, "svhn": policies.SVHN}
_OF_PAPER = {"Posterize": "PosterizeOriginal", "TranslateX": "TranslateXRel", "TranslateY": "TranslateYRel"}


@dataclass(frozen=True)
class _Looks:
    """What the three share: how pixels are looked up when an image is moved."""

    interpolation: str = "nearest"
    fill: Union[int, Sequence[int]] = _GREY
    backend: str = "cv2"
    _canvas: Canvas = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_affine_interpolation(self.interpolation)
        check_backend(self.backend)
        object.__setattr__(self, "_canvas", Canvas(self.interpolation, fill_colour(self.fill), self.backend))


@TRANSFORMS.register
@dataclass(frozen=True)
class AutoAugment(_Looks):
    """One of 25 learned pairs of operations (https://arxiv.org/abs/1805.09501, appendix).

    Args:
        interpolation: of rotations, shears and translations: nearest, bilinear, bicubic or random.
        fill: colour of what is outside of the image.
        backend: "cv2" or "pil"; colours agree bit for bit, geometry within interpolation.
        policy: imagenet, cifar10 or svhn, the data set on which it was learned.

    Raises:
        ConfigError: a value makes no sense.
    """

    policy: str = "imagenet"
    _auto: Auto = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.policy not in _POLICIES:
            raise ConfigError(f"policy: unknown name {self.policy!r}{suggest(self.policy, _POLICIES)}")
        rows = policies.renamed(_POLICIES[self.policy], _OF_PAPER)
        object.__setattr__(self, "_auto", Auto([[Step(*entry) for entry in row] for row in rows]))

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the augmented image [H, W, 3] uint8."""
        check_hwc(image)
        return self._auto(image, self._canvas, _PAPER, rng)


Strength = Callable[[float, np.ndarray, np.random.Generator], float]


def _either_way(largest: float) -> Strength:
    return lambda share, image, rng: sign(rng) * share * largest


def _factor(largest: float) -> Strength:
    return lambda share, image, rng: 1 + sign(rng) * share * largest


def _none(share: float, image: np.ndarray, rng: np.random.Generator) -> float:
    return 0.0


def _space(
    shear: float, rotate: float, factor: float, bits: int, translate: Callable[[int], Strength]
) -> Dict[str, Strength]:
    """Return RandAugment's fourteen operations (figure 2), with their magnitudes at a share, 0..1, of the highest.

    Args:
        translate: gives the pixels of a translation along an axis of the image.
    """
    return {
        **dict.fromkeys(("Identity", "AutoContrast", "Equalize"), _none),
        **dict.fromkeys(("ShearX", "ShearY"), _either_way(shear)),
        "TranslateX": translate(1),
        "TranslateY": translate(0),
        "Rotate": _either_way(rotate),
        **dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), _factor(factor)),
        "Posterize": lambda share, image, rng: 8 - round(share * bits),
        "Solarize": lambda share, image, rng: 255 * (1 - share),
    }


def _apply(
    image: np.ndarray, space: Dict[str, Strength], share: float, canvas: Canvas, rng: np.random.Generator
) -> Any:
    name = tuple(space)[rng.integers(len(space))]
    return OPERATIONS[name](image, space[name](share, image, rng), canvas, rng)


def _of_side(axis: int) -> Strength:
    return lambda share, image, rng: int(sign(rng) * share * _SHIFT * image.shape[axis])


def _of_32_pixels(axis: int) -> Strength:
    return lambda share, image, rng: int(sign(rng) * share * 32)


_RAND = _space(0.3, 30.0, 0.9, 4, _of_side)  # the ranges of AutoAugment's table 6
_WIDE = _space(0.99, 135.0, 0.99, 6, _of_32_pixels)  # the wide ranges of TrivialAugment, table 6


@TRANSFORMS.register
@dataclass(frozen=True)
class RandAugment(_Looks):
    """Some of fourteen operations with equal chances, all of the same magnitude (https://arxiv.org/abs/1909.13719).

    Args:
        interpolation: of rotations, shears and translations: nearest, bilinear, bicubic or random.
        fill: colour of what is outside of the image.
        backend: "cv2" or "pil"; colours agree bit for bit, geometry within interpolation.
        num_layers: how many operations, one after the other.
        magnitude: 0 changes little, ``max_level`` most; every operation grows with it.
        max_level: 10 as in the paper and PaddleClas; 30 to write torchvision's magnitudes (of 31 bins).

    Raises:
        ConfigError: a value makes no sense.
    """

    num_layers: int = 2
    magnitude: float = 5
    max_level: float = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        integer("num_layers", self.num_layers, 1)
        if not number("max_level", self.max_level) > 0:
            raise ConfigError(f"max_level: must be positive, not {self.max_level!r}")
        if not 0 <= number("magnitude", self.magnitude) <= self.max_level:
            raise ConfigError(f"magnitude: must be from 0 to max_level, {self.max_level!r}, not {self.magnitude!r}")

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the augmented image [H, W, 3] uint8."""
        check_hwc(image)
        for _ in range(int(self.num_layers)):
            image = _apply(image, _RAND, self.magnitude / self.max_level, self._canvas, rng)
        return image


@TRANSFORMS.register
@dataclass(frozen=True)
class TrivialAugment(_Looks):
    """One operation of random magnitude, in wide ranges (https://arxiv.org/abs/2103.10158, TA wide).

    Args:
        interpolation: of rotations, shears and translations: nearest, bilinear, bicubic or random.
        fill: colour of what is outside of the image.
        backend: "cv2" or "pil"; colours agree bit for bit, geometry within interpolation.
        num_magnitude_bins: how many magnitudes there are.

    Raises:
        ConfigError: a value makes no sense.
    """

    num_magnitude_bins: int = 31

    def __post_init__(self) -> None:
        super().__post_init__()
        integer("num_magnitude_bins", self.num_magnitude_bins, 2)

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the augmented image [H, W, 3] uint8."""
        check_hwc(image)
        share = int(rng.integers(self.num_magnitude_bins)) / (self.num_magnitude_bins - 1)
        return _apply(image, _WIDE, share, self._canvas, rng)
