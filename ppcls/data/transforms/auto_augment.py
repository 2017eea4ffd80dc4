"""AutoAugment, RandAugment and TrivialAugment, as defined in their papers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Sequence, Union

import numpy as np

from ppcls.data.transforms import policies
from ppcls.data.transforms.arguments import check_affine_interpolation, check_backend, check_hwc, fill_color
from ppcls.data.transforms.magnitudes import MaxTranslation
from ppcls.data.transforms.operation_spaces import (
    TRANSLATION,
    apply_random_operation,
    fourteen_operations,
    fraction_of_side,
    signed_pixels,
)
from ppcls.data.transforms.policy_ops import AutoAugmentPolicy, SubPolicyOp
from ppcls.data.transforms.registry import TRANSFORMS
from ppcls.data.transforms.warp import AffineSampler
from ppcls.errors import ConfigError
from ppcls.registry import suggest
from ppcls.registry.checks import require_int, require_number, require_positive

_GREY = (128, 128, 128)
_MAX_TRANSLATION = MaxTranslation(pixels=0, fraction=TRANSLATION)
_POLICIES = {"imagenet": policies.IMAGENET, "cifar10": policies.CIFAR10, "svhn": policies.SVHN}
_PAPER_OPERATIONS = {"Posterize": "PosterizeOriginal", "TranslateX": "TranslateXRel", "TranslateY": "TranslateYRel"}


@dataclass(frozen=True)
class GeometryArguments:
    """The arguments of rotations, shears and translations, common to all three."""

    needs_rgb: ClassVar[bool] = True

    interpolation: str = "nearest"
    fill: Union[int, Sequence[int]] = _GREY
    backend: str = "cv2"
    _sampler: AffineSampler = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_affine_interpolation(self.interpolation)
        check_backend(self.backend)
        object.__setattr__(self, "_sampler", AffineSampler(self.interpolation, fill_color(self.fill), self.backend))


@TRANSFORMS.register
@dataclass(frozen=True)
class AutoAugment(GeometryArguments):
    """Applies one of 25 learned pairs of operations (https://arxiv.org/abs/1805.09501, appendix).

    Args:
        interpolation: for rotations, shears and translations: nearest, bilinear, bicubic or random.
        fill: colour outside of the image.
        backend: "cv2" or "pil". Colours are equal bit for bit; geometry differs by the interpolation.
        policy: data set on which the policy was learned: imagenet, cifar10 or svhn.

    Raises:
        ConfigError: an argument is invalid.
    """

    policy: str = "imagenet"
    _operations: AutoAugmentPolicy = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.policy not in _POLICIES:
            raise ConfigError(f"policy: unknown name {self.policy!r}{suggest(self.policy, _POLICIES)}")
        policy = policies.rename_operations(_POLICIES[self.policy], _PAPER_OPERATIONS)
        ops = [[SubPolicyOp(*op) for op in sub_policy] for sub_policy in policy]
        object.__setattr__(self, "_operations", AutoAugmentPolicy(ops))

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the augmented image [H, W, 3] uint8."""
        check_hwc(image)
        return self._operations(image, self._sampler, _MAX_TRANSLATION, rng)


_RAND_AUGMENT = fourteen_operations(0.3, 30.0, 0.9, 4, fraction_of_side)  # the ranges of AutoAugment's table 6
# The wide ranges of TrivialAugment, table 6.
_TRIVIAL_AUGMENT = fourteen_operations(0.99, 135.0, 0.99, 6, lambda axis: signed_pixels(32))


@TRANSFORMS.register
@dataclass(frozen=True)
class RandAugment(GeometryArguments):
    """Applies random operations, uniformly out of fourteen, with one magnitude (https://arxiv.org/abs/1909.13719).

    Args:
        interpolation: for rotations, shears and translations: nearest, bilinear, bicubic or random.
        fill: colour outside of the image.
        backend: "cv2" or "pil". Colours are equal bit for bit; geometry differs by the interpolation.
        num_layers: number of operations, applied one after the other.
        magnitude: strength of all operations, from 0 (weakest) to ``max_level`` (strongest).
        max_level: 10 as in the paper and PaddleClas; 30 for torchvision's magnitudes (31 bins).

    Raises:
        ConfigError: an argument is invalid.
    """

    num_layers: int = 2
    magnitude: float = 5
    max_level: float = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        require_int("num_layers", self.num_layers, 1)
        require_positive("max_level", self.max_level)
        if not 0 <= require_number("magnitude", self.magnitude) <= self.max_level:
            raise ConfigError(f"magnitude: must be from 0 to max_level, {self.max_level!r}, not {self.magnitude!r}")

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the augmented image [H, W, 3] uint8."""
        check_hwc(image)
        for _ in range(int(self.num_layers)):
            image = apply_random_operation(image, _RAND_AUGMENT, self.magnitude / self.max_level, self._sampler, rng)
        return image


@TRANSFORMS.register
@dataclass(frozen=True)
class TrivialAugment(GeometryArguments):
    """Applies one random operation with a random magnitude, in wide ranges (https://arxiv.org/abs/2103.10158, TA wide).

    Args:
        interpolation: for rotations, shears and translations: nearest, bilinear, bicubic or random.
        fill: colour outside of the image.
        backend: "cv2" or "pil". Colours are equal bit for bit; geometry differs by the interpolation.
        num_magnitude_bins: number of possible magnitudes.

    Raises:
        ConfigError: an argument is invalid.
    """

    num_magnitude_bins: int = 31

    def __post_init__(self) -> None:
        super().__post_init__()
        require_int("num_magnitude_bins", self.num_magnitude_bins, 2)

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the augmented image [H, W, 3] uint8."""
        check_hwc(image)
        strength = int(rng.integers(self.num_magnitude_bins)) / (self.num_magnitude_bins - 1)
        return apply_random_operation(image, _TRIVIAL_AUGMENT, strength, self._sampler, rng)
